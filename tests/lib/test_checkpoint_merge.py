"""Mixing and comparing voices."""

import dataclasses

import pytest
import torch

from infer.lib.checkpoint import compare_voices, merge_voices
from infer.lib.checkpoint_voice import voice_content
from infer.lib.errors import BadInput
from tests.lib.tiny_voices import tiny_spec, tiny_voice


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("both_weights", [True, False])
def test_two_voices_are_rvcs_fusion_bit_for_bit(alpha, both_weights):
    first, second = tiny_voice(seed=1), tiny_voice(seed=2)
    mixed = merge_voices([first, second], [alpha, 1 - alpha] if both_weights else [alpha], "mix")
    stored = voice_content(mixed, "merge")["weight"]
    a, b = (voice_content(voice)["weight"] for voice in (first, second))
    for name, tensor in stored.items():
        expected = (alpha * a[name].float() + (1 - alpha) * b[name].float()).half()
        assert torch.equal(tensor, expected)
    assert (mixed.spec, mixed.info) == (first.spec, "mix")


def test_three_voices_by_relative_weights():
    voices = [tiny_voice(seed=seed) for seed in (1, 2, 3)]
    mixed = merge_voices(voices, [2, 1, 1])
    for name, tensor in mixed.weights.items():
        a, b, c = (voice.weights[name] for voice in voices)
        torch.testing.assert_close(tensor, a / 2 + b / 4 + c / 4, rtol=1e-3, atol=1e-6)


def test_speakers_are_cut_to_the_fewest():
    mixed = merge_voices([tiny_voice(tiny_spec(n_speakers=5)), tiny_voice(tiny_spec(n_speakers=2))], [0.5])
    assert mixed.spec.n_speakers == 2
    assert mixed.weights["emb_g.weight"].shape == (2, 4)
    assert voice_content(mixed, "merge")["config"][-3] == 2


def test_fused_voices_mix_as_stored():
    voices = [dataclasses.replace(tiny_voice(seed=seed), fused=frozenset({"dec.ups.0"})) for seed in (1, 2)]
    stored = voice_content(merge_voices(voices, [0.25]), "merge")["weight"]
    a, b = (voice.weights["dec.ups.0.weight_v"] for voice in voices)
    assert torch.equal(stored["dec.ups.0.weight"], (0.25 * a + 0.75 * b).half())
    assert "dec.ups.0.weight_g" not in stored


def test_notes_of_all_parents():
    voices = [tiny_voice(extra={"author": name, "licence": "CC0", "step": 3}) for name in "ab"]
    mixed = merge_voices(voices, [0.5])
    assert mixed.extra == {"author": "a; b", "licence": "CC0"}


@pytest.mark.parametrize("note", ["noise_scale", "gain_db"])
@pytest.mark.parametrize(("told", "kept"), [((0.0, 0.0), 0.0), ((0.0, 0.5), None), ((0.0, None), None)])
def test_a_noise_or_gain_that_both_parents_want_is_kept(note, told, kept):
    voices = [tiny_voice(extra={} if value is None else {note: value}) for value in told]
    assert merge_voices(voices, [0.5]).extra.get(note) == kept


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (tiny_voice(tiny_spec("v1")), "differ in version"),
        (tiny_voice(tiny_spec(sample_rate=48000)), "differ in sample rate"),
        (tiny_voice(tiny_spec(use_f0=False)), "differ in pitch guidance"),
        (tiny_voice(dataclasses.replace(tiny_spec(), filter_channels=20)), "different sizes"),
        (tiny_voice(encoder="starter-1:0123456789ab"), "different content encoders"),
    ],
)
def test_unlike_voices_are_refused(other, reason):
    with pytest.raises(BadInput, match=reason):
        merge_voices([tiny_voice(), other], [0.5])


def test_rvc_files_belong_to_the_hubert_family():
    mixed = merge_voices([tiny_voice(), tiny_voice(encoder="hubert:0123456789ab")], [0.5])
    assert mixed.encoder == "hubert:0123456789ab"


@pytest.mark.parametrize(
    ("count", "weights"),
    [(1, [1]), (2, []), (3, [0.5]), (2, [0, 0]), (2, [-1, 2]), (2, [float("nan"), 1]), (2, [1.5])],
)
def test_impossible_weights(count, weights):
    with pytest.raises(BadInput):
        merge_voices([tiny_voice()] * count, weights)


def test_compare():
    first, second = tiny_voice(seed=1), tiny_voice(seed=2)
    alike = compare_voices(first, first)
    assert alike.identical
    assert alike.overall == pytest.approx(1)
    unlike = compare_voices(first, second)
    assert not unlike.identical
    assert abs(unlike.groups["decoder"]) < 0.9
    between = compare_voices(first, merge_voices([first, second], [0.9]))
    assert unlike.overall < between.overall < 1
    with pytest.raises(BadInput, match="differ in version"):
        compare_voices(first, tiny_voice(tiny_spec("v1")))


def test_compare_looks_at_the_applied_weight():
    first = tiny_voice()
    scaled = tiny_voice()
    scaled.weights["dec.ups.0.weight_v"].mul_(2)  # weight norm takes the length from weight_g
    assert compare_voices(first, scaled).overall == pytest.approx(1)
