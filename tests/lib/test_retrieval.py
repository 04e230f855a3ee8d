"""Index building and search: RVC's rule, the awkward cases, and files that are no index."""

import faiss
import numpy as np
import pytest

from infer.lib import retrieval
from infer.lib.errors import BadInput, MissingFile
from infer.lib.retrieval import FeatureIndex

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("rows", "lists"),
    [(1, 1), (38, 1), (39, 1), (78, 2), (149, 3), (1000, 25), (38938, 998), (50000, 1282), (200000, 5128)],
)
def test_number_of_lists_is_rvcs(rows, lists):
    assert retrieval.n_ivf(rows) == lists


def test_file_names_are_rvcs_and_recognised():
    names = retrieval.index_file_names(41, "내 노래_v2", "v1")
    assert names.added == "added_IVF41_Flat_nprobe_1_내 노래_v2_v1.index"
    assert retrieval.is_index_of(names.trained, "내 노래_v2", "v1")
    assert not retrieval.is_index_of(names.added, "내 노래", "v1")
    assert not retrieval.is_index_of("mine.index", "내 노래_v2", "v1")
    assert retrieval.lists_of(names.added) == 41


@pytest.mark.parametrize("n_rows", [1, 2, 7, 38, 39, 200])
def test_any_number_of_rows_can_be_saved_and_searched(n_rows, tmp_path, capfd):
    rows = _rows(n_rows, 16)
    index = _saved(retrieval.build(rows), tmp_path / "이름 'q' -x" / "a.index")
    assert len(index) == n_rows and index.dim == 16
    np.testing.assert_array_equal(index.blend(rows, 1.0), rows)  # each is its own exact hit
    assert np.isfinite(index.blend(_rows(50, 16), 0.5)).all()
    assert "WARNING" not in capfd.readouterr().err


def test_blend_follows_the_formula(tmp_path):
    rows, content = _rows(12, 8), _rows(5, 8)
    index = _saved(retrieval.build(rows), tmp_path / "a.index")
    distances = ((content[:, None] - rows[None]) ** 2).sum(-1)
    expected = np.empty_like(content)
    for t, row in enumerate(distances):
        near = np.argsort(row)[:8]
        weights = row[near] ** -2.0
        expected[t] = (weights / weights.sum()) @ rows[near]
    np.testing.assert_allclose(index.blend(content, 1.0), expected, atol=1e-5)
    np.testing.assert_allclose(index.blend(content, 0.25), 0.25 * expected + 0.75 * content, atol=1e-5)


def test_rate_zero_searches_nothing(tmp_path):
    index = _saved(retrieval.build(_rows(5, 8)), tmp_path / "a.index")
    content = _rows(3, 99)  # not even the width is looked at
    assert index.blend(content, 0) is content


def test_weights_of_exact_hits_and_missing_neighbours():
    huge = np.float32(3.4e38)
    distances = np.array([[0, 1, 2], [1, 2, huge], [huge, huge, huge], [0, 0, 4]], np.float32)
    ids = np.array([[4, 1, 2], [0, 3, -1], [-1, -1, -1], [5, 6, 1]])
    weights = retrieval.neighbour_weights(distances, ids)
    np.testing.assert_allclose(weights, [[1, 0, 0], [0.8, 0.2, 0], [0, 0, 0], [0.5, 0.5, 0]], atol=1e-6)


def test_a_frame_without_neighbours_stays(tmp_path):
    index = faiss.index_factory(4, "IVF2,Flat")
    rows = np.array([[0, 0, 0, 0], [9, 9, 9, 9]], np.float32)
    index.train(rows)
    index.add(rows[:1])  # the other list is empty
    content = np.array([[9, 9, 9, 8], [1, 0, 0, 0]], np.float32)
    blended = _saved(index, tmp_path / "a.index").blend(content, 1.0)
    np.testing.assert_array_equal(blended, [content[0], rows[0]])


def test_wrong_width_is_refused(tmp_path):
    index = _saved(retrieval.build(_rows(5, 8)), tmp_path / "a.index")
    with pytest.raises(BadInput, match="vectors of 8 values, not 16"):
        index.blend(_rows(3, 16), 0.5)


@pytest.mark.parametrize("kind", ["Flat", "HNSW8,Flat"])
def test_other_kinds_that_hold_vectors_work(kind, tmp_path):
    rows, index = _rows(60, 8), faiss.index_factory(8, kind)
    index.add(rows)
    np.testing.assert_allclose(_saved(index, tmp_path / "a.index").blend(rows[:4], 1.0), rows[:4], atol=1e-3)


def test_unusable_kinds_are_refused(tmp_path):
    rows = _rows(100, 8)
    trained = []
    retrieval.build(rows, keep_trained=lambda index: trained.append(faiss.clone_index(index)))
    inner = faiss.index_factory(8, "Flat", faiss.METRIC_INNER_PRODUCT)
    inner.add(rows)
    mapped = faiss.index_factory(8, "IDMap,Flat")
    mapped.add_with_ids(rows, np.arange(100) * 7)
    for index, problem in (
        (trained[0], "no vectors"),
        (inner, "L2"),
        (mapped, "cannot give its vectors back"),
    ):
        with pytest.raises(BadInput, match=problem):
            _saved(index, tmp_path / "a.index")


def test_files_that_are_no_index(tmp_path):
    whole = tmp_path / "a.index"
    _saved(retrieval.build(_rows(200, 8)), whole)
    for data in (b"", b"this is a text, not an index", whole.read_bytes()[:-500]):
        bad = tmp_path / "bad.index"
        bad.write_bytes(data)
        with pytest.raises(BadInput, match="bad.index is no faiss index, or it is damaged"):
            FeatureIndex.load(bad)
    with pytest.raises(MissingFile, match="there is no index"):
        FeatureIndex.load(tmp_path / "none.index")


def test_encoder_comes_from_the_sidecar(tmp_path):
    path = tmp_path / "a.index"
    assert _saved(retrieval.build(_rows(3, 8)), path).encoder is None
    retrieval.write_sidecar(path, {"encoder": "hubert:0123456789ab"})
    assert FeatureIndex.load(path).encoder == "hubert:0123456789ab"
    retrieval.sidecar_path(path).write_text("[1]")
    assert FeatureIndex.load(path).encoder is None


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.index"
    _saved(retrieval.build(_rows(3, 8)), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(faiss, "write_index", fail)
    with pytest.raises(OSError, match="No space"):
        retrieval.save(retrieval.build(_rows(9, 8)), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.index"]


def test_centres_move_to_the_means_of_their_clusters():
    true = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    rows = np.concatenate([true + 0.1 * RNG.standard_normal((3, 2)).astype(np.float32) for _ in range(400)])
    centres = retrieval.cluster_centres((rows[i : i + 100] for i in range(0, 1200, 100)), rows[:3] + 0.5)
    np.testing.assert_allclose(centres, true, atol=0.05)
    assert centres.dtype == np.float32


def _rows(n_rows, dim):
    return RNG.standard_normal((n_rows, dim)).astype(np.float32)


def _saved(index, path) -> FeatureIndex:
    retrieval.save(index, path)
    return FeatureIndex.load(path)
