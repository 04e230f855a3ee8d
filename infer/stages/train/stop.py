"""Reasons to end before the last epoch: a signal, the clock, losses that are no numbers."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

from infer.lib.errors import RvcError


class Stopped(RvcError):
    """Training ended on request; what was finished is saved."""


class NotFinite(RvcError):
    """The losses are no longer numbers."""


def stop_signals() -> list[signal.Signals]:
    """What asks training to save and end. SIGBREAK is all that the Stop button can send on Windows."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


class StopSignal:
    """Remembers SIGINT or SIGTERM, so that training ends between two steps. A second SIGINT ends at once."""

    def __init__(self):
        self.received = False

    @contextlib.contextmanager
    def watched(self) -> Iterator["StopSignal"]:
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread may watch signals; a test's thread trains without
            return
        old = {number: signal.signal(number, self._receive) for number in stop_signals()}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _receive(self, number, _frame) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True


class Clock:
    """Seconds since the start of training, and whether a limit (0: none) is over."""

    def __init__(self, limit_s: float):
        self._start_s, self._limit_s = time.monotonic(), limit_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start_s

    @property
    def over(self) -> bool:
        return 0 < self._limit_s <= self.elapsed_s
