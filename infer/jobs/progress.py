"""How far a job is, for the page: the last progress and the last sentences, read as they grow."""

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from infer.jobs.events import Event, Metric, Progress, from_line, sentence
from infer.jobs.job_folder import JobFolder
from infer.jobs.tail import Tail

LINES = 200
TAIL_BYTES = 256 * 1024  # holds more than LINES sentences
LONGEST_LINE = 600
TRAINING = "train"
EMPTY = {
    "step": 0,
    "stage": "",
    "done": 0,
    "total": 0,
    "item": "",
    "part": 0.0,
    "seconds_each": None,
    "at_s": 0.0,
}


@dataclass(frozen=True)
class JobProgress:
    """`step` is the stage at work, `done` of its `total` items are finished (`part` of the next).

    `eta_s` is what this stage still needs, None until that is known. `epoch` of `total_epochs` is being
    trained; both are None outside of training.
    """

    step: str = ""
    done: int = 0
    total: int = 0
    item: str = ""
    part: float = 0.0
    eta_s: float | None = None
    epoch: int | None = None
    total_epochs: int | None = None
    lines: tuple[str, ...] = ()

    @property
    def fraction(self) -> float | None:
        """0 to 1 of the stage at work; None if the number of items is not known."""
        return min((self.done + self.part) / self.total, 1.0) if self.total > 0 else None


def readable(event: Event) -> str | None:
    """The sentence of an event worth a line; None for what has a better place on the page."""
    return None if isinstance(event, Progress | Metric) else sentence(event)[:LONGEST_LINE]


class ProgressReader:
    """One for each job, shared by all who look."""

    def __init__(self, folder: JobFolder):
        self._file = folder.progress_file
        self._tail = Tail(folder.events_file, TAIL_BYTES)
        self._lines: deque[str] = deque(maxlen=LINES)
        self._lock = threading.Lock()
        self._stamp: tuple | None = None
        self._values = EMPTY

    def read(self, steps: Sequence[str], state: str) -> JobProgress:
        with self._lock:
            self._read_lines()
            self._read_values()
            return _progress(self._values, tuple(self._lines), steps, state)

    def _read_lines(self) -> None:
        for line in self._tail.read():
            event = from_line(line)
            text = readable(event) if event else None
            if text is not None:
                self._lines.append(text)

    def _read_values(self) -> None:
        try:
            stat = self._file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                values = json.loads(self._file.read_bytes())
                self._values = EMPTY | {key: values[key] for key in EMPTY}
                self._stamp = stamp
        except (OSError, ValueError, KeyError, TypeError):
            return  # not there yet, or being replaced: the next look will do


def _progress(values: dict, lines: tuple[str, ...], steps: Sequence[str], state: str) -> JobProgress:
    done, total, part = values["done"], values["total"], values["part"]
    stage = values["stage"] or (steps[values["step"]] if values["step"] < len(steps) else "")
    training = stage == TRAINING and total > 0
    eta_s = None
    if state == "running" and values["seconds_each"] is not None and total > 0:
        each = values["seconds_each"]
        since = min(max(time.time() - values["at_s"], 0.0), each)  # a stalled item uses up its own share only
        eta_s = max((total - done - part) * each - since, 0.0)
    return JobProgress(
        step=stage,
        done=done,
        total=total,
        item=values["item"],
        part=part,
        eta_s=eta_s,
        epoch=min(done + 1, total) if training else None,
        total_epochs=total if training else None,
        lines=lines,
    )
