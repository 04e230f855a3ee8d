"""Clicks where the pieces of a long conversion meet."""

import numpy as np

from infer.lib.devices import ChunkPlan
from infer.vc import chunks
from infer.vc.pipeline import high_passed, prepared

JOIN_PLAN = ChunkPlan(1, 1, 5, 7)  # many more joins than the program's own plans make
NEAR_S, AROUND_S = 0.012, 0.25  # RVC's joins may lie a window of 10 ms beside the cut
SPOTS = 400  # places that the joins are compared with
USUAL = 99  # per cent of them


def join_times(source: np.ndarray, plan: ChunkPlan = JOIN_PLAN) -> list[float]:
    """Seconds at which the conversion of `source` (16 kHz) is put together."""
    return [point / chunks.SAMPLE_RATE for point in chunks.split_points(high_passed(prepared(source)), plan)]


def jump(audio: np.ndarray, sample_rate: int, time_s: float) -> float:
    """The largest step between two samples near a time, over the largest in the half second around it.

    A click in a quiet place is far above 1; silence all around gives 0.
    """
    steps = np.abs(np.diff(audio))
    center, near, around = (round(s * sample_rate) for s in (time_s, NEAR_S, AROUND_S))
    left, right = max(center - near, 0), center + near
    beside = np.concatenate([steps[max(center - around, 0) : left], steps[right : center + around]])
    inside = steps[left:right]
    if not len(inside) or not len(beside) or beside.max() == 0:
        return 0.0
    return float(inside.max() / beside.max())


def usual_jump(audio: np.ndarray, sample_rate: int) -> float:
    """The same at places all over the recording: only one in a hundred is larger."""
    length = len(audio) / sample_rate
    spots = np.linspace(AROUND_S, max(length - AROUND_S, AROUND_S), SPOTS)
    return float(np.percentile([jump(audio, sample_rate, spot) for spot in spots], USUAL))
