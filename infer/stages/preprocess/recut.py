"""Clips of a recording at another rate, cut where an earlier experiment cut it.

Where silence lies is found at the rate of that experiment again, since a curve at another rate would
cut elsewhere. So the clips hold the same sound, and what was made of the 16 kHz copies (pitch, content)
fits them: it is taken over byte by byte.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from infer.jobs.experiment import Experiment
from infer.lib.audio import CausalHighPass, save, stream
from infer.lib.errors import RvcError
from infer.lib.files import atomic_path
from infer.lib.models.spec import VERSIONS
from infer.lib.slicing import cut_windows
from infer.stages.preprocess.clips import (
    Like,
    Outcome,
    Survey,
    Task,
    drop_reason,
    level,
    outcome_of,
    slice_file,
)

_TAIL_S = 0.01  # a cut at the very end may be rounded a sample beyond it


def slice_task(task: Task) -> Outcome:
    """Writes the clips of a recording, as the task says."""
    if task.like:
        outcome = _recut(task, task.like)
        if outcome:
            return outcome
    return slice_file(task)


def derived_files(experiment: Experiment, stem: str) -> list[Path]:
    """What the later stages make of a clip's 16 kHz copy."""
    content = [experiment.content_file(stem, version) for version in VERSIONS]
    return [experiment.f0_coarse_file(stem), experiment.f0_hz_file(stem), *content]


def _recut(task: Task, like: Like) -> Outcome | None:
    """None if the cuts cannot be found again: the recording is then sliced on its own."""
    outcome = outcome_of(json.loads(like.outcome))
    try:
        cuts = _cuts(task, like)
    except (RvcError, OSError):
        return None  # slicing on its own tells why
    if len(cuts) != outcome.clips:
        return None
    here, there = Experiment(task.experiment), Experiment(like.experiment)
    for stem in task.stale:
        here.remove_clip(stem)
    for number, window in enumerate(_windows(task, cuts, like.sample_rate)):
        stem, old_stem = f"{task.index}_{number}", f"{like.index}_{number}"
        for old, new in zip(derived_files(there, old_stem), derived_files(here, stem), strict=True):
            if old.is_file():
                _copy(old, new)
        # In the order of slicing: where the clip at the target rate exists, all others do.
        _copy(there.wav_16k(old_stem), here.wav_16k(stem))
        save(here.gt_wav(stem), level(window), task.sample_rate)
    return outcome


def _cuts(task: Task, like: Like) -> list[tuple[int, int]]:
    """[first, last) of every clip, in samples of the earlier rate."""
    survey = Survey(like.sample_rate, lambda: stream(task.path, like.sample_rate))
    return [
        bounds for bounds, window in survey.windows(task.slice_s) if not drop_reason(window, like.sample_rate)
    ]


def _windows(task: Task, cuts: list[tuple[int, int]], rate: int) -> Iterator[np.ndarray]:
    """The samples of each cut at the target rate, high-passed: [n] float32."""
    factor = task.sample_rate / rate
    bounds = [(round(first * factor), round(last * factor)) for first, last in cuts]
    return cut_windows(_filtered(task), bounds)


def _filtered(task: Task) -> Iterable[np.ndarray]:
    highpass = CausalHighPass(task.sample_rate)
    blocks = (highpass(block).astype(np.float32) for block in stream(task.path, task.sample_rate))
    return chain(blocks, [np.zeros(round(_TAIL_S * task.sample_rate), np.float32)])


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
