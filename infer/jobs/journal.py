"""What a supervised job says, on its way to disk: events line by line, progress as a small file beside."""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from infer.jobs.event_log import EventLog
from infer.jobs.events import Event, Progress, Started
from infer.jobs.job_folder import JobFolder, write_json
from infer.jobs.pace import Pace

PROGRESS_EVERY_S = 0.5


class Journal:
    """A report. A full disk does not end the job: it is complained about once.

    Call `flush` now and then: the last progress may have come too soon to be written.
    """

    def __init__(self, folder: JobFolder, further: Sequence[Path] = ()):
        self._folder = folder
        self._logs = [EventLog(path) for path in (folder.events_file, *further)]
        self._lock = threading.Lock()
        self._complained = False
        self._step, self._stage, self._pace = 0, "", Pace()
        self._progress: dict | None = None
        self._written_s = 0.0

    def begin(self, step: int, name: str) -> None:
        with self._lock:
            self._step, self._stage, self._pace = step, name, Pace()
            self._set(0, 0, "", 0.0)

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case Started(stage, total):
                    self._stage, self._pace = stage, Pace()
                    self._set(0, total or 0, "", 0.0)
                case Progress(done, total, item, part):
                    self._pace.add(time.monotonic(), done + part)
                    self._set(done, total, item, part)
            for log in self._logs:
                self._try(lambda log=log: log(event))
        self.flush(force=not isinstance(event, Progress))

    def flush(self, force: bool = False) -> None:
        """Writes progress that is not on disk yet; not more often than it is read, unless `force`."""
        with self._lock:
            soon = time.monotonic() - self._written_s < PROGRESS_EVERY_S
            if self._progress is None or (soon and not force):
                return
            progress, self._progress = self._progress, None
            self._written_s = time.monotonic()
            self._try(lambda: write_json(self._folder.progress_file, progress))

    def _set(self, done: int, total: int, item: str, part: float) -> None:
        self._progress = {
            "step": self._step,
            "stage": self._stage,
            "done": done,
            "total": total,
            "item": item,
            "part": part,
            "seconds_each": self._pace.seconds_each,
            "at_s": time.time(),
        }

    def _try(self, write) -> None:
        try:
            write()
        except OSError as error:
            if not self._complained:
                print(f"events cannot be written: {error}", file=sys.stderr, flush=True)
            self._complained = True
