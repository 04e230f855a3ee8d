"""The random part of a voice, drawn so that the same options give the same file on any device."""

import secrets
from collections.abc import Callable

import numpy as np
import torch

from infer.lib.models.spec import ModelSpec
from infer.lib.models.synthesizer import Draws

FRESH = -1

Noise = Callable[[ModelSpec, int, int], Draws]
"""`noise(spec, frames, place)`: the draws for `frames` frames of the piece that begins at sample `place`."""


def seeded(seed: int) -> Noise:
    """Normal noise that depends on `seed` and the piece alone; seed -1 is a new one each time."""
    base = secrets.randbits(63) if seed == FRESH else seed

    def draw(spec: ModelSpec, frames: int, place: int) -> Draws:
        # NumPy: torch's CPU generator heeds 32 bits of a seed only.
        rng = np.random.default_rng([base, place])
        prior = rng.standard_normal((1, spec.inter_channels, frames), dtype=np.float32)
        source = rng.standard_normal((1, frames * spec.hop, 1), dtype=np.float32)
        return Draws(prior=torch.from_numpy(prior), source=torch.from_numpy(source))

    return draw


def none(spec: ModelSpec, frames: int, place: int) -> Draws:
    """No noise at all: for comparing numbers."""
    return Draws(
        prior=torch.zeros(1, spec.inter_channels, frames), source=torch.zeros(1, frames * spec.hop, 1)
    )
