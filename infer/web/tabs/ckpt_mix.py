"""Mixing two to four voices, and telling how alike two voices are."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from infer.lib.errors import RvcError
from infer.stages.ckpt.options import CompareOptions, MergeOptions
from infer.web import ckpt_files, fields
from infer.web.ckpt_work import Work, outcome, steps_of, table, written_note
from infer.web.convert_texts import note
from infer.web.errors_i18n import refusal
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.tabs.ckpt_voice import SLOW

ALWAYS_SHOWN, MOST_VOICES = 2, 4
LETTERS = "ABCD"
LIKE = ("version", "sample_rate", "use_f0")  # what voices must share to be mixed


class FusionPanel:
    """Rows of a voice and its weight; shares are relative to the sum of the weights."""

    def __init__(self, page: Page):
        self.page = page
        gr.Markdown(t("ckpt.fusion_about"), elem_classes="rvc-note")
        self.fields: list[ckpt_files.FileField] = []
        self.weights: list[gr.Slider] = []
        for letter in LETTERS[:ALWAYS_SHOWN]:
            self._row(letter)
        with gr.Accordion(t("ckpt.more_voices"), open=False, elem_id="ckpt-more-voices"):
            for letter in LETTERS[ALWAYS_SHOWN:MOST_VOICES]:
                self._row(letter)
        self.shares = gr.HTML(elem_id="ckpt-shares", elem_classes="rvc-told")
        with gr.Row():
            self.name = gr.Textbox(
                elem_id="ckpt-fusion-name", min_width=260, **fields.labelled("ckpt.fusion_name")
            )
            self.info = fields.text(MergeOptions, "info", "ckpt.info", min_width=260)
        self.overwrite = fields.checkbox(MergeOptions, "overwrite", "ckpt.overwrite")
        self.merge = gr.Button(t("ckpt.fusion"), variant="primary", elem_id="ckpt-fusion")
        self.result = gr.HTML(elem_id="ckpt-fused", elem_classes="rvc-told")

    def _row(self, letter: str) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=280):
                key, elem_id = f"ckpt.model_{letter.lower()}", f"ckpt-model-{letter.lower()}"
                self.fields.append(ckpt_files.FileField(key, elem_id, ckpt_files.voice_choices(self.page)))
            with gr.Column(scale=2, min_width=200):
                self.weights.append(
                    gr.Slider(
                        0,
                        1,
                        value=0.5,
                        step=0.01,
                        elem_id=f"{elem_id}-weight",
                        **fields.labelled("ckpt.weight"),
                    )
                )

    def wire(self) -> None:
        rows = [component for pair in self._pairs() for component in pair]
        for component in rows:
            component.change(guarded(self._shares), rows, self.shares, **QUIET)
        inputs = {*rows, self.name, self.info, self.overwrite}
        self.merge.click(guarded(self._merge), inputs, self.result, **SLOW)

    def _pairs(self) -> list[tuple[gr.Dropdown, gr.Slider]]:
        return [(field.box, weight) for field, weight in zip(self.fields, self.weights, strict=True)]

    def _shares(self, *values: Any) -> str:
        """Each voice with its share in percent, and why they cannot be mixed if they cannot."""
        language = language_of()
        chosen = [(text, weight) for text, weight in zip(values[::2], values[1::2], strict=True) if text]
        total = sum(weight for _, weight in chosen)
        if len(chosen) < ALWAYS_SHOWN or not total:
            return ""
        parts = [
            f"{ckpt_files.chosen_file(self.page, text).stem} {weight / total:.0%}" for text, weight in chosen
        ]
        problem = self._unlike([text for text, _ in chosen], language)
        return note(" + ".join(parts)) + (note(problem, "warn") if problem else "")

    def _unlike(self, texts: Sequence[str], language: str) -> str:
        try:
            headers = [ckpt_files.header_of(self.page, text) for text in texts]
        except (RvcError, OSError):
            return ""  # pressing the button tells the reason
        first = headers[0]
        for letter, header in zip(LETTERS[1:], headers[1:], strict=False):
            if any(getattr(header, name) != getattr(first, name) for name in LIKE):
                return say(language, "ckpt.unlike", one="A", other=letter)
        return ""

    def _merge(self, values: dict[Any, Any]) -> Iterator[str]:
        language = language_of()
        chosen = [(values[box], values[weight]) for box, weight in self._pairs() if values[box]]
        if len(chosen) < ALWAYS_SHOWN:
            raise refusal("ckpt.error.two_voices")
        if not (values[self.name] or "").strip():
            raise refusal("ckpt.error.no_name")
        options = MergeOptions(
            voices=tuple(ckpt_files.chosen_file(self.page, text) for text, _ in chosen),
            name=values[self.name],
            weight=tuple(float(weight) for _, weight in chosen),
            weights=self.page.home.weights,
            info=values[self.info] or "",
            overwrite=values[self.overwrite],
        )
        for step in steps_of(options, language):
            if isinstance(step, str):
                yield step
            else:
                yield outcome(step, language, "" if step.failure else written_note(step, language))


class ComparePanel:
    """Two voices, part by part."""

    def __init__(self, page: Page):
        self.page = page
        gr.Markdown(t("ckpt.compare_about"), elem_classes="rvc-note")
        with gr.Row(equal_height=False):
            self.fields = []
            for letter in LETTERS[:2].lower():
                with gr.Column(min_width=280):
                    self.fields.append(
                        ckpt_files.FileField(
                            f"ckpt.model_{letter}",
                            f"ckpt-compare-{letter}",
                            ckpt_files.voice_choices(page),
                        )
                    )
        self.compare = gr.Button(t("ckpt.compare"), variant="primary", elem_id="ckpt-compare")
        self.result = gr.HTML(elem_id="ckpt-compared", elem_classes="rvc-told")

    def wire(self) -> None:
        boxes = [field.box for field in self.fields]
        self.compare.click(guarded(self._compare), boxes, self.result, **SLOW)

    def _compare(self, first: str | None, second: str | None) -> Iterator[str]:
        language = language_of()
        files = [ckpt_files.chosen_file(self.page, text) for text in (first, second)]
        for step in steps_of(CompareOptions(*files), language):
            if isinstance(step, str):
                yield step
            else:
                yield outcome(step, language, "" if step.failure else _similarity(step, language))


def _similarity(work: Work, language: str) -> str:
    if work.summary["identical"]:
        return note(say(language, "ckpt.identical"), "good")
    overall = say(language, "ckpt.similarity", percent=f"{100 * work.summary['similarity']:.2f}")
    groups = {name: f"{100 * value:.2f} %" for name, value in work.summary["groups"].items()}
    return note(overall, "good") + table(groups, language, "ckpt.group.")
