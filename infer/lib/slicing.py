"""Where to cut a recording into training clips: at silence first, then into overlapping windows.

Works on an RMS curve and on sample counts only, so a recording of any length can be planned
without holding it. Rounding follows RVC's slicer to the sample, since clips depend on it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

THRESHOLD_DB = -42.0
HOP_S = 0.015
WINDOW_HOPS = 4
MIN_LENGTH_S = 1.5
MIN_INTERVAL_S = 0.4
MAX_SILENCE_S = 0.5
OVERLAP_S = 0.3


@dataclass(frozen=True)
class Piece:
    """What lies between two cuts: hops [first_hop, last_hop), samples [first, last)."""

    first_hop: int
    last_hop: int
    first: int
    last: int


@dataclass(frozen=True)
class _Limits:
    """The slicer's lengths in hops, rounded half to even."""

    length: int
    interval: int
    silence: int


def hop_length(sample_rate: int) -> int:
    """Samples between two values of the RMS curve."""
    return round(sample_rate * HOP_S)


def silence_bounds(rms: np.ndarray, samples: int, sample_rate: int) -> list[Piece]:
    """The pieces to keep of a recording with this RMS curve, [1 + samples // hop].

    Without a place to cut, the whole recording is one piece; if all is silence there may be none.
    """
    hop = hop_length(sample_rate)
    hop_s = hop / sample_rate
    limits = _Limits(*(round(length / hop_s) for length in (MIN_LENGTH_S, MIN_INTERVAL_S, MAX_SILENCE_S)))
    total = len(rms)
    # RVC compares hops with samples here; it only concerns clips of 2.5 ms.
    cuts = _cuts(rms, limits) if samples > limits.length else []
    edges = [0, *(edge for cut in cuts for edge in cut), total]
    pieces = zip(edges[::2], edges[1::2], strict=True)
    return [Piece(begin, end, begin * hop, min(end * hop, samples)) for begin, end in pieces if begin < end]


def _cuts(rms: np.ndarray, limits: _Limits) -> list[tuple[int, int]]:
    """Stretches [from, to) in hops to throw away, in order; from = to just splits."""
    cuts = []
    clip_start = 0
    for start, end in _silent_runs(rms):
        if end == len(rms):
            if end - start >= limits.interval:
                cuts.append((_quietest(rms, start, min(end, start + limits.silence)), end))
            continue
        leading = start == 0 and end > limits.silence
        if leading or (end - start >= limits.interval and end - clip_start >= limits.length):
            cut = _cut_of_run(rms, start, end, limits.silence)
            clip_start = cut[1]
            cuts.append((0, cut[1]) if start == 0 else cut)
    return cuts


def _cut_of_run(rms: np.ndarray, start: int, end: int, keep: int) -> tuple[int, int]:
    """What to remove of the silent run [start, end), leaving at most `keep` hops at each side."""
    if end - start <= keep:
        return (_quietest(rms, start, end),) * 2
    left = _quietest(rms, start, start + keep)
    right = _quietest(rms, end - keep, end)
    if end - start <= 2 * keep and start > 0:
        middle = _quietest(rms, end - keep, start + keep)
        return min(left, middle), max(right, middle)
    return left, right


def _silent_runs(rms: np.ndarray) -> Iterator[tuple[int, int]]:
    """[start, end) of every run below the threshold; a last one may reach the end of the curve."""
    silent = np.concatenate([[False], rms < 10 ** (THRESHOLD_DB / 20), [False]])
    borders = np.flatnonzero(silent[1:] != silent[:-1])
    return zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True)


def _quietest(rms: np.ndarray, first: int, last: int) -> int:
    """The first minimum of rms[first..last], both ends included."""
    return first + int(np.argmin(rms[first : last + 1]))


def slice_windows(first: int, last: int, sample_rate: int, slice_s: float) -> list[tuple[int, int]]:
    """Windows [start, stop) of `slice_s` seconds over samples [first, last), overlapping by 0.3 s.

    The last one takes the remainder, of 0.6 s to `slice_s` + 0.3 s unless the piece itself is shorter.
    """
    windows = []
    start = first
    # Truncated, not rounded, product by product: RVC's sample positions.
    while last - start > (slice_s + OVERLAP_S) * sample_rate:
        windows.append((start, start + int(slice_s * sample_rate)))
        start = first + int(sample_rate * (slice_s - OVERLAP_S) * len(windows))
    return [*windows, (start, last)]


def cut_windows(blocks: Iterable[np.ndarray], windows: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The samples of each window [start, stop) out of a stream; windows are ordered by start.

    Holds one window and one block at most.
    """
    held, base = np.zeros(0, dtype=np.float32), 0  # held[0] is sample `base`
    blocks = iter(blocks)
    for start, stop in windows:
        parts, end = [held], base + len(held)
        while end < stop:
            block = next(blocks)
            if end + len(block) <= start:  # a gap before this window
                parts, base = [block[:0]], end + len(block)
            else:
                parts.append(block)
            end += len(block)
        held = parts[0] if len(parts) == 1 else np.concatenate(parts)
        held, base = held[max(0, start - base) :], max(start, base)
        yield held[: stop - start]
