"""dio: WORLD's DIO (Morise 2009), refined by StoneMask, through pyworld."""

from pathlib import Path

import numpy as np

from infer.lib.f0 import SAMPLE_RATE
from infer.lib.f0.curve import F0_MAX, F0_MIN
from infer.lib.f0.world import World


class Dio(World):
    def rough(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.pyworld.dio(
            audio, SAMPLE_RATE, f0_floor=F0_MIN, f0_ceil=F0_MAX, frame_period=self.period_ms
        )


def load(name: str, device: str, path: Path | None) -> Dio:
    return Dio(name)
