"""How high the voice of a training set is: pm over a few of its clips."""

import numpy as np

from infer.jobs.experiment import Experiment
from infer.jobs.set_notes import spread
from infer.lib import audio
from infer.lib.errors import RvcError
from infer.lib.f0 import estimator

MOST_CLIPS = 24
LEAST_FRAMES = 20  # of 10 ms; fewer say nothing
PERCENTILES = {"low": 5, "median": 50, "high": 95}


def pitch_range(experiment: Experiment) -> dict[str, float] | None:
    """{"low", "median", "high"} in Hz: percentiles 5, 50 and 95 of the voiced frames.

    None without parselmouth, or where hardly anything is voiced.
    """
    try:
        praat = estimator("pm")
    except RvcError:
        return None  # the package is missing: a report without pitch is still a report
    voiced = []
    for stem in spread(experiment.stems_16k(), MOST_CLIPS):
        try:
            hz = praat(audio.load(experiment.wav_16k(stem), audio.SAMPLE_RATE_16K)).hz
        except (RvcError, RuntimeError, ValueError):  # the native library raises the latter two
            continue
        voiced.append(hz[hz > 0])
    frames = np.concatenate(voiced) if voiced else np.zeros(0)
    if len(frames) < LEAST_FRAMES:
        return None
    return {name: round(float(np.percentile(frames, share)), 1) for name, share in PERCENTILES.items()}
