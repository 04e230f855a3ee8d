"""Training's measured values as tables for gr.LinePlot."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infer.jobs.events import Metric

if TYPE_CHECKING:
    import pandas

PREFIX = "loss_"
LOSSES = ("loss_mel", "loss_gen", "loss_disc", "loss_fm", "loss_kl")
HELD_OUT = "heldout_mel"
COLUMNS = ("step", "epoch", "loss", "value")
MOST_POINTS = 600  # of a series: more than a plot has pixels only make the page slow
_OF_EPOCH = "epoch_s"  # a mean over an epoch carries its duration
LEAST_EPOCHS = 2  # before that the single steps are shown


def loss_table(metrics: Sequence[Metric]) -> "pandas.DataFrame":
    """Columns step, epoch, loss (its name), value: means of epochs, or single steps while there are none."""
    epochs = [metric for metric in metrics if _OF_EPOCH in metric.values]
    steps = [metric for metric in metrics if _OF_EPOCH not in metric.values]
    return _table(epochs if len(epochs) >= LEAST_EPOCHS else steps, LOSSES)


def heldout_table(metrics: Sequence[Metric]) -> "pandas.DataFrame":
    """The same columns for the mel loss of clips that are not trained on, measured at each save."""
    return _table(metrics, (HELD_OUT,))


def _table(metrics: Sequence[Metric], names: Sequence[str]) -> "pandas.DataFrame":
    from pandas import DataFrame

    rows = []
    for name in names:
        points = [
            (m.step, m.epoch, value) for m in metrics if (value := _finite(m.values.get(name))) is not None
        ]
        # By their short names: all five must fit below the plot on a telephone.
        rows += [(step, epoch, name.removeprefix(PREFIX), value) for step, epoch, value in thinned(points)]
    return DataFrame(rows, columns=list(COLUMNS))


def thinned(points: list[tuple[int, int, float]], most: int = MOST_POINTS) -> list[tuple[int, int, float]]:
    """At most `most` points: means of neighbours, each at the last one's step."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(*group[-1][:2], sum(value for *_, value in group) / len(group)) for group in groups]


def _finite(value: object) -> float | None:
    """Losses that are no numbers come as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
