"""The index stage: built, kept, built again; damaged features; many rows."""

import json

import numpy as np
import pytest

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Finished, ItemFailed, Log
from infer.jobs.experiment import Experiment
from infer.lib import retrieval
from infer.lib.errors import BadInput
from infer.lib.retrieval import FeatureIndex
from infer.stages.index import rows as index_rows
from infer.stages.index import run as stage
from infer.stages.index.__main__ import main
from infer.stages.index.options import IndexOptions

RNG = np.random.default_rng(3)


@pytest.fixture
def experiment(tmp_path):
    experiment = Experiment(tmp_path / "노래 x")
    experiment.update_settings(version="v1", encoder="hubert:0123456789ab")
    for n in range(4):
        _write(experiment, f"0_{n}", RNG.standard_normal((45, 256)).astype(np.float32))
    return experiment


def test_index_has_rvcs_name_and_every_row(experiment, events):
    summary = stage.run(IndexOptions(experiment.root), events)
    names = sorted(path.name for path in experiment.root.glob("*.index"))
    assert names == [f"{kind}_IVF4_Flat_nprobe_1_노래 x_v1.index" for kind in ("added", "trained")]
    assert (summary["rows"], summary["clusters"]) == (180, 4) and events.of(Finished)
    index = FeatureIndex.load(summary["file"])
    rows = np.load(experiment.content_file("0_2", "v1"))
    np.testing.assert_array_equal(index.blend(rows, 1.0), rows)
    assert index.encoder == "hubert:0123456789ab"


def test_same_features_same_index_and_no_work(experiment, events):
    path = experiment.root / stage.run(IndexOptions(experiment.root), events)["file"]
    before = path.read_bytes()
    stage.run(IndexOptions(experiment.root), events)
    assert any("up to date" in event.message for event in events.of(Log))
    path.unlink()
    stage.run(IndexOptions(experiment.root), events)
    assert path.read_bytes() == before


def test_changed_features_give_a_new_index_and_no_stale_file(experiment, events):
    stage.run(IndexOptions(experiment.root), events)
    foreign = experiment.root / "added_IVF1_Flat_nprobe_1_other_v1.index"
    foreign.write_bytes(b"somebody else's")
    _write(experiment, "1_0", RNG.standard_normal((60, 256)).astype(np.float32))
    summary = stage.run(IndexOptions(experiment.root), events)
    assert summary["rows"] == 240
    names = {path.name for path in experiment.root.glob("*.index*")} - {foreign.name}
    tail = "IVF6_Flat_nprobe_1_노래 x_v1.index"
    assert names == {f"added_{tail}", f"trained_{tail}", f"added_{tail}.json"}
    assert foreign.exists()


def test_old_index_stays_until_the_new_one_is_complete(experiment, events, monkeypatch):
    old = experiment.root / stage.run(IndexOptions(experiment.root), events)["file"]
    _write(experiment, "1_0", RNG.standard_normal((60, 256)).astype(np.float32))
    save = retrieval.save

    def disk_full(index, path):
        if path.name.startswith("added"):
            raise OSError(28, "No space left on device")
        save(index, path)

    monkeypatch.setattr(retrieval, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        stage.run(IndexOptions(experiment.root), events)
    assert len(FeatureIndex.load(old)) == 180


def test_a_damaged_index_is_built_again(experiment, events):
    path = experiment.root / stage.run(IndexOptions(experiment.root), events)["file"]
    path.write_bytes(path.read_bytes()[:500])
    stage.run(IndexOptions(experiment.root), events)
    assert len(FeatureIndex.load(path)) == 180


def test_unusable_rows_and_files_are_left_out(experiment, events):
    rows = RNG.standard_normal((10, 256)).astype(np.float32)
    rows[3, 7], rows[5, 0] = np.nan, np.inf
    _write(experiment, "1_0", rows)
    _write(experiment, "1_1", np.zeros((10, 768), np.float32))
    experiment.content_file("1_2", "v1").write_text("no array")
    _write(experiment, "1_3", rows[:2])
    cut = experiment.content_file("1_3", "v1")
    cut.write_bytes(cut.read_bytes()[:-9])
    _write(experiment, "1_4", np.array([[{}] * 256], dtype=object))
    assert stage.run(IndexOptions(experiment.root), events)["rows"] == 188
    reasons = {event.item: event.reason for event in events.of(ItemFailed)}
    assert set(reasons) == {f"1_{n}.npy" for n in range(5)}
    assert reasons["1_0.npy"] == "2 of 10 rows are not finite" and "cut off" in reasons["1_3.npy"]


def test_features_of_removed_clips_do_not_count(experiment, events):
    experiment.gt_wavs.mkdir()
    experiment.gt_wav("0_1").write_bytes(b"")
    assert stage.run(IndexOptions(experiment.root), events)["rows"] == 45


def test_one_row_is_enough(experiment, events):
    for n in range(4):
        experiment.content_file(f"0_{n}", "v1").unlink()
    _write(experiment, "0_0", np.ones((1, 256), np.float32))
    assert stage.run(IndexOptions(experiment.root), events)["clusters"] == 1


def test_many_rows_become_means(experiment, events, monkeypatch):
    monkeypatch.setattr(index_rows, "BATCH_ROWS", 60)
    monkeypatch.setattr(index_rows, "BLOCK_ROWS", 16)
    paths = [experiment.content_file(f"0_{n}", "v1") for n in range(4)]
    rows = index_rows.scan(paths, 256, lambda *_: None)
    assert [len(batch) for batch in rows.batches(1)] == [61, 61, 58]
    everything = np.concatenate([np.load(path) for path in paths])
    shuffled = rows.shuffled(1)
    assert not np.array_equal(shuffled, everything)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(everything, axis=0))
    means = stage.gathered(rows, events, max_rows=100, n_centres=20)
    assert means.shape == (20, 256) and np.isfinite(means).all()
    np.testing.assert_allclose(means.mean(), everything.mean(), atol=0.1)


def test_exit_codes(experiment, tmp_path, capsys):
    assert main([f"--experiment={experiment.root}"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "finished" and last["summary"]["rows"] == 180
    assert main([f"--experiment={tmp_path / 'none'}"]) == 3
    assert "run extract_content first" in capsys.readouterr().out
    assert main(["--experiment=x", "--version=v3"]) == 2


def test_nothing_usable_is_an_error(experiment, events):
    for n in range(4):
        _write(experiment, f"0_{n}", np.full((3, 256), np.nan, np.float32))
    with pytest.raises(BadInput, match="no usable row"):
        stage.run(IndexOptions(experiment.root), events)


def test_options_survive_the_command_line():
    options = IndexOptions("-이상한 '이름'", "v1", 3)
    assert to_argv(parse(IndexOptions, to_argv(options))) == to_argv(options)
    with pytest.raises(ValueError, match="workers"):
        IndexOptions("x", workers=-1)


def _write(experiment, stem, rows):
    path = experiment.content_file(stem, "v1")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)
