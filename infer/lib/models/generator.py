"""The decoder: latent frames to sound, a HiFi-GAN that may be driven by a pitch source.

Attribute names are the keys of published weights, hence a file format.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from infer.lib.models import blocks
from infer.lib.models.blocks import NormConv1d, NormConvTranspose1d
from infer.lib.models.source import SineSource
from infer.lib.models.spec import ModelSpec

SLOPE = 0.1
LAST_SLOPE = 0.01  # before conv_post: torch's default, and so the weights were trained
# Frames decoded at once without gradients. Each holds up to 60 kB in each of about five tensors. On the CPU
# tensors of less than 16 MB are also faster: the allocator keeps their pages instead of asking for new ones.
TILE_FRAMES = 2000
TILE_FRAMES_CPU = 256


def _leaky(x: torch.Tensor, slope: float, reuse: bool = False) -> torch.Tensor:
    """Leaky ReLU; in place if `reuse` (x is not needed again) and no gradient will ask for x."""
    return F.leaky_relu(x, slope, inplace=reuse and not torch.is_grad_enabled())


def _sum(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x + y; into x where no gradient will ask for it."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


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
            x = _sum(y, x)
        return x


class Decoder(nn.Module):
    """Upsampling stages, each followed by the mean of several ResBlocks. `m_source` is None without f0."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.hop = spec.hop
        self.rates = spec.upsample_rates
        self.contexts = stage_contexts(spec)
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
        if torch.is_grad_enabled():
            return self._render(x, source, 0, x.shape[2])
        return torch.cat([self._render(x, source, *bounds) for bounds in _tiles(x)], dim=2)

    def _render(self, x: torch.Tensor, source: torch.Tensor | None, start: int, end: int) -> torch.Tensor:
        """[B, 1, (end - start) * hop]: the sound of some frames of x [B, C, T], the same as out of the whole.

        Each stage also takes as many frames around them as it and all later ones look at.
        """
        frames, origin, samples = x.shape[2], 0, 1  # x begins at frame `origin`, with `samples` for each
        for stage, (rate, context) in enumerate(zip(self.rates, self.contexts, strict=True)):
            low, high = max(start - context, 0), min(end + context, frames)
            x = x[..., (low - origin) * samples : (high - origin) * samples]
            if stage == 0:
                x = self._layout(x)
            part = None if source is None else source[:, :, low * self.hop : high * self.hop]
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._stage, stage, x, part, use_reentrant=False, preserve_rng_state=False)
            else:
                x = self._stage(stage, x, part)
            origin, samples = low, samples * rate
        audio = self._sound(_leaky(x, LAST_SLOPE, reuse=True))
        return audio[:, :, (start - origin) * self.hop : (end - origin) * self.hop]

    def _layout(self, x: torch.Tensor) -> torch.Tensor:
        """The layout in which this device convolves fastest."""
        return x if torch.is_grad_enabled() or x.device.type != "cpu" else blocks.widen(x)

    def _sound(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, N] float32 of [B, C, N]: half precision would put coarse steps into the audio."""
        weight = self.conv_post.weight.float()
        with torch.autocast(x.device.type, enabled=False):
            if x.dim() == 3:
                return torch.tanh(F.conv1d(x.float(), weight, padding=3))
            return torch.tanh(F.conv2d(x.float(), blocks.widen(weight), padding=(0, 3)).squeeze(2))

    def _stage(self, stage: int, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """[B, C, T] -> [B, C / 2, T * rate]"""
        x = self.ups[stage](_leaky(x, SLOPE, reuse=stage > 0))  # the first input belongs to all tiles
        if source is not None:
            x = _sum(x, _noise(self.noise_convs[stage], source, wide=x.dim() == 4))
        first = stage * self.n_blocks
        total = self.resblocks[first](x)
        for block in self.resblocks[first + 1 : first + self.n_blocks]:
            total = _sum(total, block(x))
        return total / self.n_blocks if torch.is_grad_enabled() else total.div_(self.n_blocks)


def stage_channels(spec: ModelSpec, stage: int) -> int:
    """Channels after an upsampling stage."""
    return spec.upsample_initial_channel // 2 ** (stage + 1)


def stage_contexts(spec: ModelSpec) -> tuple[int, ...]:
    """For each stage, the frames on either side of a frame that its sound depends on from there on."""
    sizes = zip(spec.resblock_kernel_sizes, spec.resblock_dilation_sizes, strict=True)
    reach = max((size - 1) // 2 * (sum(dilations) + len(dilations)) for size, dilations in sizes)
    reach += 2  # of the source's convolution
    contexts, samples = [], spec.hop
    looked_at = 3 / samples  # by conv_post
    stages = zip(spec.upsample_rates, spec.upsample_kernel_sizes, strict=True)
    for rate, kernel in reversed(list(stages)):
        looked_at += reach / samples
        samples //= rate
        looked_at += kernel / rate / samples
        contexts.insert(0, math.ceil(looked_at))
    return tuple(contexts)


def _tiles(x: torch.Tensor) -> list[tuple[int, int]]:
    """(start, end) of the fewest equal parts of x [B, C, T] that keep to the device's TILE_FRAMES."""
    frames = x.shape[2]
    most = TILE_FRAMES_CPU if x.device.type == "cpu" else TILE_FRAMES
    size = math.ceil(frames / math.ceil(frames / most))
    return [(start, min(start + size, frames)) for start in range(0, frames, size)]


def _noise(conv: nn.Conv1d, source: torch.Tensor, wide: bool) -> torch.Tensor:
    """The source [B, 1, N] brought down to a stage's rate: [B, C, T] or wide."""
    if not wide:
        return conv(source)
    # as a product of windows and kernels, which comes out with the channels innermost
    padded = F.pad(source[:, 0], (conv.padding[0], conv.padding[0]))
    windows = padded.unfold(1, conv.kernel_size[0], conv.stride[0])  # [B, T, K]
    return F.linear(windows, conv.weight[:, 0], conv.bias).transpose(1, 2).unsqueeze(2)


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
