"""What all F0 methods share: checks, frame counts, and long recordings in pieces.

A tracker (one for each method) is callable as `tracker(audio [N] float32, frames) -> hz [frames]`
float64, 0 where unvoiced, and has a `plan`.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from infer.lib.errors import BadInput, MissingFile
from infer.lib.f0 import HOP, Method
from infer.lib.f0.curve import F0Curve

# The pitch bins of CREPE, which RMVPE shares: bin i lies 20 i cents above the first.
N_BINS = 360
CENTS_PER_BIN = 20
FIRST_BIN_CENTS = 1997.3794084376191  # above 10 Hz


@dataclass(frozen=True)
class Plan:
    """Frames analysed at once: pieces of `core`, with `context` more on both sides, thrown away.

    Recordings of up to core + context frames are analysed whole, exactly as RVC does; the rest
    would need memory without bound.
    """

    core: int
    context: int


class Tracker(Protocol):
    plan: Plan

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray: ...


class Estimator:
    """Audio at 16 kHz -> F0Curve. Holds the model of its method."""

    def __init__(self, method: Method, tracker: Tracker):
        self.method = method
        self._tracker = tracker

    def __call__(self, audio16k: np.ndarray, frames: int | None = None) -> F0Curve:
        """[N] float32 -> curve of `frames` values (default: the method's own count)."""
        audio = np.require(audio16k, np.float32, ["C", "W"])
        if audio.ndim != 1:
            raise BadInput(f"pitch needs mono audio, got an array of shape {audio.shape}")
        if not np.isfinite(audio).all():
            raise BadInput("the audio holds values that are not numbers", "export the recording again")
        frames = self.method.frames(len(audio)) if frames is None else frames
        if not audio.any():
            return F0Curve(np.zeros(frames))
        hz = track_in_pieces(self._tracker, audio, frames)
        if not np.isfinite(hz).all():
            raise BadInput(f"pitch method {self.method.name} gave values that are not numbers")
        return F0Curve(hz)


def track_in_pieces(tracker: Tracker, audio: np.ndarray, frames: int) -> np.ndarray:
    """[N] -> [frames]. Pieces begin on the 10 ms grid, at a multiple of the plan's numbers."""
    core, context = tracker.plan.core, tracker.plan.context
    if frames <= core + context:
        return tracker(audio, frames)
    hz = np.zeros(frames)
    for start in range(0, frames, core):
        stop = min(start + core, frames)
        first, last = max(start - context, 0), min(stop + context, frames)
        end = None if last == frames else last * HOP
        hz[start:stop] = tracker(audio[first * HOP : end], last - first)[start - first : stop - first]
    return hz


def at_least(audio: np.ndarray, n_samples: int) -> np.ndarray:
    """The audio, zero-padded at its end: analysis windows need a minimum."""
    missing = n_samples - len(audio)
    return np.pad(audio, (0, missing)) if missing > 0 else audio


def import_package(name: str, method: str) -> ModuleType:
    """An optional package; without it only its method is unavailable."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingFile(
            f"pitch method {method} needs the Python package {name}, which does not load ({error})",
            "run pip install -r requirements.txt, or choose another pitch method",
        ) from error
