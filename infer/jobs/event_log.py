"""Events on disk, one line each, for whoever looks later: appended whole, progress thinned."""

import math
import os
import time
from pathlib import Path

from infer.jobs.events import Event, Progress, to_line

# How far a run is stands in progress.json of its job; here it is only history.
KEEP_PROGRESS_EVERY_S = 5.0


class EventLog:
    """Appends events to a file and makes its folder. Raises OSError as the system does."""

    def __init__(self, path: Path):
        self._path = path
        self._last_progress_s = -math.inf
        self._begun = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and self._too_soon(event):
            return
        lead = "" if self._begun else self._mend()
        with self._path.open("ab") as file:  # appending whole lines: several writers do not mix
            file.write(f"{lead}{to_line(event)}\n".encode("ascii"))
        self._begun = True

    def _too_soon(self, event: Progress) -> bool:
        now = time.monotonic()
        last = event.done >= event.total and not event.part
        if not last and now - self._last_progress_s < KEEP_PROGRESS_EVERY_S:
            return True
        self._last_progress_s = now
        return False

    def _mend(self) -> str:
        """A line feed where a killed process left half a line; makes the folder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.is_file() or not self._path.stat().st_size:
            return ""
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return "" if file.read(1) == b"\n" else "\n"
