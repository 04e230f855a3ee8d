"""One run at a time on an experiment: two would mix their clips and checkpoints.

The system holds the lock for the process and takes it back when the process ends, however it ends.
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from infer.lib.errors import BadInput

# Loaders of a killed run need a few seconds to notice, and hold its lock until then.
PATIENCE_S = 8.0
POLL_S = 0.1
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


@contextmanager
def alone(lock_file: Path, what: str) -> Iterator[None]:
    """Holds the lock meanwhile. Raises BadInput when another process holds it; `what` names the work."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+b") as file:
        _wait_for(file, what)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                _release(file)


@contextmanager
def if_free(lock_file: Path) -> Iterator[bool]:
    """Whether the lock could be taken at once; it is then held meanwhile."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+b") as file:
        mine = _taken(file)
        try:
            yield mine
        finally:
            if mine:
                with contextlib.suppress(OSError):
                    _release(file)


def is_held(lock_file: Path) -> bool:
    """Whether a living process holds the lock. Looking does not disturb others who look."""
    try:
        with lock_file.open("r+b") as file:
            return not any(_looked(file) for _ in range(LOOKS))
    except OSError:
        return False  # nobody has made it yet


def _looked(file: BinaryIO) -> bool:
    """True if the lock was free, and is again."""
    try:
        _look(file)
    except OSError as error:
        if error.errno in _BUSY:
            time.sleep(POLL_S / 10 if LOOKS > 1 else 0)
            return False
        return True
    _release(file)
    return True


def _wait_for(file: BinaryIO, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not _taken(file):
        if time.monotonic() > deadline:
            raise BadInput(f"another run is working on {what}", "wait until it ends, or stop it first")
        time.sleep(POLL_S)


def _taken(file: BinaryIO) -> bool:
    """False while another holds the lock. True on file systems that know no locks."""
    try:
        _take(file)
    except OSError as error:
        return error.errno not in _BUSY
    return True


if os.name == "nt":
    import msvcrt

    LOOKS = 3  # there are no shared locks: two who look at once are in each other's way

    def _take(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    _look = _take

    def _release(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    LOOKS = 1

    def _look(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _take(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
