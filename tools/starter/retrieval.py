"""Do two speakers who say the same look the same? Nearest utterance by dynamic time warping."""

from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np

WINDOW, HOP = 50, 50  # frames of a cut: one second
FEWEST = 5  # sentences a speaker must have read to be searched
_UNLIKE = 2.0  # the largest cosine distance


@dataclass(frozen=True)
class Utterance:
    """Features [T, D] of a sentence, silence at the ends removed."""

    sentence: str
    speaker: str
    features: np.ndarray


@dataclass(frozen=True)
class Found:
    """Share of the searches whose nearest utterance was the same sentence."""

    share: float
    searches: int
    chance: float


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, after the utterance's mean is taken away: what is constant says nothing."""
    centred = features - features.mean(axis=0)
    return centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9)


def whole_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine distance along the best warping of two utterances of unit rows."""
    steps = librosa.sequence.dtw(C=1 - a @ b.T, backtrack=False)
    return float(steps[-1, -1] / (len(a) + len(b)))


def part_distance(part: np.ndarray, whole: np.ndarray) -> float:
    """The same between `part` and the stretch of `whole` that resembles it most."""
    if len(part) > len(whole):
        return _UNLIKE
    steps = librosa.sequence.dtw(C=1 - part @ whole.T, subseq=True, backtrack=False)
    return float(steps[-1].min() / len(part))


def cuts(features: np.ndarray) -> list[np.ndarray]:
    """An utterance in pieces of a second."""
    starts = range(0, len(features) - WINDOW + 1, HOP)
    return [features[start : start + WINDOW] for start in starts]


def retrieve(utterances: Sequence[Utterance], in_parts: bool) -> Found:
    """Searches each utterance (or each second of it) among all those of every other speaker."""
    shaped = [Utterance(u.sentence, u.speaker, unit(u.features)) for u in utterances]
    readers = _readers(shaped)
    distance = part_distance if in_parts else whole_distance
    hits, chances = [], []
    for query in shaped:
        for speaker, read in readers.items():
            if speaker == query.speaker or query.sentence not in {u.sentence for u in read}:
                continue
            for part in cuts(query.features) if in_parts else [query.features]:
                nearest = min(read, key=lambda u, part=part: distance(part, u.features))
                hits.append(nearest.sentence == query.sentence)
                chances.append(1 / len(read))
    if not hits:
        return Found(float("nan"), 0, float("nan"))
    return Found(float(np.mean(hits)), len(hits), float(np.mean(chances)))


def _readers(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    readers: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        readers.setdefault(utterance.speaker, []).append(utterance)
    return {speaker: read for speaker, read in readers.items() if len(read) >= FEWEST}
