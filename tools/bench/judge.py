"""Measures conversions: duration, level, pitch and speaker similarity of each output.

    python -m tools.bench.judge --sources=DIR --outputs=DIR --target=DIR

An output belongs to the source of the same stem. Pitch is compared by an estimator that the
conversion did not use (Praat); similarity is the cosine of Resemblyzer embeddings
(`pip install resemblyzer`; a measuring tool, not needed by the program).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.jobs.command import option, parse
from infer.lib.audio import find_audio, load
from infer.lib.f0 import estimator

SAMPLE_RATE = 16000
N_TARGET_CLIPS = 40
METHOD = "pm"


@dataclass(frozen=True)
class JudgeOptions:
    """Measure converted files against their sources and the target speaker."""

    sources: Path = option(help="folder of the recordings that were converted")
    outputs: Path = option(help="folder of the results, same stems")
    target: Path = option(help="folder of recordings of the target speaker")


@dataclass(frozen=True)
class PitchMatch:
    """Over frames voiced in both. A slip is a frame off by more than half an octave: estimators make them
    in creaky voice, and a few of them decide a plain correlation."""

    correlation: float  # of log F0
    without_slips: float
    slips: float  # share of frames
    shift: float  # median, semitones
    kept: float  # voiced frames of the source that are voiced in the output


def compare_pitch(source: np.ndarray, output: np.ndarray, method: str = METHOD) -> PitchMatch:
    track = estimator(method, "cpu")
    a, b = track(source).hz, track(output).hz
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    both = (a > 0) & (b > 0)
    if both.sum() < 10:
        return PitchMatch(float("nan"), float("nan"), 0.0, float("nan"), 0.0)
    octaves = np.log2(b[both] / a[both])
    steady = np.abs(octaves - np.median(octaves)) < 0.5
    logs = np.log(a[both]), np.log(b[both])
    return PitchMatch(
        correlation=float(np.corrcoef(*logs)[0, 1]),
        without_slips=float(np.corrcoef(logs[0][steady], logs[1][steady])[0, 1]),
        slips=float(1 - steady.mean()),
        shift=float(12 * np.median(octaves)),
        kept=float(both.sum() / max((a > 0).sum(), 1)),
    )


def level_db(audio: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(audio**2)) + 1e-9))


class Similarity:
    """Cosine of speaker embeddings, to the mean embedding of some takes of the target.

    `unity` is the mean cosine of the takes to that mean: times `unity`, a similarity to the mean
    embedding is the mean of those to the single takes.
    """

    def __init__(self, takes: Sequence[Path]):
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._encoder, self._prepare = VoiceEncoder("cpu", verbose=False), preprocess_wav
        mean = np.mean([self.embed(path) for path in takes[:N_TARGET_CLIPS]], axis=0)
        self.unity = float(np.linalg.norm(mean))
        self._target = mean / self.unity

    def embed(self, path: Path) -> np.ndarray:
        return self._encoder.embed_utterance(self._prepare(load(path, SAMPLE_RATE), SAMPLE_RATE))

    def of(self, source: Path, output: Path) -> tuple[float, float, float]:
        """Similarity of (source to target, output to target, output to source)."""
        a, b = self.embed(source), self.embed(output)
        return float(a @ self._target), float(b @ self._target), float(a @ b)


def judge(source: Path, output: Path, similarity: Similarity) -> str:
    """One line of figures."""
    a, b = load(source, SAMPLE_RATE), load(output, SAMPLE_RATE)
    match = compare_pitch(a, b)
    before, after, own = similarity.of(source, output)
    return (
        f"{output.stem}: {(len(b) - len(a)) / SAMPLE_RATE:+.3f} s | {level_db(b):.1f} ({level_db(a):.1f}) dB"
        f" | {match.correlation:.3f}, {match.without_slips:.3f}, {match.slips:.1%}, {match.shift:+.2f} st,"
        f" {match.kept:.0%} | {before:.3f}, {after:.3f}, {own:.3f}"
    )


def main(argv: list[str] | None = None) -> int:
    options = parse(JudgeOptions, sys.argv[1:] if argv is None else argv, "judge.py")
    similarity = Similarity(find_audio(options.target))
    sources = {path.stem: path for path in find_audio(options.sources)}
    print("clip: duration error | level (source) | F0 correlation, without slips, slips, shift, voiced kept")
    print("      | similarity source-target, output-target, output-source")
    for output in find_audio(options.outputs):
        if source := sources.get(output.stem):
            print(judge(source, output, similarity))
    return 0


if __name__ == "__main__":
    sys.exit(main())
