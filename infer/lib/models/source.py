"""The excitation of voices with pitch: a sine at f0, with noise, one value for each sample.

Attribute names are the keys of published weights, hence a file format.
"""

import math

import torch
from torch import nn

SINE_AMPLITUDE = 0.1
NOISE_VOICED = 0.003
NOISE_UNVOICED = SINE_AMPLITUDE / 3


@torch.no_grad()
def sine_phase(f0_hz: torch.Tensor, hop: int, sample_rate: int) -> torch.Tensor:
    """Phase [B, T * hop] float32 in turns, 0..1, of f0 [B, T] held constant through each frame.

    Sample n has advanced by f0 / rate including its own step. Whole turns are dropped after a sum in double
    precision, so the phase of a long clip stays exact.
    """
    per_sample = f0_hz.double() / sample_rate  # [B, T], turns
    before = torch.cumsum(per_sample * hop, dim=1) - per_sample * hop
    steps = torch.arange(1, hop + 1, device=f0_hz.device, dtype=torch.float64)
    phase = before.unsqueeze(2) + per_sample.unsqueeze(2) * steps  # [B, T, hop]
    return phase.frac_().flatten(1).float()


class SineSource(nn.Module):
    """Sine plus noise, mixed by a trained scale and squashed by tanh. All of it runs in float32."""

    def __init__(self, sample_rate: int, hop: int):
        super().__init__()
        self.sample_rate = sample_rate
        self.hop = hop
        self.l_linear = nn.Linear(1, 1)

    def forward(self, f0_hz: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """[B, 1, T * hop] of f0 [B, T] in Hz, 0 where unvoiced. `noise` [B, T * hop, 1] is drawn if None."""
        with torch.autocast(f0_hz.device.type, enabled=False):
            excitation = self._excitation(f0_hz.float(), noise)  # [B, T * hop, 1]
            weight, bias = self.l_linear.weight.float(), self.l_linear.bias.float()
            mixed = torch.tanh(excitation * weight + bias)
        return mixed.transpose(1, 2).to(self.l_linear.weight.dtype)

    @torch.no_grad()
    def _excitation(self, f0_hz: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        phase = sine_phase(f0_hz, self.hop, self.sample_rate).unsqueeze(2)  # [B, T * hop, 1]
        if noise is None:
            noise = torch.randn_like(phase)
        voiced = (f0_hz > 0).repeat_interleave(self.hop, dim=1).unsqueeze(2)
        sine = torch.sin(phase * (2 * math.pi)) * SINE_AMPLITUDE
        return torch.where(voiced, sine + noise.float() * NOISE_VOICED, noise.float() * NOISE_UNVOICED)
