"""One clip: recording in, two pitch files out. Runs in the stage's process or in a worker."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from infer.lib import audio
from infer.lib.errors import BadInput, RvcError
from infer.lib.f0 import estimator
from infer.lib.f0.curve import F0Curve
from infer.lib.f0.tracking import Estimator
from infer.lib.files import atomic_path


@dataclass(frozen=True)
class Recipe:
    """How pitch is found. The first two decide the result, the others where it is computed."""

    method: str
    fill_unvoiced: bool
    device: str
    assets: Path
    workers: int = 1


@dataclass(frozen=True)
class Clip:
    """`key` names the recording's bytes and the recipe."""

    stem: str
    key: str
    wav: Path
    coarse: Path
    hz: Path


def extract(recipe: Recipe, clip: Clip) -> str | None:
    """Writes both files and returns None, or the reason why there is no curve.

    Errors of writing (a full disk) are not the clip's fault and are raised.
    """
    try:
        curve = analyse(recipe, clip.wav)
    except (RvcError, ValueError, RuntimeError) as error:  # the native libraries raise the latter two
        return str(error).partition("\n")[0] or type(error).__name__
    _save(clip.coarse, curve.coarse())
    _save(clip.hz, curve.hz)
    return None


def analyse(recipe: Recipe, wav: Path) -> F0Curve:
    """Raises BadInput if there is no voiced frame to fill from."""
    curve = shared_estimator(recipe)(audio.load(wav, audio.SAMPLE_RATE_16K))
    if not len(curve):
        raise BadInput("the clip is shorter than one pitch frame")
    if not recipe.fill_unvoiced:
        return curve
    if not curve.voiced.any():
        raise BadInput("no voiced frame to fill the others from")
    return curve.fill_unvoiced()


@lru_cache(maxsize=1)
def shared_estimator(recipe: Recipe) -> Estimator:
    """One model for each process. Raises MissingFile for a missing model or package."""
    return estimator(recipe.method, recipe.device, recipe.assets)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array)
