"""The training losses (HiFi-GAN's least squares and feature matching, VITS's KL), all in fp32."""

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

Scores = list[torch.Tensor]  # one [B, n] for each discriminator
Maps = list[list[torch.Tensor]]  # activations of each layer of each discriminator

FEATURE_WEIGHT = 2.0


@dataclass(frozen=True)
class Losses:
    """Detached scalars of one step, on the training device. `*_parts`: one for each discriminator."""

    disc: torch.Tensor
    gen: torch.Tensor
    fm: torch.Tensor
    mel: torch.Tensor
    kl: torch.Tensor
    disc_real_parts: torch.Tensor  # [D]
    disc_fake_parts: torch.Tensor  # [D]
    gen_parts: torch.Tensor  # [D]
    norms: dict[str, torch.Tensor] = field(default_factory=dict)  # gradient L2 norms, when measured

    @property
    def total(self) -> torch.Tensor:
        """The generator's loss."""
        return self.gen + self.fm + self.mel + self.kl


def discriminator_parts(real: Scores, fake: Scores) -> tuple[torch.Tensor, torch.Tensor]:
    """mean((1 - real)^2) and mean(fake^2) of each discriminator, [D] each; their sum is the loss."""
    real_parts = torch.stack([((1 - score.float()) ** 2).mean() for score in real])
    fake_parts = torch.stack([(score.float() ** 2).mean() for score in fake])
    return real_parts, fake_parts


def generator_parts(fake: Scores) -> torch.Tensor:
    """mean((1 - fake)^2) of each discriminator, [D]; the sum is the adversarial loss."""
    return torch.stack([((1 - score.float()) ** 2).mean() for score in fake])


def feature_loss(real: Maps, fake: Maps) -> torch.Tensor:
    """2 * sum of mean |real - fake| over all activations; no gradient flows to `real`."""
    distances = [
        F.l1_loss(fake_map.float(), real_map.detach().float())
        for real_maps, fake_maps in zip(real, fake, strict=True)
        for real_map, fake_map in zip(real_maps, fake_maps, strict=True)
    ]
    return FEATURE_WEIGHT * torch.stack(distances).sum()


def mel_loss(true: torch.Tensor, generated: torch.Tensor, weight: float) -> torch.Tensor:
    """weight * mean |true - generated| of two log-mel windows [B, M, T]."""
    return weight * F.l1_loss(generated.float(), true.float())


def kl_loss(stats: "KlStats", frames: torch.Tensor | None = None) -> torch.Tensor:
    """Divergence of the posterior from the prior seen through the flow, per valid frame.

    The sum runs over channels and valid frames, the divisor counts frames only. `frames` replaces the
    divisor: several processes pass the frames of all of them over their number, so that averaged
    gradients equal those of one process.
    """
    z_p, m_p, logs_p, logs_q = (x.float() for x in (stats.z_p, stats.m_p, stats.logs_p, stats.logs_q))
    mask = stats.mask.float()
    divergence = logs_p - logs_q - 0.5 + 0.5 * (z_p - m_p) ** 2 * torch.exp(-2.0 * logs_p)
    return (divergence * mask).sum() / (mask.sum() if frames is None else frames)


@dataclass(frozen=True)
class KlStats:
    """What the KL loss needs: [B, C, T] each, `mask` [B, 1, T]."""

    z_p: torch.Tensor
    m_p: torch.Tensor
    logs_p: torch.Tensor
    logs_q: torch.Tensor
    mask: torch.Tensor
