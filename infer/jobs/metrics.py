"""The measured values of an experiment's runs, from its events, read as they grow."""

import threading
from pathlib import Path

from infer.jobs.events import Metric, from_line
from infer.jobs.tail import Tail

_BEGINNING = '{"event": "metric"'


class MetricReader:
    """`read()` gives all metrics by step. One for each experiment, shared by all who look.

    A run that goes on from an earlier checkpoint repeats steps: what the earlier run measured beyond
    that point is not part of this training any more.
    """

    def __init__(self, events_file: Path):
        self._tail = Tail(events_file)
        self._metrics: list[Metric] = []
        self._lock = threading.Lock()

    def read(self) -> list[Metric]:
        with self._lock:
            lines = self._tail.read()
            if self._tail.restarted:
                self._metrics = []
            for line in lines:
                if line.startswith(_BEGINNING) and isinstance(metric := from_line(line), Metric):
                    self._add(metric)
            return list(self._metrics)

    def _add(self, metric: Metric) -> None:
        kept = self._metrics
        while kept and kept[-1].step > metric.step:
            kept.pop()
        names = set(metric.values)
        place = len(kept)
        while place and kept[place - 1].step == metric.step:
            place -= 1
            if set(kept[place].values) == names:
                kept[place] = metric
                return
        kept.append(metric)
