"""Measures conversions: duration, level, pitch and speaker similarity of each output.

    python -m tools.bench.judge --sources=DIR --outputs=DIR --target=DIR

An output belongs to the source of the same stem. Pitch is compared by an estimator that the
conversion did not use (Praat); similarity is the cosine of Resemblyzer embeddings
(`pip install resemblyzer`; a measuring tool, not needed by the program).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.jobs.command import option, parse
from infer.lib.audio import find_audio, load
from infer.lib.f0 import estimator

SAMPLE_RATE = 16000
N_TARGET_CLIPS = 40


@dataclass(frozen=True)
class JudgeOptions:
    """Measure converted files against their sources and the target speaker."""

    sources: Path = option(help="folder of the recordings that were converted")
    outputs: Path = option(help="folder of the results, same stems")
    target: Path = option(help="folder of recordings of the target speaker")
    transpose: float = option(0.0, help="semitones the conversion was asked to add")


def pitch_correlation(source: np.ndarray, output: np.ndarray) -> tuple[float, float, float]:
    """Over frames voiced in both: correlation of log F0, median shift in semitones, share kept."""
    track = estimator("pm", "cpu")
    a, b = track(source).hz, track(output).hz
    n = min(len(a), len(b))
    a, b = np.asarray(a[:n], float), np.asarray(b[:n], float)
    both = (a > 0) & (b > 0)
    if both.sum() < 10:
        return float("nan"), float("nan"), 0.0
    shift = 12 * np.log2(b[both] / a[both])
    correlation = np.corrcoef(np.log(a[both]), np.log(b[both]))[0, 1]
    return float(correlation), float(np.median(shift)), float(both.sum() / max((a > 0).sum(), 1))


def level_db(audio: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(audio**2)) + 1e-9))


class Similarity:
    """Cosine of speaker embeddings, to the mean embedding of the target."""

    def __init__(self, target: Path):
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._encoder, self._prepare = VoiceEncoder("cpu", verbose=False), preprocess_wav
        mean = np.mean([self.embed(path) for path in find_audio(target)[:N_TARGET_CLIPS]], axis=0)
        self._target = mean / np.linalg.norm(mean)

    def embed(self, path: Path) -> np.ndarray:
        return self._encoder.embed_utterance(self._prepare(load(path, SAMPLE_RATE), SAMPLE_RATE))

    def of(self, source: Path, output: Path) -> tuple[float, float, float]:
        """Similarity of (source to target, output to target, output to source)."""
        a, b = self.embed(source), self.embed(output)
        return float(a @ self._target), float(b @ self._target), float(a @ b)


def main(argv: list[str] | None = None) -> int:
    options = parse(JudgeOptions, sys.argv[1:] if argv is None else argv, "judge.py")
    similarity = Similarity(options.target)
    sources = {path.stem: path for path in find_audio(options.sources)}
    print(
        "clip                      duration error s | level dB (source) | F0 corr, shift st, voiced kept"
        " | similarity: source-target, output-target, output-source"
    )
    for output in find_audio(options.outputs):
        source = sources.get(output.stem)
        if source is None:
            continue
        a, b = load(source, SAMPLE_RATE), load(output, SAMPLE_RATE)
        correlation, shift, kept = pitch_correlation(a, b)
        before, after, own = similarity.of(source, output)
        longer_s = (len(b) - len(a)) / SAMPLE_RATE
        print(
            f"{output.stem:25s} {longer_s:+.3f} | {level_db(b):6.1f} ({level_db(a):6.1f})"
            f" | {correlation:.3f}, {shift - options.transpose:+.2f}, {kept:.2f}"
            f" | {before:.3f}, {after:.3f}, {own:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
