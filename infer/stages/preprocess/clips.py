"""One recording to training clips: high-pass, cut at silence, windows, level, two wavs each.

A recording is decoded in blocks. The first pass only keeps its RMS curve (and, of a short one, the
filtered samples); the second one cuts the planned windows out of the stream. So three hours need
no more memory than ten minutes.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infer.jobs.experiment import Experiment
from infer.lib import audio_decode
from infer.lib.audio import SAMPLE_RATE_16K, CausalHighPass, resample, save, stream
from infer.lib.envelope import RmsMeter
from infer.lib.errors import RvcError
from infer.lib.slicing import WINDOW_HOPS, cut_windows, hop_length, silence_bounds, slice_windows

LOUDEST_PEAK = 2.5
SILENT_PEAK = 1e-3  # -60 dB: raised to full level, this would only train noise
SHORTEST_CLIP_S = 0.76  # the training loader has no bucket for clips of up to 100 "frames" of its size rule
CLIPPED_LEVEL = 0.99
QUIETEST_DB = -120.0
HELD_S = 600  # recordings up to this length are decoded once, longer ones twice


@dataclass(frozen=True)
class Like:
    """The same recording in another experiment: its number, rate and clips there. `outcome` is JSON."""

    experiment: Path
    index: int
    sample_rate: int
    outcome: str


@dataclass(frozen=True)
class Task:
    """One recording and where its clips go: stems `<index>_<j>`. `stale` clips are removed first.

    `like`: cut it as that experiment did, instead of by its own silences at this rate.
    """

    path: Path
    experiment: Path
    index: int
    sample_rate: int
    slice_s: float
    stale: tuple[str, ...] = ()
    like: Like | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a recording; kept as JSON. `error` is the reason why nothing could be made."""

    clips: int = 0
    seconds: float = 0.0
    usable_s: float = 0.0  # without counting the overlap of neighbouring clips twice
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> number of clips
    clipped: float = 0.0  # fraction of samples at full scale
    noise_floor_db: float = QUIETEST_DB  # loudness that is exceeded nine tenths of the time
    warnings: tuple[str, ...] = ()
    error: str = ""


def outcome_of(values: dict) -> Outcome:
    """An outcome out of its JSON."""
    return Outcome(**{**values, "warnings": tuple(values["warnings"])})


@dataclass(frozen=True)
class Clip:
    """Samples [first, last) of a recording, levelled: `audio` [last - first] float32."""

    first: int
    last: int
    audio: np.ndarray


def slice_clip(audio: np.ndarray, sample_rate: int, slice_s: float = 3.7) -> list[Clip]:
    """All clips of a decoded recording [N] that the level rule lets through, the shortest included."""
    survey = Survey(sample_rate, lambda: [audio])
    return [
        Clip(first, last, level(window))
        for (first, last), window in survey.windows(slice_s)
        if not _bad_level(window)
    ]


def slice_file(task: Task) -> Outcome:
    """Writes the clips of one recording. A recording that cannot be read gives an Outcome with `error`;
    OSError (full disk, no permission to write) is raised."""
    experiment = Experiment(task.experiment)
    with _Warnings() as warnings:
        try:
            survey = Survey(task.sample_rate, lambda: stream(task.path, task.sample_rate))
        except RvcError as error:
            return Outcome(error=str(error))
        except OSError as error:
            return Outcome(error=f"{task.path} cannot be read: {error.strerror or error}")
        finally:
            for stem in task.stale:
                experiment.remove_clip(stem)
        return _write_clips(experiment, task, survey, tuple(warnings.messages))


def level(window: np.ndarray) -> np.ndarray:
    """A quarter of the original and three quarters of it at a peak of 0.9: [n] float32."""
    return (window * (0.9 / np.abs(window).max() * 0.75 + 0.25)).astype(np.float32)


def drop_reason(window: np.ndarray, sample_rate: int) -> str:
    """Why a window is of no use in training; empty if it is fine."""
    if len(window) < SHORTEST_CLIP_S * sample_rate:
        return "too short"
    return _bad_level(window)


def _bad_level(window: np.ndarray) -> str:
    peak = float(np.abs(window).max())
    if not math.isfinite(peak):
        return "broken"
    if peak > LOUDEST_PEAK:
        return "far too loud"
    return "silent" if peak < SILENT_PEAK else ""


def _write_clips(experiment: Experiment, task: Task, survey: "Survey", warnings: tuple[str, ...]) -> Outcome:
    left_out, clips, usable, covered = Counter(), 0, 0, 0
    for (first, last), window in survey.windows(task.slice_s):
        if reason := drop_reason(window, task.sample_rate):
            left_out[reason] += 1
            continue
        _write_clip(experiment, f"{task.index}_{clips}", level(window), task.sample_rate)
        clips += 1
        usable += last - max(first, covered)
        covered = last
    return Outcome(
        clips=clips,
        seconds=round(survey.samples / task.sample_rate, 3),
        usable_s=round(usable / task.sample_rate, 3),
        left_out=dict(left_out),
        clipped=survey.clipped / max(1, survey.samples),
        noise_floor_db=survey.noise_floor_db(),
        warnings=warnings,
    )


def _write_clip(experiment: Experiment, stem: str, audio: np.ndarray, sample_rate: int) -> None:
    # The clip at the target rate comes last: where it exists, its 16 kHz copy exists too.
    save(experiment.wav_16k(stem), resample(audio, sample_rate, SAMPLE_RATE_16K), SAMPLE_RATE_16K)
    save(experiment.gt_wav(stem), audio, sample_rate)


class Survey:
    """The first pass over a recording: its RMS curve, its clipping, and its samples if they are few."""

    def __init__(self, sample_rate: int, open_blocks: Callable[[], Iterable[np.ndarray]]):
        self.sample_rate = sample_rate
        self.samples = self.clipped = 0
        self._open_blocks = open_blocks
        self._held: list[np.ndarray] | None = []  # filtered samples; None for a long recording
        highpass = CausalHighPass(sample_rate)
        meter = RmsMeter(hop_length(sample_rate), WINDOW_HOPS)
        for block in open_blocks():
            self.samples += len(block)
            self.clipped += int(np.count_nonzero(np.abs(block) >= CLIPPED_LEVEL))
            filtered = highpass(block)
            meter.add(filtered)
            self._hold(filtered)
        self.rms = meter.curve()

    def _hold(self, filtered: np.ndarray) -> None:
        if self.samples > HELD_S * self.sample_rate:
            self._held = None
        elif self._held is not None:
            self._held.append(filtered.astype(np.float32))

    def windows(self, slice_s: float) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """The second pass: ((first, last), [last - first] float32) of every window, in order."""
        pieces = silence_bounds(self.rms, self.samples, self.sample_rate)
        windows = [
            window
            for piece in pieces
            for window in slice_windows(piece.first, piece.last, self.sample_rate, slice_s)
        ]
        return zip(windows, cut_windows(self._filtered_blocks(), windows), strict=True)

    def _filtered_blocks(self) -> Iterable[np.ndarray]:
        if self._held is not None:
            return self._held
        highpass = CausalHighPass(self.sample_rate)
        return (highpass(block).astype(np.float32) for block in self._open_blocks())

    def noise_floor_db(self) -> float:
        floor = float(np.percentile(self.rms, 10))
        return round(max(QUIETEST_DB, 20 * math.log10(max(floor, 1e-12))), 1)


class _Warnings(logging.Handler):
    """Collects what the decoder has to say about a recording, to be reported with it."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> "_Warnings":
        audio_decode.log.addHandler(self)
        audio_decode.log.propagate = False
        return self

    def __exit__(self, *error) -> None:
        audio_decode.log.removeHandler(self)
        audio_decode.log.propagate = True
