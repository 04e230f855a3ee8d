"""Loss curves of the experiment, live: the five losses, and apart from them the held-out mel loss."""

from typing import TYPE_CHECKING

import gradio as gr

from infer.lib.errors import RvcError
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.loss_chart import heldout_table, loss_table
from infer.web.page import QUIET, Page
from infer.web.tabs.train_html import note
from infer.web.tabs.train_layout import put, quiet_html
from infer.web.train_facts import held_out
from infer.web.train_form import experiment_of

if TYPE_CHECKING:
    from infer.jobs.events import Metric

HELD_OUT = "heldout_mel"
AXES = {"x": "step", "y": "value"}


class ChartPanel:
    """Redrawn when there are new numbers, at most once a second."""

    def __init__(self, page: Page, picker: gr.Dropdown):
        self.page, self.picker = page, picker

    def build(self) -> None:
        self.seen = gr.State("")
        with gr.Accordion(t("train.chart"), open=True, visible=False, elem_id="train-chart") as self.box:
            self.losses = gr.LinePlot(
                x="step", y="value", color="loss", height=260, show_label=False, color_title=" "
            )
            self.best = quiet_html("train-best")
            self.held_out = gr.LinePlot(
                x="step", y="value", height=180, label=t("train.held_out"), visible=False
            )

    def wire(self) -> None:
        outputs = [self.seen, self.box, self.losses, self.best, self.held_out]
        self.page.second.tick(guarded(self.look), [self.picker, self.seen], outputs, **QUIET)

    def look(self, name: str, seen: str) -> list:
        """The curves, if there are other numbers than were `seen`."""
        metrics = self._metrics(name)
        now = f"{name}|{len(metrics)}|{metrics[-1].step if metrics else 0}"
        return [gr.skip()] * 5 if now == seen else [now, *self.draw(name, metrics)]

    def draw(self, name: str, metrics: "list[Metric]") -> list:
        if not metrics:
            return [gr.update(visible=False), *[gr.skip()] * 3]
        language = language_of()
        axes = {f"{axis}_title": say(language, f"train.chart.{name}") for axis, name in AXES.items()}
        spoken = heldout_table(metrics)
        spared = bool(held_out(experiment_of(self.page.home, name)))
        return [
            gr.update(visible=True),
            gr.update(value=loss_table(metrics), **axes),
            put(best_html(metrics, language, spared)),
            gr.update(value=spoken, visible=len(spoken) > 0, **axes),
        ]

    def _metrics(self, name: str) -> "list[Metric]":
        try:
            return self.page.jobs.metrics(experiment_of(self.page.home, name or "").root)
        except RvcError:
            return []


def best_html(metrics: "list[Metric]", language: str, spared: bool) -> str:
    """Which saved epoch speaks the held-out clips best so far; nothing stops by itself on it.

    `spared`: there are such clips. Of very few clips none is, and a clip of the training set is spoken.
    """
    spoken = [metric for metric in metrics if isinstance(metric.values.get(HELD_OUT), float)]
    if not spoken:
        return ""
    best = min(spoken, key=lambda metric: metric.values[HELD_OUT])
    key = "train.best" if spared else "train.best_trained"
    text = say(language, key, epoch=best.epoch, loss=f"{best.values[HELD_OUT]:.2f}")
    return note(f"★ {text}")
