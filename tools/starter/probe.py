"""How well can a linear classifier tell who speaks? One fixed protocol for any features.

A speaker with several recordings is learnt from the first two thirds of them and tested on the others;
one with a single recording is learnt from its first two thirds and tested on the rest, so that the
room and the microphone help the probe: what is found is an upper bound of what tells the speaker.
Inputs are standardised. Of three strengths of regularisation the one that tests best counts.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

SEGMENT, LEARNING_HOP = 100, 50  # frames: 2 s, and half of that between segments to learn from
FRAMES_LEARNT, FRAMES_TESTED = 48, 24  # for each speaker, of the frame probe
STRENGTHS = (0.001, 0.01, 0.1)
MOST_STEPS = 200
POOLINGS = ("mean", "mean and deviation", "single frames")


@dataclass
class Parts:
    """Stretches of features [T, D] of one speaker, to learn from and to test on."""

    learnt: list[np.ndarray] = field(default_factory=list)
    tested: list[np.ndarray] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        long_enough = [max((len(part) for part in parts), default=0) for parts in (self.learnt, self.tested)]
        return min(long_enough) >= SEGMENT


@dataclass(frozen=True)
class Probed:
    """Accuracy of a probe on `tested` segments of `speakers` speakers."""

    accuracy: float
    speakers: int
    tested: int


def split(recordings: list[np.ndarray]) -> Parts:
    """The recordings [T, D] of one speaker, divided by the protocol."""
    if len(recordings) == 1:
        border = len(recordings[0]) * 2 // 3
        return Parts([recordings[0][:border]], [recordings[0][border:]])
    n_tested = max(len(recordings) // 3, 1)
    return Parts(recordings[:-n_tested], recordings[-n_tested:])


def probe(speakers: dict[str, list[np.ndarray]], pooling: str) -> Probed:
    """`speakers`: the recordings [T, D] of each. `pooling` is one of `POOLINGS`."""
    divided = [parts for parts in map(split, speakers.values()) if parts.usable]
    learnt, learnt_who = _rows([parts.learnt for parts in divided], pooling, LEARNING_HOP, FRAMES_LEARNT)
    tested, tested_who = _rows([parts.tested for parts in divided], pooling, SEGMENT, FRAMES_TESTED)
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0) + 1e-6
    learnt, tested = (learnt - mean) / deviation, (tested - mean) / deviation
    accuracy = max(_accuracy((learnt, learnt_who), (tested, tested_who), strength) for strength in STRENGTHS)
    return Probed(accuracy, len(divided), len(tested))


def _rows(
    speakers: list[list[np.ndarray]], pooling: str, hop: int, n_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [N, D] and the number of the speaker of each [N]."""
    found = [_inputs(parts, pooling, hop, n_frames) for parts in speakers]
    who = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    return np.concatenate(found).astype(np.float32), who


def _inputs(parts: list[np.ndarray], pooling: str, hop: int, n_frames: int) -> np.ndarray:
    if pooling == "single frames":
        frames = np.concatenate(parts)
        return frames[np.linspace(0, len(frames) - 1, n_frames).astype(int)]
    pooled = [_pooled(segment, pooling) for part in parts for segment in _segments(part, hop)]
    return np.stack(pooled)


def _segments(part: np.ndarray, hop: int) -> Iterable[np.ndarray]:
    return (part[start : start + SEGMENT] for start in range(0, len(part) - SEGMENT + 1, hop))


def _pooled(segment: np.ndarray, pooling: str) -> np.ndarray:
    if pooling == "mean":
        return segment.mean(axis=0)
    return np.concatenate([segment.mean(axis=0), segment.std(axis=0)])


def _accuracy(learnt: tuple, tested: tuple, strength: float) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=strength, max_iter=MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the same number of steps for all
        classifier.fit(*learnt)
    return float(classifier.score(*tested))
