"""The sine source: pitch, phase, voicing."""

import math

import torch

from infer.lib.models.source import NOISE_UNVOICED, NOISE_VOICED, SINE_AMPLITUDE, SineSource, sine_phase

RATE, HOP = 40000, 400


def plain_source() -> SineSource:
    """A source whose trained scale is 1."""
    source = SineSource(RATE, HOP)
    with torch.no_grad():
        source.l_linear.weight.fill_(1)
        source.l_linear.bias.zero_()
    return source


def test_the_phase_counts_the_current_sample():
    phase = sine_phase(torch.tensor([[100.0, 200.0]]), HOP, RATE)[0]
    assert phase.shape == (2 * HOP,)
    assert math.isclose(phase[0], 100 / RATE, rel_tol=1e-6)
    assert math.isclose(phase[HOP - 2], (HOP - 1) * 100 / RATE, rel_tol=1e-6)
    assert math.isclose(phase[HOP], 200 / RATE, rel_tol=1e-4)


def test_the_phase_stays_exact_in_long_clips():
    hz = torch.full((1, 30000), 443.21)  # 5 minutes
    last = sine_phase(hz, HOP, RATE)[0, -1].item()
    turns = 30000 * HOP * (hz[0, 0].double().item() / RATE)
    assert abs(math.remainder(last - turns, 1)) < 1e-5


def test_voiced_frames_are_a_sine_and_unvoiced_ones_are_noise():
    f0 = torch.tensor([[150.0, 0.0]])
    silent, noise = torch.zeros(1, 2 * HOP, 1), torch.ones(1, 2 * HOP, 1)
    sine = torch.atanh(plain_source()(f0, silent))[0, 0].detach()
    expected = SINE_AMPLITUDE * torch.sin(2 * math.pi * 150 / RATE * torch.arange(1, HOP + 1))
    assert torch.allclose(sine[:HOP], expected, atol=1e-6)
    assert sine[HOP:].abs().max() == 0
    added = torch.atanh(plain_source()(f0, noise))[0, 0].detach() - sine
    assert torch.allclose(added[:HOP], torch.tensor(NOISE_VOICED), atol=1e-6)
    assert torch.allclose(added[HOP:], torch.tensor(NOISE_UNVOICED), atol=1e-6)


def test_only_the_scale_is_trained():
    source = plain_source()
    f0 = torch.full((1, 2), 150.0, requires_grad=True)
    source(f0).sum().backward()
    assert f0.grad is None
    assert source.l_linear.weight.grad is not None


def test_half_precision_around_it_changes_nothing():
    source, f0, noise = plain_source(), torch.full((1, 300), 333.3), torch.zeros(1, 300 * HOP, 1)
    exact = source(f0, noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(source(f0, noise), exact)
