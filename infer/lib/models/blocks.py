"""Building blocks shared by the networks: weight-normed convolutions, the WaveNet, masks.

Attribute names are the keys of published weights, hence a file format.
"""

import torch
from torch import nn
from torch.nn import functional as F


def length_mask(lengths: torch.Tensor, frames: int, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, frames]: 1 where the position is below the clip's length, else 0."""
    positions = torch.arange(frames, device=lengths.device)
    return (positions < lengths.unsqueeze(1)).unsqueeze(1).to(dtype)


def widen(x: torch.Tensor) -> torch.Tensor:
    """[B, C, T] -> [B, C, 1, T] with the channels innermost in memory.

    torch brings every 3-d convolution input back to time-innermost order; as a 4-d one it may stay
    channels-last, with which CPU convolutions of few channels run up to four times as fast.
    """
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class _WeightNorm(nn.Module):
    """A convolution whose kernel is `weight_g * weight_v / ||weight_v||`, norm over every axis but 0.

    The two-tensor form, registered after the bias, is what published files hold. `fuse` replaces it by
    the plain `weight`, for inference only.
    """

    def _split_weight(self) -> None:
        weight = self._parameters.pop("weight")
        norm = torch.norm_except_dim(weight.detach(), 2, 0)
        self.weight_g = nn.Parameter(norm)
        self.weight_v = nn.Parameter(weight.detach().clone())

    def kernel(self) -> torch.Tensor:
        """The plain kernel, in torch's layout for this convolution."""
        if "weight" in self._parameters:
            return self.weight
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    def fuse(self) -> None:
        """Keep the plain kernel only. Doing it twice is harmless."""
        if "weight" in self._parameters:
            return
        weight = self.kernel().detach()
        if weight.dim() == 3:
            weight = widen(weight).squeeze(2)  # same values, in the order that the wide layout wants
        del self.weight_g, self.weight_v
        self.weight = nn.Parameter(weight, requires_grad=False)


class NormConv1d(_WeightNorm, nn.Conv1d):
    """Weight-normed `nn.Conv1d` with zero padding; also takes and returns the wide layout (see `widen`)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._split_weight()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, T] or [B, C, 1, T]
        if x.dim() == 3:
            return F.conv1d(
                x, self.kernel(), self.bias, self.stride, self.padding, self.dilation, self.groups
            )
        stride, padding, dilation = (1, *self.stride), (0, *self.padding), (1, *self.dilation)
        return F.conv2d(x, widen(self.kernel()), self.bias, stride, padding, dilation, self.groups)


class NormConv2d(_WeightNorm, nn.Conv2d):
    """Weight-normed `nn.Conv2d` with zero padding."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._split_weight()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, H, W]
        return F.conv2d(x, self.kernel(), self.bias, self.stride, self.padding, self.dilation, self.groups)


class NormConvTranspose1d(_WeightNorm, nn.ConvTranspose1d):
    """Weight-normed `nn.ConvTranspose1d`, in both layouts; axis 0 of its kernel is the input channel."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._split_weight()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, T] or [B, C, 1, T]
        if x.dim() == 3:
            return F.conv_transpose1d(x, self.kernel(), self.bias, self.stride, self.padding)
        return F.conv_transpose2d(x, widen(self.kernel()), self.bias, (1, *self.stride), (0, *self.padding))


def fuse_weight_norm(module: nn.Module) -> None:
    """Fuse every weight-normed convolution inside `module`, in place."""
    for child in module.modules():
        if isinstance(child, _WeightNorm):
            child.fuse()


class WaveNet(nn.Module):
    """Gated convolutions with residual and skip paths, conditioned on the speaker (VITS, after WaveNet)."""

    def __init__(self, channels: int, kernel_size: int, n_layers: int, gin_channels: int):
        super().__init__()
        self.channels = channels
        self.n_layers = n_layers
        last = n_layers - 1
        self.in_layers = nn.ModuleList(
            NormConv1d(channels, 2 * channels, kernel_size, padding=kernel_size // 2) for _ in range(n_layers)
        )
        self.res_skip_layers = nn.ModuleList(
            NormConv1d(channels, channels if layer == last else 2 * channels, 1) for layer in range(n_layers)
        )
        self.cond_layer = NormConv1d(gin_channels, 2 * channels * n_layers, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        """[B, C, T] of x [B, C, T], mask [B, 1, T] and the speaker's vector [B, G, 1]."""
        conditions = self.cond_layer(speaker).chunk(self.n_layers, dim=1)
        skipped = 0
        for layer, condition in enumerate(conditions):
            gates, values = self._gate(layer, x, condition)
            both = self.res_skip_layers[layer](gates * values)
            if layer == self.n_layers - 1:
                skipped = skipped + both
            else:
                residual, skip = both.chunk(2, dim=1)
                x = (x + residual) * mask
                skipped = skipped + skip
        return skipped * mask

    def _gate(
        self, layer: int, x: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        values, gates = (self.in_layers[layer](x) + condition).chunk(2, dim=1)
        return torch.sigmoid(gates), torch.tanh(values)
