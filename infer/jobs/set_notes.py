"""What a voice file tells of its training set: the median pitch and the speakers' names."""

from typing import Any

import numpy as np

from infer.jobs.experiment import Experiment
from infer.lib.checkpoint_layout import voice_notes

MOST_CLIPS = 200  # reading them takes a tenth of a second


def set_notes(experiment: Experiment, use_f0: bool = True) -> dict[str, Any]:
    """The extras of a voice made from `experiment`; without a pitch where there are no curves."""
    median_hz = median_pitch(experiment) if use_f0 else None
    return voice_notes(median_hz, experiment.read_settings().speaker_names)


def median_pitch(experiment: Experiment) -> float | None:
    """Median of the voiced frames in Hz, of clips spread evenly over the training set."""
    files = sorted(experiment.f0_hz.glob("*.npy")) if experiment.f0_hz.is_dir() else []
    voiced = [curve[curve > 0] for path in spread(files, MOST_CLIPS) if (curve := _curve(path)) is not None]
    frames = np.concatenate(voiced) if voiced else np.zeros(0)
    return float(np.median(frames)) if len(frames) else None


def spread(items: list, most: int) -> list:
    """At most `most` of the items, evenly over all of them."""
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]


def _curve(path) -> np.ndarray | None:
    """None for a file that is damaged, or vanished just now."""
    try:
        curve = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return curve if curve.ndim == 1 and curve.dtype.kind in "fiu" else None
