"""Taking a voice out of a training checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from infer.lib.errors import RvcError
from infer.stages.ckpt.options import ExtractOptions
from infer.web import ckpt_files, fields
from infer.web.ckpt_work import outcome, steps_of, written_note
from infer.web.handlers import guarded
from infer.web.i18n import language_of, t
from infer.web.page import QUIET, Page
from infer.web.tabs.ckpt_voice import SLOW

REFUSING = ("sample_rate", "version", "use_f0")


class ExtractPanel:
    """Rate, version and pitch guidance are told by the checkpoint; RVC's fields only refuse any other."""

    def __init__(self, page: Page):
        self.page = page
        gr.Markdown(t("ckpt.extract_about"), elem_classes="rvc-note")
        self.file = ckpt_files.FileField(
            "ckpt.checkpoint", "ckpt-checkpoint", ckpt_files.checkpoint_choices(page)
        )
        self.fields = [self.file]
        self.facts = gr.HTML(elem_id="ckpt-checkpoint-facts", elem_classes="rvc-told")
        with gr.Row():
            self.name = fields.text(
                ExtractOptions, "name", "ckpt.save_name", min_width=260, elem_id="ckpt-extract-name"
            )
            self.info = fields.text(
                ExtractOptions, "info", "ckpt.info", min_width=260, elem_id="ckpt-extract-info"
            )
        with gr.Row():
            self.author = fields.text(ExtractOptions, "author", "ckpt.author", min_width=260)
            self.licence = fields.text(ExtractOptions, "licence", "ckpt.licence", min_width=260)
        with gr.Accordion(t("ckpt.check"), open=False), gr.Row():
            self.checks = {
                name: fields.radio(ExtractOptions, name, f"ckpt.{name}", min_width=200) for name in REFUSING
            }
        self.overwrite = fields.checkbox(ExtractOptions, "overwrite", "ckpt.overwrite")
        self.extract = gr.Button(t("ckpt.extract"), variant="primary", elem_id="ckpt-extract")
        self.result = gr.HTML(elem_id="ckpt-extracted", elem_classes="rvc-told")

    def wire(self) -> None:
        self.file.box.change(
            guarded(self._chosen), self.file.box, [self.facts, self.name, self.result], **QUIET
        )
        inputs = {self.file.box, self.name, self.info, self.author, self.licence, self.overwrite}
        inputs |= set(self.checks.values())
        self.extract.click(guarded(self._extract), inputs, self.result, **SLOW)

    def _chosen(self, text: str | None) -> tuple:
        return ckpt_files.facts(self.page, text), self._suggested_name(text), ""

    def _suggested_name(self, text: str | None) -> str:
        """`<experiment>_e<epoch>`: the finished voice keeps its name."""
        if not text:
            return ""
        try:
            path, header = ckpt_files.chosen_file(self.page, text), ckpt_files.header_of(self.page, text)
        except (RvcError, OSError):
            return ""
        own = path.resolve().is_relative_to(self.page.home.logs.resolve())
        name = path.parent.name if own else path.stem
        return f"{name}_e{header.epoch}" if header.epoch is not None else name

    def _extract(self, values: dict[Any, Any]) -> Iterator[str]:
        language = language_of()
        path: Path = ckpt_files.chosen_file(self.page, values[self.file.box])
        options = ExtractOptions(
            checkpoint=path,
            name=values[self.name] or "",
            weights=self.page.home.weights,
            info=values[self.info] or "",
            author=values[self.author] or "",
            licence=values[self.licence] or "",
            overwrite=values[self.overwrite],
            **{name: values[radio] for name, radio in self.checks.items()},
        )
        for step in steps_of(options, language):
            if isinstance(step, str):
                yield step
            else:
                yield outcome(step, language, "" if step.failure else written_note(step, language))
