"""What a running stage reports: seven kinds of event, as JSON lines or as sentences.

On a terminal an event is a sentence. When standard output is a pipe it is one ASCII JSON object
on a line of its own, flushed; progress is thinned to five a second, everything else is kept.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TextIO

from infer.jobs.lifeline import give_up, nobody_reads


@dataclass(frozen=True)
class Started:
    """A stage begins. `total` is the number of items, or None if unknown."""

    stage: str
    total: int | None = None


@dataclass(frozen=True)
class Progress:
    """`done` of `total` items are finished; `item` names the last one.

    `part` (0 to 1) is how far the next one is, for items that take long, such as epochs.
    """

    done: int
    total: int
    item: str = ""
    part: float = 0.0


@dataclass(frozen=True)
class Metric:
    """Measured values at a training step, e.g. {"loss_mel": 21.3}."""

    step: int
    epoch: int
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemFailed:
    """One item was left out; the run goes on."""

    item: str
    reason: str


@dataclass(frozen=True)
class Log:
    """A sentence worth showing."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The stage is complete. `summary` holds counts and paths (JSON values)."""

    stage: str
    summary: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The stage ended without its result. The last event of a failed run."""

    stage: str
    reason: str


Event = Started | Progress | Metric | ItemFailed | Log | Finished | Failed
Report = Callable[[Event], None]

KINDS = {
    "started": Started,
    "progress": Progress,
    "metric": Metric,
    "item_failed": ItemFailed,
    "log": Log,
    "finished": Finished,
    "failed": Failed,
}
NAMES = {kind: name for name, kind in KINDS.items()}
PROGRESS_INTERVAL_S = 0.2


def silent(event: Event) -> None:
    """A report that goes nowhere."""


def to_line(event: Event) -> str:
    """One ASCII JSON object. Non-finite floats become text, since JSON has none."""
    return json.dumps({"event": NAMES[type(event)], **_plain(asdict(event))}, ensure_ascii=True)


def from_line(line: str) -> Event | None:
    """The event in a line, or None if the line holds something else (a library's own print)."""
    line = line.strip()
    if not line.startswith('{"event"'):
        return None
    try:
        values = json.loads(line)
        return KINDS[values.pop("event")](**values)
    except (ValueError, KeyError, TypeError):
        return None


def sentence(event: Event) -> str:
    """The event as a person reads it."""
    match event:
        case Started(stage, None):
            return f"{stage}: started"
        case Started(stage, total):
            return f"{stage}: started, {total} to do"
        case Progress(done, total, item):
            return f"[{done}/{total}] {item}"
        case Metric(step, epoch, values):
            return f"epoch {epoch} step {step}: " + ", ".join(f"{k}={v:.3f}" for k, v in values.items())
        case ItemFailed(item, reason):
            return f"left out {item}: {reason}"
        case Log(message):
            return message
        case Finished(stage, summary):
            return f"{stage}: done" + "".join(f", {key} {value}" for key, value in summary.items())
        case Failed(stage, reason):
            return f"{stage} failed: {reason}"


class Reporter:
    """Writes events to a text stream; `as_json` picks the form (default: JSON unless a terminal)."""

    def __init__(self, stream: TextIO | None = None, as_json: bool | None = None):
        self._stream = stream or sys.stdout
        self._as_json = not self._stream.isatty() if as_json is None else as_json
        self._last_progress_s = -math.inf

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and self._too_soon(event):
            return
        text = to_line(event) if self._as_json else sentence(event)
        # A progress bar of a library may have left its line open: begin on a fresh one.
        lead = "\n" if self._as_json else ""
        try:
            self._stream.write(f"{lead}{text}\n")
            self._stream.flush()
        except OSError:
            if not nobody_reads(self._stream):
                raise
            give_up(self._stream)

    def _too_soon(self, event: Progress) -> bool:
        if event.part and not self._as_json:
            return True  # a terminal gets whole items only
        now = time.monotonic()
        if event.done < event.total and now - self._last_progress_s < PROGRESS_INTERVAL_S:
            return True
        self._last_progress_s = now
        return False


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
