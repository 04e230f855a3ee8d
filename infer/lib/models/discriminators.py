"""The judges of training: one looks at the scale of samples, the others at periods (HiFi-GAN, MelGAN).

Attribute names are the keys of published weights, hence a file format.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from infer.lib.models.blocks import NormConv1d, NormConv2d
from infer.lib.models.spec import PERIODS

SLOPE = 0.1

# in, out, kernel, stride, groups
_SCALE_LAYERS = (
    (1, 16, 15, 1, 1),
    (16, 64, 41, 4, 4),
    (64, 256, 41, 4, 16),
    (256, 1024, 41, 4, 64),
    (1024, 1024, 41, 4, 256),
    (1024, 1024, 5, 1, 1),
)
# in, out, stride
_PERIOD_LAYERS = ((1, 32, 3), (32, 128, 3), (128, 512, 3), (512, 1024, 3), (1024, 1024, 1))

Judgement = tuple[torch.Tensor, list[torch.Tensor]]  # score [B, n], feature maps


class ScaleDiscriminator(nn.Module):
    """Grouped convolutions over the samples."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            NormConv1d(n_in, n_out, kernel, stride, groups=groups, padding=kernel // 2)
            for n_in, n_out, kernel, stride, groups in _SCALE_LAYERS
        )
        self.conv_post = NormConv1d(1024, 1, 3, padding=1)

    def forward(self, audio: torch.Tensor) -> Judgement:  # [B, 1, N]
        return _judge(audio, self.convs, self.conv_post)


class PeriodDiscriminator(nn.Module):
    """Convolutions over every period-th sample."""

    def __init__(self, period: int):
        super().__init__()
        self.period = period
        self.convs = nn.ModuleList(
            NormConv2d(n_in, n_out, (5, 1), (stride, 1), padding=(2, 0))
            for n_in, n_out, stride in _PERIOD_LAYERS
        )
        self.conv_post = NormConv2d(1024, 1, (3, 1), padding=(1, 0))

    def forward(self, audio: torch.Tensor) -> Judgement:  # [B, 1, N]
        missing = -audio.shape[2] % self.period
        if missing:
            audio = F.pad(audio, (0, missing), mode="reflect")
        folded = audio.unflatten(2, (-1, self.period))  # [B, 1, N / p, p]
        return _judge(folded, self.convs, self.conv_post)


class MultiPeriodDiscriminator(nn.Module):
    """The scale discriminator, then one for each period of the version."""

    def __init__(self, version: str):
        super().__init__()
        periods = (PeriodDiscriminator(period) for period in PERIODS[version])
        self.discriminators = nn.ModuleList([ScaleDiscriminator(), *periods])

    def forward(self, audio: torch.Tensor) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
        """Scores (each [B, n]) and feature maps of all discriminators for audio [B, 1, N].

        True and generated sound may be given as one batch: nothing is shared between clips.
        """
        judgements = [judge(audio) for judge in self.discriminators]
        return [score for score, _ in judgements], [maps for _, maps in judgements]


def _judge(x: torch.Tensor, convs: Iterable[nn.Module], conv_post: nn.Module) -> Judgement:
    maps = []
    for conv in convs:
        # in place: neither backward pass needs the convolution's own output
        x = F.leaky_relu(conv(x), SLOPE, inplace=True)
        maps.append(x)
    x = conv_post(x)
    maps.append(x)
    return x.flatten(1), maps
