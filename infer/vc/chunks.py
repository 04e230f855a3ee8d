"""Where a long recording is cut for conversion: at quiet points, with context on both sides.

Pure NumPy. Positions are samples at 16 kHz; one pitch frame is 160 samples (10 ms).
"""

from dataclasses import dataclass, replace

import numpy as np

from infer.lib.devices import ChunkPlan
from infer.lib.errors import BadInput

SAMPLE_RATE = 16000
WINDOW = 160
SMALLEST_CENTER_S = 5


def check_plan(plan: ChunkPlan) -> None:
    """Raises BadInput unless the plan (seconds) can be followed."""
    values = (plan.x_pad, plan.x_query, plan.x_center, plan.x_max)
    if min(values) < 0.01 or plan.x_query > plan.x_center:
        raise BadInput(
            "x_pad, x_query, x_center, x_max are " + ", ".join(f"{value:g}" for value in values),
            "each must be at least 0.01 s, and x_query no more than x_center (see the end of config.py)",
        )


def smaller(plan: ChunkPlan, seconds: float) -> ChunkPlan | None:
    """About half the memory for a recording of `seconds`, with the same context; None if impossible."""
    while plan.x_center > SMALLEST_CENTER_S:
        center = max(plan.x_center // 2, SMALLEST_CENTER_S)
        query = min(plan.x_query, max(center // 4, 1))
        plan = replace(plan, x_query=query, x_center=center, x_max=center + 3)
        if seconds > plan.x_max:  # else it would not be cut, and nothing be gained
            return plan
    return None


def samples(seconds: float) -> int:
    """Seconds in samples, rounded to whole pitch frames, so that pieces and pitch stay together."""
    return round(seconds * SAMPLE_RATE / WINDOW) * WINDOW


@dataclass(frozen=True)
class Piece:
    """A stretch of the padded signal and of its pitch track; both ends exclusive of `stop`."""

    start: int
    stop: int
    first_frame: int
    last_frame: int

    @property
    def samples(self) -> int:
        return self.stop - self.start


def split_points(audio: np.ndarray, plan: ChunkPlan, rule: str = "2.3") -> list[int]:
    """Cuts of `audio` [N] (16 kHz): about every x_center seconds, at the quietest 10 ms nearby.

    `rule` "2.3" calls quiet what has the least sum of magnitudes; "2.2" the least magnitude of
    the sum, which also takes loud places where the wave sums to nothing.
    """
    if len(audio) + WINDOW <= samples(plan.x_max):
        return []
    center, query = samples(plan.x_center), samples(plan.x_query)
    points = [
        _quietest(audio, place - query, place + query, rule) for place in range(center, len(audio), center)
    ]
    return sorted(set(points))


def pad(audio: np.ndarray, plan: ChunkPlan) -> np.ndarray:
    """`audio` with x_pad seconds of its mirror image on both sides (mirrored again if shorter)."""
    return np.pad(audio, samples(plan.x_pad), mode="reflect")


def pieces(points: list[int], n_padded: int, plan: ChunkPlan) -> list[Piece]:
    """The stretches of a padded signal of `n_padded` samples that are converted one by one."""
    found, start, context = [], 0, 2 * samples(plan.x_pad)
    for point in points:
        point = point // WINDOW * WINDOW
        # One window more than its pitch: RVC's joins depend on it.
        stop, last_frame = point + context + WINDOW, (point + context) // WINDOW
        found.append(Piece(start, stop, start // WINDOW, last_frame))
        start = point
    return [*found, Piece(start, n_padded, start // WINDOW, n_padded // WINDOW)]


def _quietest(audio: np.ndarray, first: int, stop: int, rule: str) -> int:
    """The first position in [first, stop) whose centred window is quietest by `rule`."""
    first, stop = max(first, 0), min(stop, len(audio))
    near = _window_source(audio, first, stop).astype(np.float64)
    if rule == "2.3":
        near = np.abs(near)
    sums = np.lib.stride_tricks.sliding_window_view(near, WINDOW).sum(axis=-1)[: stop - first]
    return first + int(np.argmin(np.abs(sums)))


def _window_source(audio: np.ndarray, first: int, stop: int) -> np.ndarray:
    """The samples under the windows of [first, stop), mirrored only at the ends of the recording."""
    half = WINDOW // 2
    left, right = max(half - first, 0), max(stop + half - len(audio), 0)
    near = audio[max(first - half, 0) : min(stop + half, len(audio))]
    return np.pad(near, (left, right), mode="reflect")
