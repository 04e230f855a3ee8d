"""The Synthesizer: names, shapes, padding, streams, precision, training."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.lib.models import blocks, generator
from infer.lib.models.spec import SAMPLE_RATES, VERSIONS, ModelSpec, sample_rate_of, standard_config
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer, cut_windows
from tests.golden.synthetic_weights import load_spec, load_specs
from tests.lib.models.conftest import Case, fill_module, peak_error, tiny_spec, tiny_voice

DATA = Path(__file__).parents[2] / "data" / "networks"
FULL_NAMES = [
    name for name in load_specs()["models"] if name.startswith(("G.", "small.")) and "@" not in name
]


@pytest.mark.parametrize("name", FULL_NAMES)
def test_names_shapes_and_order_are_those_of_published_weights(name):
    kind, version, label, pitch = name.split(".")
    spec = standard_config(version, sample_rate_of(label)).spec(version, pitch == "f0")
    with torch.device("meta"):
        voice = Synthesizer(spec, posterior=kind == "G")
    found = [(key, tuple(tensor.shape)) for key, tensor in voice.state_dict().items()]
    expected = [(key, shape) for key, (shape, _) in load_spec(name).items()]
    if (version, pitch) == ("v2", "nof0"):  # published in the order of RVC 2.3 only
        found.sort()
        expected.sort()
    assert found == expected


def test_optimizer_states_follow_the_same_order():
    voice = tiny_voice(posterior=True)
    assert [name for name, _ in voice.named_parameters()] == list(voice.state_dict())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
@pytest.mark.parametrize("use_f0", [True, False])
def test_every_kind_of_voice_speaks_ten_milliseconds_a_frame(version, sample_rate, use_f0):
    voice = tiny_voice(version=version, sample_rate=sample_rate, use_f0=use_f0)
    audio = Case(voice.spec, frames=13, batch=2).infer(voice)
    assert audio.shape == (2, 13 * sample_rate // 100)
    assert audio.isfinite().all()
    assert audio.abs().max() <= 1


def test_fused_weights_speak_the_same():
    voice = tiny_voice()
    case = Case(voice.spec, frames=20)
    expected = case.infer(voice)
    voice.fuse_weight_norm().fuse_weight_norm()
    names = set(voice.state_dict())
    assert "dec.ups.0.weight" in names
    assert not any(name.endswith(("weight_g", "weight_v")) for name in names)
    assert peak_error(case.infer(voice), expected) < 1e-6


def test_the_norm_of_a_fused_kernel_gives_the_kernel_back():
    conv = blocks.NormConvTranspose1d(4, 3, 5)
    kernel = conv.kernel().detach()
    assert conv.weight_g.shape == (4, 1, 1)
    expected = conv.weight_v * (conv.weight_g / conv.weight_v.norm(dim=(1, 2), keepdim=True))
    assert torch.allclose(kernel, expected, atol=1e-7)
    conv.fuse()
    assert torch.equal(conv.kernel(), kernel)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
@pytest.mark.parametrize("layout", [blocks.widen, torch.Tensor.contiguous])
def test_long_clips_decoded_in_tiles_sound_as_from_one(version, sample_rate, layout, monkeypatch):
    monkeypatch.setattr(generator.Decoder, "_layout", lambda decoder, x: layout(x))
    voice = tiny_voice(version=version, sample_rate=sample_rate)
    case = Case(voice.spec, frames=75)
    whole = case.infer(voice)
    monkeypatch.setattr(generator, "TILE_FRAMES_CPU", 20)
    assert peak_error(case.infer(voice), whole) < 1e-6


def test_tiles_cover_every_frame_once():
    assert generator._tiles(torch.empty(1, 1, 256)) == [(0, 256)]
    assert generator._tiles(torch.empty(1, 1, 600)) == [(0, 200), (200, 400), (400, 600)]
    assert generator._tiles(torch.empty(1, 1, 513))[-1] == (342, 513)


def test_both_layouts_sound_the_same(monkeypatch):
    voice = tiny_voice()
    case = Case(voice.spec, frames=20, batch=2)
    wide = case.infer(voice)
    monkeypatch.setattr(generator.Decoder, "_layout", lambda decoder, x: x)
    assert peak_error(case.infer(voice), wide) < 1e-6


def test_padding_in_a_batch_changes_nothing():
    voice = tiny_voice()
    case = Case(voice.spec, frames=30, batch=2)
    case.lengths = torch.tensor([30, 19])
    audio = case.infer(voice)[1]
    short = Case(voice.spec, frames=30, batch=2)
    short.content, short.lengths = case.content[1:, :19], torch.tensor([19])
    short.pitch = Pitch(case.pitch.coarse[1:, :19], case.pitch.hz[1:, :19])
    short.speaker_ids = case.speaker_ids[1:]
    short.draws = Draws(
        prior=case.draws.prior[1:, :, :19], source=case.draws.source[1:, : 19 * voice.spec.hop]
    )
    alone = short.infer(voice)[0]
    # the decoder itself knows no mask: it looks a few frames ahead, into zeros of the latent
    clear = (19 - voice.dec.contexts[0] - 3) * voice.spec.hop
    assert clear > 0
    assert peak_error(audio[:clear], alone[:clear]) < 1e-6


@pytest.mark.parametrize("use_f0", [True, False])
@pytest.mark.parametrize(("head", "length"), [(0, 20), (10, 25), (30, 12)])
def test_a_stream_speaks_the_frames_of_the_whole(use_f0, head, length):
    voice = tiny_voice(use_f0=use_f0)
    case = Case(voice.spec, frames=50)
    cut_source(case, voice, length)
    streamed = case.infer(voice, skip_head=head, return_length=length)
    with torch.no_grad():
        speaker = voice.emb_g(case.speaker_ids).unsqueeze(2)
        coarse = case.pitch.coarse if use_f0 else None
        mean, deviation, mask = voice.enc_p(case.content, coarse, case.lengths)
        z = voice.flow(
            (mean + deviation.exp() * case.draws.prior * 0.66666) * mask, mask, speaker, reverse=True
        )
        hz = case.pitch.hz[:, head : head + length] if use_f0 else None
        whole = voice.dec(z[:, :, head : head + length], hz, speaker, case.draws.source)
    assert streamed.shape == (1, length * voice.spec.hop)
    assert peak_error(streamed, whole.squeeze(1)) < 1e-5


def cut_source(case: Case, voice: Synthesizer, frames: int) -> None:
    case.draws = dataclasses.replace(case.draws, source=case.draws.source[:, : frames * voice.spec.hop])


def test_a_stretched_stream_has_the_length_asked_for():
    voice = tiny_voice()
    case = Case(voice.spec, frames=50)
    cut_source(case, voice, 20)
    audio = case.infer(voice, skip_head=26, return_length=20, return_length2=23)
    assert audio.shape == (1, 23 * voice.spec.hop)


def test_randomness_not_given_is_drawn_prior_first_then_source():
    voice = tiny_voice()
    case = Case(voice.spec, frames=10)
    torch.manual_seed(5)
    prior = torch.randn(1, voice.spec.inter_channels, 10)
    given = Draws(prior=prior, source=torch.randn(1, 10 * voice.spec.hop, 1))
    case.draws = given
    expected = case.infer(voice)
    torch.manual_seed(5)
    case.draws = None
    assert torch.equal(case.infer(voice), expected)


def train_pass(voice: Synthesizer, case: Case, **changes):
    case.draws = dataclasses.replace(case.draws, **{"source": None, **changes})
    torch.manual_seed(1)
    return voice(
        case.content,
        case.lengths,
        case.pitch,
        case.spectrogram,
        case.lengths,
        speaker_ids=case.speaker_ids,
        draws=case.draws,
    )


@pytest.mark.parametrize("use_f0", [True, False])
def test_gradients_reach_every_parameter(use_f0):
    voice = tiny_voice(posterior=True, use_f0=use_f0, segment_frames=6)
    output = train_pass(voice, Case(voice.spec, frames=12, batch=2))
    loss = output.audio.square().sum() + (output.z_p - output.m_p).square().sum() + output.logs_p.exp().sum()
    loss.backward()
    silent = [name for name, value in voice.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_training_output_shapes_and_windows():
    voice = tiny_voice(posterior=True, segment_frames=6)
    case = Case(voice.spec, frames=14, batch=2)
    case.lengths = torch.tensor([14, 9])
    output = train_pass(voice, case)
    assert output.audio.shape == (2, 1, 6 * voice.spec.hop)
    assert output.z.shape == output.z_p.shape == output.m_p.shape == output.logs_q.shape == (2, 8, 14)
    assert output.spec_mask.sum(dim=(1, 2)).tolist() == [14, 9]
    assert (output.starts >= 0).all()
    assert (output.starts <= case.lengths - 6).all()


def test_clips_spoken_from_the_prior_are_a_conversion_without_noise():
    voice = tiny_voice(posterior=True, segment_frames=12)
    case, starts = Case(voice.spec, frames=12, batch=3), torch.zeros(3, dtype=torch.long)
    given = {"starts": starts, "source": case.draws.source}
    converted = case.infer(voice, noise_scale=0.0)
    plain = train_pass(voice, case, **given)
    chosen = torch.tensor([True, False, True])
    mixed = train_pass(voice, case, from_prior=chosen, **given)
    assert peak_error(mixed.audio[chosen, 0].detach(), converted[chosen]) < 1e-5
    assert peak_error(mixed.audio[1].detach(), plain.audio[1].detach()) < 1e-6
    assert peak_error(mixed.audio[chosen].detach(), plain.audio[chosen].detach()) > 1e-2
    assert torch.equal(mixed.z_p, plain.z_p)  # what the latent's own loss sees
    mixed.audio[chosen].square().sum().backward()
    assert any(p.grad.abs().max() > 0 for p in voice.enc_p.parameters() if p.grad is not None)


def test_clips_spoken_as_another_speaker_are_a_conversion_to_that_speaker():
    voice = tiny_voice(posterior=True, segment_frames=12)
    case, starts = Case(voice.spec, frames=12, batch=3), torch.zeros(3, dtype=torch.long)
    chosen, own = torch.tensor([True, False, True]), case.speaker_ids
    others = (own + 1) % voice.spec.n_speakers
    given = {"starts": starts, "source": case.draws.source, "from_prior": chosen}
    plain = train_pass(voice, case, **given)
    mixed = train_pass(voice, case, spoken_as=others, **given)
    assert torch.equal(mixed.z_p, plain.z_p) and torch.equal(mixed.m_q, plain.m_q)
    assert torch.equal(mixed.audio[1], plain.audio[1])  # not chosen: who spoke it speaks it
    case.speaker_ids = others
    converted = case.infer(voice, noise_scale=0.0)
    assert peak_error(mixed.audio[chosen, 0].detach(), converted[chosen]) < 1e-5
    assert peak_error(mixed.audio[chosen].detach(), plain.audio[chosen].detach()) > 1e-3


def test_checkpointing_changes_memory_but_no_gradient():
    voice = tiny_voice(posterior=True, segment_frames=6)
    gradients = []
    for checkpointing in (False, True):
        voice.zero_grad()
        voice.gradient_checkpointing = checkpointing
        assert voice.gradient_checkpointing == checkpointing
        train_pass(voice, Case(voice.spec, frames=12)).audio.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in voice.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_finite_and_close(dtype):
    voice = tiny_voice(posterior=True, segment_frames=6)
    case = Case(voice.spec, frames=12, batch=2)
    starts = torch.tensor([1, 2])
    exact = train_pass(voice, case, starts=starts).audio.detach()
    with torch.autocast("cpu", dtype=dtype):
        output = train_pass(voice, case, starts=starts)
    assert output.audio.dtype == torch.float32
    assert peak_error(output.audio.detach(), exact) < 0.1
    output.audio.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in voice.parameters() if p.grad is not None)


def test_windows_are_cut_clip_by_clip():
    frames = torch.arange(20).reshape(2, 1, 10)
    assert cut_windows(frames, torch.tensor([0, 7]), 3).tolist() == [[[0, 1, 2]], [[17, 18, 19]]]
    assert cut_windows(frames[:, 0], torch.tensor([2, 0]), 2).tolist() == [[2, 3], [10, 11]]


def test_a_fresh_flow_moves_nothing():
    spec = tiny_spec()
    voice = Synthesizer(spec)
    x, mask, speaker = torch.randn(1, 8, 5), torch.ones(1, 1, 5), torch.randn(1, 4, 1)
    assert torch.equal(voice.flow(x, mask, speaker), x)


def test_the_flow_runs_back():
    voice = tiny_voice()
    x, mask, speaker = torch.randn(1, 8, 9), torch.ones(1, 1, 9), torch.randn(1, 4, 1)
    with torch.no_grad():
        there = voice.flow(x, mask, speaker)
        assert peak_error(there, x) > 1e-2
        assert peak_error(voice.flow(there, mask, speaker, reverse=True), x) < 1e-5


@pytest.mark.parametrize(
    ("name", "use_f0", "config"),
    [
        ("tiny_v1_32k_old", True, (513, [10, 4, 2, 2, 2], 6, 32000)),
        ("tiny_v1_48k_nof0", False, (1025, [10, 6, 2, 2, 2], 3, 48000)),
    ],
)
def test_the_sound_is_the_one_the_original_makes(name, use_f0, config):
    bins, rates, speakers, sample_rate = config
    sizes = [bins, 32, 16, 16, 32, 2, 2, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, rates, 32, [16, 16, 4, 4, 4]]
    spec = ModelSpec.from_voice_config([*sizes, speakers, 8, sample_rate], "v1", use_f0)
    voice = fill_module(Synthesizer(spec, posterior=False))
    voice.load_state_dict({key: value.half().float() for key, value in voice.state_dict().items()})
    with np.load(DATA / f"{name}.npz") as arrays:
        given = {key: torch.from_numpy(array) for key, array in arrays.items()}
    frames = given["phone"].shape[1]
    silent = Draws(prior=torch.zeros(1, 16, frames), source=torch.zeros(1, frames * spec.hop, 1))
    pitch = Pitch(given["pitch"], given["pitchf"]) if use_f0 else None
    audio = voice.infer(given["phone"], torch.tensor([frames]), pitch, given["sid"], silent)
    assert peak_error(audio[0], given["audio"]) < 1e-4
