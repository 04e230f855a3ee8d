"""The pure parts of the measuring tools: error rates, retrieval, the probe, joins, the held-out list."""

import re

import numpy as np
import pytest
import torch

from infer.lib import checkpoint
from infer.lib.errors import BadInput
from infer.lib.packed_layout import ENCODER
from tools.starter import joins, learner, material, retrieval, scores
from tools.starter.conversions import Target
from tools.starter.measure_encoder import Measured


@pytest.mark.parametrize(
    ("reference", "heard", "edits"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("kitten", "sitting", 3),
        ("ab", "ba", 2),
        ("same", "same", 0),
    ],
)
def test_edit_distance_counts_the_fewest_edits(reference, heard, edits):
    assert scores.edit_distance(reference, heard) == edits


def test_error_rate_is_over_all_references_together():
    assert scores.error_rate([("aaaa", "aaaa"), ("b", "c")]) == pytest.approx(0.2)
    assert np.isnan(scores.error_rate([]))


def test_words_keep_apostrophes_and_part_at_hyphens():
    wanted = ["don't", "super", "imposition", "it's"]
    assert scores.words_of("\u201cDon't\u201d super-imposition; it\u2019s!") == wanted


def sentences(rng, speakers=("a", "b"), n_sentences=6) -> list[retrieval.Utterance]:
    """Each speaker says the same sequences of 8 "phones" at a tempo of their own, with a constant offset."""
    phones = rng.normal(size=(20, 16))
    orders = rng.integers(0, 20, size=(n_sentences, 8))
    return [
        retrieval.Utterance(
            sentence=str(number),
            speaker=speaker,
            features=np.repeat(phones[order], 8 + 4 * who, axis=0) + 3 * who + rng.normal(size=(1, 16)),
        )
        for who, speaker in enumerate(speakers)
        for number, order in enumerate(orders)
    ]


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_same_sentence_at_another_tempo_is_found(in_parts):
    found = retrieval.retrieve(sentences(np.random.default_rng(0)), in_parts)
    assert found.share == 1
    assert found.chance == pytest.approx(1 / 6)


def test_features_that_say_nothing_find_nothing():
    rng = np.random.default_rng(1)
    noise = [
        retrieval.Utterance(u.sentence, u.speaker, rng.normal(size=u.features.shape))
        for u in sentences(rng, n_sentences=12)
    ]
    assert retrieval.retrieve(noise, in_parts=False).share < 0.4
    assert retrieval.retrieve(noise[:3], in_parts=False).searches == 0


@pytest.mark.parametrize("pooling", ["mean", "mean and deviation", "single frames"])
def test_the_probe_knows_speakers_from_noise(pooling):
    pytest.importorskip("sklearn", reason="the probe needs scikit-learn")
    from tools.starter import probe

    rng = np.random.default_rng(2)
    voices = rng.normal(size=(5, 12))
    told = {str(i): [voice + rng.normal(size=(600, 12))] for i, voice in enumerate(voices)}
    hidden = {str(i): [rng.normal(size=(600, 12)) for _ in range(3)] for i in range(5)}
    assert probe.probe(told, pooling).accuracy > 0.8
    assert probe.probe(hidden, pooling).accuracy < 0.6


def test_the_probe_never_tests_on_what_it_learnt():
    probe = pytest.importorskip("tools.starter.probe")
    one, several = np.arange(900)[:, None], [np.full((150, 1), i) for i in range(5)]
    parts = probe.split([one])
    assert parts.learnt[0].max() < parts.tested[0].min()
    parts = probe.split(several)
    assert {int(part[0, 0]) for part in parts.learnt} == {0, 1, 2, 3}
    assert not probe.split([one[:120]]).usable


def test_a_click_at_a_join_stands_out():
    rate = 16000
    audio = (0.1 * np.sin(2 * np.pi * 200 * np.arange(2 * rate) / rate)).astype(np.float32)
    assert joins.jump(audio, rate, 1.0) < 1.1
    clicked = audio.copy()
    clicked[rate:] += 0.2
    assert joins.jump(clicked, rate, 1.0) > 10
    assert joins.jump(np.zeros(rate), rate, 0.5) == 0


def test_joins_are_where_the_conversion_cuts():
    noise = np.random.default_rng(3).normal(size=20 * 16000).astype(np.float32) * 0.1
    times = joins.join_times(noise)
    assert len(times) >= 3
    assert times == sorted(times)
    assert joins.join_times(noise[: 3 * 16000]) == []


def test_the_heldout_list_names_speakers_once_and_only_texts_are_measured():
    table = material.rows(material.HELDOUT)
    assert len({row["path"] for row in table}) == len(table)
    assert {row["use"] for row in table} == {"measure", "exclude"}
    assert all(row["transcript"] for row in table if row["use"] == "measure")
    speakers = material.heldout_speakers()
    assert {("vctk", "p226"), ("vctk", "p227"), ("cmu-arctic", "aew"), ("librispeech", "ls6313")} <= speakers
    assert ("vctk", "p225") not in speakers


def test_a_target_leaves_out_the_takes_that_trained_it(tmp_path):
    for folder, names in (("all", "abc"), ("used", "b")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.wav").write_bytes(b"x")
    target = Target.read(f"3={tmp_path / 'all'}", None, tmp_path / "used")
    assert target.speaker_id == 3
    assert [path.stem for path in target.takes] == ["a", "c"]
    with pytest.raises(BadInput, match="ID=FOLDER"):
        Target.read(str(tmp_path), None, None)


def test_a_packed_encoder_hears_what_the_plain_one_hears(tmp_path):
    torch.manual_seed(0)
    plain, packed = tmp_path / "plain.safetensors", tmp_path / "content_encoder.safetensors"
    learner.save(plain, learner.Learner(3).eval(), ["<b>", "p", "q"])
    checkpoint.write_packed(
        packed, checkpoint.read_tensors(plain), ENCODER, **checkpoint.read_metadata(plain)
    )
    audio = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    first, second = (Measured(path, "cpu")._heads["phones_ctc"] for path in (plain, packed))
    assert float((first[0] - second[0]).abs().max()) < 0.02
    assert Measured(packed, "cpu").heard(audio).keys() == {"CTC, greedy", "frames, mean of 3"}


def test_corrections_are_of_recordings_that_may_be_trained_on():
    table = material.rows(material.HELDOUT.with_name("corrections.csv"))
    left_out = {row["path"].removeprefix("speech/") for row in material.rows(material.HELDOUT)}
    paths = [row["path"] for row in table]
    assert len(paths) == len(set(paths)) and not left_out & set(paths)
    assert all(re.fullmatch(r"[a-z' ]+", row["text"]) for row in table)
    assert {row["confidence"] for row in table} <= set("0123")
