"""The decoder: latent frames to sound, a HiFi-GAN that may be driven by a pitch source.

Attribute names are the keys of published weights, hence a file format.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from infer.lib.models.blocks import NormConv1d, NormConvTranspose1d
from infer.lib.models.source import SineSource
from infer.lib.models.spec import ModelSpec

SLOPE = 0.1
LAST_SLOPE = 0.01  # before conv_post: torch's default, and so the weights were trained


def _leaky(x: torch.Tensor, slope: float, reuse: bool = False) -> torch.Tensor:
    """Leaky ReLU; in place if `reuse` (x is not needed again) and no gradient will ask for x."""
    return F.leaky_relu(x, slope, inplace=reuse and not torch.is_grad_enabled())


class ResBlock(nn.Module):
    """Residual rounds of a dilated and a plain convolution (HiFi-GAN's type 1)."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]):
        super().__init__()
        half = (kernel_size - 1) // 2
        self.convs1 = nn.ModuleList(
            NormConv1d(channels, channels, kernel_size, dilation=d, padding=half * d) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            NormConv1d(channels, channels, kernel_size, padding=half) for _ in dilations
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, T]
        for first, second in zip(self.convs1, self.convs2, strict=True):
            y = second(_leaky(first(_leaky(x, SLOPE)), SLOPE, reuse=True))
            x = x + y if torch.is_grad_enabled() else y.add_(x)
        return x


class Decoder(nn.Module):
    """Upsampling stages, each followed by the mean of several ResBlocks. `m_source` is None without f0."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.hop = spec.hop
        self.n_blocks = len(spec.resblock_kernel_sizes)
        self.gradient_checkpointing = False
        self.m_source = SineSource(spec.sample_rate, spec.hop) if spec.use_f0 else None
        self.noise_convs = _noise_convs(spec) if spec.use_f0 else None
        self.conv_pre = nn.Conv1d(spec.inter_channels, spec.upsample_initial_channel, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for stage, (rate, kernel) in enumerate(
            zip(spec.upsample_rates, spec.upsample_kernel_sizes, strict=True)
        ):
            channels = stage_channels(spec, stage)
            padding = (kernel - rate) // 2
            self.ups.append(NormConvTranspose1d(2 * channels, channels, kernel, rate, padding=padding))
            sizes = zip(spec.resblock_kernel_sizes, spec.resblock_dilation_sizes, strict=True)
            self.resblocks.extend(ResBlock(channels, size, dilations) for size, dilations in sizes)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=False)
        self.cond = nn.Conv1d(spec.gin_channels, spec.upsample_initial_channel, 1)

    def forward(
        self,
        latent: torch.Tensor,
        f0_hz: torch.Tensor | None,
        speaker: torch.Tensor,
        source_noise: torch.Tensor | None = None,
        frames: int | None = None,
    ) -> torch.Tensor:
        """Audio [B, 1, T * hop] float32 of a latent [B, C, T], f0 [B, T] in Hz or None, speaker [B, G, 1].

        `frames` stretches latent and source to that many frames: the formants move, the pitch follows f0.
        """
        source = None if self.m_source is None else self.m_source(f0_hz, source_noise)
        if frames is not None and frames != latent.shape[2]:
            latent = F.interpolate(latent, size=frames, mode="linear")
        if source is not None and source.shape[2] != latent.shape[2] * self.hop:
            source = F.interpolate(source, size=latent.shape[2] * self.hop, mode="linear")
        x = self.conv_pre(latent) + self.cond(speaker)
        for stage in range(len(self.ups)):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._stage, stage, x, source, use_reentrant=False, preserve_rng_state=False)
            else:
                x = self._stage(stage, x, source)
        return self._sound(_leaky(x, LAST_SLOPE, reuse=True))

    def _sound(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, N] float32 of [B, C, N]: half precision would put coarse steps into the audio."""
        with torch.autocast(x.device.type, enabled=False):
            return torch.tanh(F.conv1d(x.float(), self.conv_post.weight.float(), padding=3))

    def _stage(self, stage: int, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """[B, C, T] -> [B, C / 2, T * rate]"""
        x = self.ups[stage](_leaky(x, SLOPE, reuse=True))
        if source is not None:
            x = x + self.noise_convs[stage](source)
        first = stage * self.n_blocks
        total = self.resblocks[first](x)
        for block in self.resblocks[first + 1 : first + self.n_blocks]:
            total = total + block(x)
        return total / self.n_blocks


def stage_channels(spec: ModelSpec, stage: int) -> int:
    """Channels after an upsampling stage."""
    return spec.upsample_initial_channel // 2 ** (stage + 1)


def _noise_convs(spec: ModelSpec) -> nn.ModuleList:
    """For each stage, the convolution that brings the source down to the stage's rate."""
    convs = nn.ModuleList()
    for stage in range(len(spec.upsample_rates)):
        channels = stage_channels(spec, stage)
        stride = math.prod(spec.upsample_rates[stage + 1 :])
        if stride == 1:
            convs.append(nn.Conv1d(1, channels, 1))
        else:
            convs.append(nn.Conv1d(1, channels, 2 * stride, stride, padding=stride // 2))
    return convs
