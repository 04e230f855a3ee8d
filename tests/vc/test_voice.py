import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from infer.lib import checkpoint, content, f0
from infer.lib.checkpoint_layout import GAIN_KEY, NOISE_KEY, gain_of, noise_scale_of
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.f0.curve import F0Curve
from infer.vc import noise, shelf
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice, dtype_of
from tests.vc.conftest import StubEncoder


def test_load_tells_what_the_file_says(voice_path):
    path = voice_path(encoder="starter-1:0123456789ab", fill_unvoiced=True, info="20epoch")
    voice = Voice.load(path)
    assert (voice.encoder, voice.fill_unvoiced, voice.info) == ("starter-1:0123456789ab", True, "20epoch")
    assert (voice.spec.n_speakers, voice.name) == (3, "tiny voice")


@pytest.mark.parametrize("use_f0", [True, False])
def test_one_frame_is_one_hop(voice_path, use_f0):
    voice = Voice.load(voice_path(use_f0=use_f0))
    pitch = F0Curve(np.linspace(0, 300, 7)) if use_f0 else None
    audio = voice.synthesize(torch.zeros(7, 768), pitch, 1, noise.none(voice.spec, 7, 0))
    assert audio.shape == (7 * 400,)
    assert audio.dtype == np.float32


def test_speakers_sound_different(voice):
    features, pitch = torch.zeros(20, 768), F0Curve(np.full(20, 200.0))
    sounds = [voice.synthesize(features, pitch, speaker, noise.none(voice.spec, 20, 0)) for speaker in (0, 1)]
    assert not np.allclose(*sounds)


def test_the_noise_of_the_voice_is_what_was_asked_for_else_what_its_file_says_else_rvcs(voice):
    features, pitch = torch.zeros(20, 768), F0Curve(np.full(20, 200.0))
    draws = noise.seeded(1)(voice.spec, 20, 0)

    def sound(scale=None, of=voice, prior=1.0):
        return of.synthesize(features, pitch, 0, replace(draws, prior=draws.prior * prior), scale)

    assert np.allclose(sound(), sound(0.66666)) and not np.allclose(sound(), sound(0.0))
    told = replace(voice, noise_scale=0.0)
    assert np.allclose(sound(of=told), sound(1.0, prior=0.0))
    assert np.allclose(sound(0.5, of=told), sound(1.0, prior=0.5), atol=1e-6)


@pytest.mark.parametrize("value", [True, -0.1, 7, "0.3", None, float("nan")])
def test_a_noise_that_is_none_is_passed_over(value):
    assert noise_scale_of({NOISE_KEY: value}) is None


def test_a_voice_is_turned_up_or_down_as_its_file_says(voice):
    features, pitch = torch.zeros(20, 768), F0Curve(np.full(20, 200.0))
    draws = noise.none(voice.spec, 20, 0)
    plain = voice.synthesize(features, pitch, 0, draws)
    file = checkpoint.read_voice(voice.path)
    softer = Voice.of(replace(file, extra={**file.extra, GAIN_KEY: -6}), voice.path)
    assert np.allclose(softer.synthesize(features, pitch, 0, draws), plain * 10 ** (-6 / 20), atol=1e-7)
    assert np.abs(plain).max() > 0.01


@pytest.mark.parametrize("value", [True, 30, "3", None, float("nan")])
def test_a_gain_that_is_none_is_passed_over(value):
    assert gain_of({GAIN_KEY: value}) is None


def test_noise_depends_on_seed_and_place_only():
    spec = type("Spec", (), {"inter_channels": 2, "hop": 4})
    assert torch.equal(noise.seeded(3)(spec, 5, 160).prior, noise.seeded(3)(spec, 5, 160).prior)
    others = [noise.seeded(4)(spec, 5, 160), noise.seeded(3)(spec, 5, 320), noise.seeded(-1)(spec, 5, 160)]
    assert all(not torch.equal(noise.seeded(3)(spec, 5, 160).prior, other.prior) for other in others)
    assert others[0].source.shape == (1, 20, 1)


def test_a_copy_in_fp32_is_made_tensor_by_tensor(voice, monkeypatch):
    half = replace(voice, net=copy.deepcopy(voice.net).half(), dtype=torch.float16)
    on_gpu = replace(half, device="cuda:0")
    monkeypatch.setattr(torch.nn.Module, "to", None)  # nothing is moved as a whole
    for other in (half.in_fp32, on_gpu.on_cpu):
        assert other.dtype == torch.float32 and other.net is not half.net
        for (name, ours), (_, theirs) in zip(
            other.net.state_dict().items(), half.net.state_dict().items(), strict=True
        ):
            assert torch.equal(ours, theirs.float()), name
    assert on_gpu.on_cpu.device == "cpu" and next(half.net.parameters()).dtype == torch.float16


def test_half_precision_is_for_gpus():
    assert dtype_of("cpu", "fp16") == torch.float32
    assert dtype_of("cuda:0", "fp16") == torch.float16
    assert dtype_of("cuda:0", "bf16") == torch.float32


def test_missing_and_broken_files(tmp_path):
    broken = tmp_path / "노래 🎵.pth"
    broken.write_bytes(b"")
    with pytest.raises(BadCheckpoint, match="노래 🎵"):
        Voice.load(broken)
    with pytest.raises(MissingFile):
        Voice.load(tmp_path / "none.pth")


def test_voices_share_encoder_and_pitch_models(monkeypatch, voice_path):
    loads = []
    monkeypatch.setattr(content, "load_encoder", lambda *a: loads.append(a) or StubEncoder())
    monkeypatch.setattr(shelf, "make_estimator", lambda *a: loads.append(a) or object())
    models = ModelShelf("assets")
    first, second = models.voice(voice_path()), models.voice(voice_path(version="v1"))
    assert models.encoder_for(first) is models.encoder_for(second)
    assert models.estimator("pm") is models.estimator("pm")
    assert len(loads) == 2
    assert models.voice(voice_path()) is first
    models.clear()
    assert models.voice(voice_path()) is not first


def test_only_the_last_voices_are_kept(voice_path):
    models = ModelShelf("assets")
    paths = [voice_path(info=str(number)) for number in range(3)]
    first = models.voice(paths[0])
    for path in paths[1:]:
        models.voice(path)
    assert models.voice(paths[0]) is not first


def test_an_encoder_that_was_asked_for_must_fit(monkeypatch, voice_path):
    asked = []
    monkeypatch.setattr(content, "load_encoder", lambda which, *a: asked.append(which) or StubEncoder())
    ModelShelf("assets").encoder_for(Voice.load(voice_path(encoder="hubert:0123456789ab")))
    with pytest.raises(BadInput, match="starter-1"):
        ModelShelf("assets", encoder="hubert").encoder_for(Voice.load(voice_path(encoder="starter-1:a")))
    assert asked == ["hubert", "hubert"]


def test_missing_index_file(tmp_path):
    with pytest.raises(MissingFile, match="cannot be read"):
        ModelShelf("assets").index(tmp_path / "none.index")


def test_auto_pitch_method(tmp_path):
    from infer.lib.f0 import preferred_method

    assert preferred_method("auto", tmp_path) == "fcpe"
    model = f0.find_method("rmvpe").path(tmp_path)
    model.parent.mkdir(parents=True)
    model.write_bytes(b"x")
    assert preferred_method("auto", tmp_path) == "rmvpe"
    assert preferred_method("pm", tmp_path) == "pm"
