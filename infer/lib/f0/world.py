"""What harvest and dio share: a rough track, then StoneMask, on float64 audio."""

import numpy as np

from infer.lib.f0 import SAMPLE_RATE
from infer.lib.f0.curve import F0Curve
from infer.lib.f0.tracking import Plan, at_least, import_package

SHORTEST = 1600  # WORLD's band filters want some periods of the lowest pitch


class World:
    """A tracker; children give `rough(audio) -> (hz, seconds)`."""

    plan = Plan(core=12_000, context=200)  # Harvest takes 1.3 GB for 120 s
    period_ms = 10.0

    def __init__(self, name: str):
        self.pyworld = import_package("pyworld", name)

    def rough(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[N] -> [frames]."""
        double = at_least(audio, SHORTEST).astype(np.float64)
        hz, seconds = self.rough(double)
        refined = self.pyworld.stonemask(double, hz, seconds, SAMPLE_RATE)
        return F0Curve(refined).fit(frames).hz
