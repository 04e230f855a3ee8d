"""The key that brings a recording to a voice: medians of both pitches, and the distance in semitones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infer.jobs.experiment import Experiment
from infer.lib import f0
from infer.lib.checkpoint_layout import speaker_median
from infer.lib.errors import MissingFile
from infer.lib.index_choice import experiment_of
from infer.web.errors_i18n import refusal

LOOK_AT_S = 30.0
QUICK_METHODS = ("pm", "dio")  # the first that is installed
LOW_HZ, HIGH_HZ = 120.0, 210.0  # typical medians of low and of high speaking voices
FEWEST_FRAMES = 20  # 0.2 s of voiced sound
CLIPS = 24
SILENT = 0.01
OCTAVE = 12


@dataclass(frozen=True)
class Suggestion:
    """`semitones` is None while the voice's pitch is unknown. `octaves`: the same in whole octaves."""

    source_hz: float
    voice_hz: float | None
    semitones: int | None = None
    octaves: int = 0


def suggest(source_hz: float, voice_hz: float | None) -> Suggestion:
    """The nearest semitone between two medians in Hz."""
    if voice_hz is None:
        return Suggestion(source_hz, None)
    distance = OCTAVE * math.log2(voice_hz / source_hz)
    return Suggestion(source_hz, voice_hz, round(distance), OCTAVE * round(distance / OCTAVE))


def recording_pitch(path: Path | str) -> float:
    """Median of the voiced pitch in Hz of the first half minute that has sound. Raises RvcError."""
    audio = beginning(path, LOOK_AT_S)
    hz = _quick_estimator()(audio).hz if len(audio) else np.zeros(0)
    median = _median(hz)
    if median is None:
        raise refusal("convert.error.no_pitch", path=path)
    return median


def beginning(path: Path | str, seconds: float) -> np.ndarray:
    """[N] float32 at 16 kHz: the first `seconds` of a recording from where it is no longer silent."""
    from infer.lib import audio as sound

    blocks, samples, wanted = [], 0, round(seconds * f0.SAMPLE_RATE)
    for block in sound.stream(path, f0.SAMPLE_RATE, block_s=1.0):
        if not blocks and np.abs(block).max(initial=0) < SILENT:
            continue
        blocks.append(block)
        samples += len(block)
        if samples >= wanted:
            break
    return np.concatenate(blocks)[:wanted] if blocks else np.zeros(0, np.float32)


def voice_pitch(header: Any, voice: Path | None, logs: Path, speaker_id: int = 0) -> float | None:
    """Median pitch of a voice in Hz: as its file says of the speaker, or of all, else as its experiment below
    `logs` does."""
    if own := speaker_median(getattr(header, "extra", {}), speaker_id):
        return own
    recorded = getattr(header, "median_hz", None)
    if recorded:
        return float(recorded)
    if voice is None:
        return None
    experiment = Experiment(Path(logs) / experiment_of(voice))
    return _median_of_report(experiment) or _median_of_clips(experiment)


def _median_of_report(experiment: Experiment) -> float | None:
    import json

    try:
        report = json.loads(experiment.report_file.read_text(encoding="utf-8"))
        return float(report["pitch_hz"]["median"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no report, or one from before it told the pitch


def _median_of_clips(experiment: Experiment) -> float | None:
    files = sorted(experiment.f0_hz.glob("*.npy")) if experiment.f0_hz.is_dir() else []
    curves = []
    for path in files[:: max(1, len(files) // CLIPS)][:CLIPS]:
        try:
            curves.append(np.load(path, allow_pickle=False).astype(np.float64).reshape(-1))
        except (OSError, ValueError):
            continue  # a clip that is being written
    return _median(np.concatenate(curves)) if curves else None


def _median(hz: Sequence[float] | np.ndarray) -> float | None:
    voiced = np.asarray(hz)[np.asarray(hz) > 0]
    return float(np.median(voiced)) if len(voiced) >= FEWEST_FRAMES else None


def _quick_estimator():
    for name in QUICK_METHODS[:-1]:
        try:
            return f0.estimator(name)
        except MissingFile:
            continue  # its package is not installed
    return f0.estimator(QUICK_METHODS[-1])
