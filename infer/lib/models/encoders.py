"""What the flow stands between: content on one side, the true spectrogram on the other.

Attribute names are the keys of published weights, hence a file format.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from infer.lib.models.attention import Encoder
from infer.lib.models.blocks import WaveNet, length_mask
from infer.lib.models.spec import ModelSpec

PITCH_BINS = 256
POSTERIOR_KERNEL = 5
POSTERIOR_LAYERS = 16


class TextEncoder(nn.Module):
    """Content features, and the pitch where the voice uses it, to the prior's mean and log deviation."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.emb_phone = nn.Linear(spec.feature_dim, spec.hidden_channels)
        self.emb_pitch = nn.Embedding(PITCH_BINS, spec.hidden_channels) if spec.use_f0 else None
        self.encoder = Encoder(spec)
        self.proj = nn.Conv1d(spec.hidden_channels, 2 * spec.inter_channels, 1)
        self.scale = math.sqrt(spec.hidden_channels)

    def forward(
        self,
        content: torch.Tensor,
        coarse: torch.Tensor | None,
        lengths: torch.Tensor,
        skip_head: int = 0,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean and log deviation [B, C, T], mask [B, 1, T] of content [B, T, D] and coarse pitch [B, T].

        The first `skip_head` frames serve as context only and are cut off.
        """
        x = self.emb_phone(content)
        if self.emb_pitch is not None:
            x = x + self.emb_pitch(coarse)
        x = F.leaky_relu(x * self.scale, 0.1).transpose(1, 2)  # [B, C, T]
        mask = length_mask(lengths, x.shape[2], x.dtype)
        x = self.encoder(x, mask)[:, :, skip_head:]
        mask = mask[:, :, skip_head:]
        mean, log_deviation = (self.proj(x) * mask).chunk(2, dim=1)
        return mean, log_deviation, mask


class PosteriorEncoder(nn.Module):
    """The true linear spectrogram to the posterior's mean and log deviation; training only."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.pre = nn.Conv1d(spec.spec_channels, spec.hidden_channels, 1)
        self.enc = WaveNet(spec.hidden_channels, POSTERIOR_KERNEL, POSTERIOR_LAYERS, spec.gin_channels)
        self.proj = nn.Conv1d(spec.hidden_channels, 2 * spec.inter_channels, 1)
        self.gradient_checkpointing = False

    def forward(
        self, spectrogram: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log deviation [B, C, T] of a spectrogram [B, F, T] and its mask [B, 1, T]."""
        x = self.pre(spectrogram) * mask
        if self.gradient_checkpointing and torch.is_grad_enabled():
            x = checkpoint(self.enc, x, mask, speaker, use_reentrant=False, preserve_rng_state=False)
        else:
            x = self.enc(x, mask, speaker)
        mean, log_deviation = (self.proj(x) * mask).chunk(2, dim=1)
        return mean, log_deviation
