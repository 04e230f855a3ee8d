"""A stage ends when whoever reads its events has gone: a killed supervisor leaves no orphans at work.

The broken pipe is noticed at once where the system can tell (not on Windows, where the next report
fails instead). The stage is then asked to stop as the Stop button asks, so that training is saved.
"""

import contextlib
import os
import select
import signal
import stat
import threading
from collections.abc import Iterator
from typing import TextIO

LOOK_EVERY_MS = 500


@contextlib.contextmanager
def tied_to_reader(stream: TextIO) -> Iterator[None]:
    """Meanwhile, asks this process to stop when `stream` is a pipe that nobody reads any more."""
    handle = _pipe(stream)
    if handle is None or not hasattr(select, "poll"):
        yield
        return
    over = threading.Event()
    threading.Thread(target=_watch, args=(stream, handle, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def nobody_reads(stream: TextIO) -> bool:
    """Why a write to `stream` failed. Windows has no error of its own for a pipe without reader."""
    handle = _pipe(stream)
    return handle is not None and (os.name == "nt" or _broken(handle, 0))


def give_up(stream: TextIO) -> None:
    """Sends what follows nowhere, and asks this process to stop (SIGTERM)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    if os.name == "nt":
        signal.raise_signal(signal.SIGTERM)  # os.kill would end the process before it has saved
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def _watch(stream: TextIO, handle: int, over: threading.Event) -> None:
    while not over.is_set():
        if _broken(handle, LOOK_EVERY_MS):
            if not over.is_set():
                give_up(stream)
            return


def _broken(handle: int, wait_ms: int) -> bool:
    poll = select.poll()
    poll.register(handle, 0)  # errors and hang-ups are told without asking
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(wait_ms))


def _pipe(stream: TextIO) -> int | None:
    """The handle of `stream` if it is a pipe."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        handle = stream.fileno()
        if stat.S_ISFIFO(os.fstat(handle).st_mode):
            return handle
    return None
