"""The normalising flow between the posterior's latent and the prior's: four mean-only couplings.

Attribute names are the keys of published weights, hence a file format.
"""

import torch
from torch import nn

from infer.lib.models.blocks import WaveNet
from infer.lib.models.spec import ModelSpec

N_COUPLINGS = 4
COUPLING_KERNEL = 5
COUPLING_LAYERS = 3
# What one frame of the flow's output sees on either side.
CONTEXT_FRAMES = N_COUPLINGS * COUPLING_LAYERS * (COUPLING_KERNEL // 2)


class Coupling(nn.Module):
    """Shifts one half of the channels by what a WaveNet makes of the other half."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        half = spec.inter_channels // 2
        self.pre = nn.Conv1d(half, spec.hidden_channels, 1)
        self.enc = WaveNet(spec.hidden_channels, COUPLING_KERNEL, COUPLING_LAYERS, spec.gin_channels)
        self.post = nn.Conv1d(spec.hidden_channels, half, 1)
        nn.init.zeros_(self.post.weight)  # a fresh flow is the identity
        nn.init.zeros_(self.post.bias)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor, reverse: bool = False
    ) -> torch.Tensor:
        """[B, C, T] of x [B, C, T], mask [B, 1, T] and speaker [B, G, 1]."""
        fixed, moved = x.chunk(2, dim=1)
        hidden = self.enc(self.pre(fixed) * mask, mask, speaker)
        shift = self.post(hidden) * mask
        moved = (moved - shift) * mask if reverse else moved * mask + shift
        return torch.cat((fixed, moved), dim=1)


class Flip(nn.Module):
    """Reverses the order of the channels; its own inverse."""

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor, reverse: bool = False
    ) -> torch.Tensor:
        return x.flip(1)


class Flow(nn.Module):
    """Couplings at the even places of `flows`, flips at the odd ones."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.flows = nn.ModuleList()
        for _ in range(N_COUPLINGS):
            self.flows.append(Coupling(spec))
            self.flows.append(Flip())

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor, reverse: bool = False
    ) -> torch.Tensor:
        """Latent [B, C, T] to the prior's side, or back if `reverse`."""
        for step in reversed(self.flows) if reverse else self.flows:
            x = step(x, mask, speaker, reverse)
        return x
