"""pm: Praat's autocorrelation pitch (Boersma 1993), through parselmouth."""

from pathlib import Path

import numpy as np

from infer.lib.f0 import SAMPLE_RATE
from infer.lib.f0.curve import F0_MAX, F0_MIN, F0Curve
from infer.lib.f0.tracking import Plan, import_package

VOICING_THRESHOLD = 0.6
PERIODS_PER_WINDOW = 3  # Praat's window: three periods of the lowest pitch
SHORTEST = int(PERIODS_PER_WINDOW / F0_MIN * SAMPLE_RATE) + 1


class Praat:
    # Silence is judged against the loudest sample of the sound, so keep recordings whole for long.
    plan = Plan(core=120_000, context=200)

    def __init__(self):
        self._parselmouth = import_package("parselmouth", "pm")

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[N] -> [frames]; too short for one window: all unvoiced."""
        if len(audio) < SHORTEST:
            return np.zeros(frames)
        pitch = self._parselmouth.Sound(audio.astype(np.float64), SAMPLE_RATE).to_pitch_ac(
            time_step=0.01, voicing_threshold=VOICING_THRESHOLD, pitch_floor=F0_MIN, pitch_ceiling=F0_MAX
        )
        return F0Curve(pitch.selected_array["frequency"]).centre(frames).hz


def load(name: str, device: str, path: Path | None) -> Praat:
    return Praat()
