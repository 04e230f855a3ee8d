"""Seconds spent in each phase of a conversion."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PHASES = ("load", "f0", "features", "index", "synthesis")


class Stopwatch:
    """`with watch("f0"): ...` adds to `watch.seconds["f0"]`; a GPU's queue is waited for."""

    def __init__(self, device: str = "cpu"):
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._device = device

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
            if self._device != "cpu":
                torch.cuda.synchronize(self._device)
        finally:
            self.seconds[phase] += time.perf_counter() - start
