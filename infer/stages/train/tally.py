"""What the losses were, kept on the device so that no step waits."""

import torch

from infer.stages.train.losses import Losses


class Tally:
    """Sums of the losses and the longest run of non-finite steps, kept on the device until asked for."""

    NAMES = ("loss_disc", "loss_gen", "loss_fm", "loss_mel", "loss_kl")

    def __init__(self, device: torch.device):
        self._sums = torch.zeros(len(self.NAMES), device=device)
        self._good = torch.zeros((), device=device)
        self._streak = torch.zeros((), device=device)
        self._worst = torch.zeros((), device=device)

    def add(self, losses: Losses) -> None:
        row = torch.stack((losses.disc, losses.gen, losses.fm, losses.mel, losses.kl))
        good = torch.isfinite(row).all().float()
        self._sums += torch.nan_to_num(row, 0.0, 0.0, 0.0) * good
        self._good += good
        self._streak = (self._streak + 1) * (1 - good)
        self._worst = torch.maximum(self._worst, self._streak)

    @property
    def worst_streak(self) -> int:
        """Most non-finite steps in a row so far; waits for the device."""
        return int(self._worst.item())

    def take_means(self) -> torch.Tensor:
        """Mean of each loss [5] over the finite steps since the last call, on the device."""
        means = self._sums / self._good.clamp(min=1)
        self._sums = torch.zeros_like(self._sums)
        self._good = torch.zeros_like(self._good)
        return means
