"""Giving a voice away as one zip, and taking in what somebody else gave."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from infer.lib.errors import RvcError
from infer.stages.ckpt.options import INDEX_AUTO, INDEX_NONE, ExportOptions, ImportOptions
from infer.web import ckpt_files, fields
from infer.web.ckpt_work import Work, outcome, steps_of, written_note
from infer.web.convert_texts import note
from infer.web.errors_i18n import refusal, translated_words
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.tabs.ckpt_voice import SLOW
from infer.web.voices import VOICE

SHARED = "shared"  # folder of the zips, among the results
MIB = 2**20


class SharePanel:
    """Export on the left, import on the right; one below the other on a phone."""

    def __init__(self, page: Page):
        self.page = page
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                self._build_export()
            with gr.Column(min_width=300):
                self._build_import()
        self.fields = [self.voice]

    def _build_export(self) -> None:
        gr.Markdown(t("ckpt.export_title"))
        self.voice = ckpt_files.FileField(
            "ckpt.export_voice", "ckpt-export-voice", ckpt_files.voice_choices(self.page)
        )
        self.facts = gr.HTML(elem_id="ckpt-export-facts", elem_classes="rvc-told")
        self.with_index = gr.Checkbox(True, elem_id="ckpt-with-index", **fields.labelled("ckpt.with_index"))
        self.author = fields.text(
            ExportOptions, "author", "ckpt.author", min_width=260, elem_id="ckpt-export-author"
        )
        self.licence = fields.text(
            ExportOptions, "licence", "ckpt.licence", min_width=260, elem_id="ckpt-export-licence"
        )
        self.export = gr.Button(t("ckpt.export"), variant="primary", elem_id="ckpt-export")
        self.exported = gr.HTML(elem_id="ckpt-exported", elem_classes="rvc-told")
        self.zip = gr.File(
            visible=False, interactive=False, elem_id="ckpt-zip", **fields.labelled("ckpt.zip")
        )

    def _build_import(self) -> None:
        gr.Markdown(t("ckpt.import_title"))
        self.files = gr.File(
            file_count="multiple",
            file_types=[".zip", ".pth", ".index", ".json"],
            height=180,
            elem_id="ckpt-import-files",
            **fields.labelled("ckpt.import_files"),
        )
        self.name = fields.text(
            ImportOptions, "name", "ckpt.import_name", min_width=260, elem_id="ckpt-import-name"
        )
        self.overwrite = fields.checkbox(ImportOptions, "overwrite", "ckpt.overwrite")
        self.take = gr.Button(t("ckpt.import"), variant="primary", elem_id="ckpt-import")
        self.imported = gr.HTML(elem_id="ckpt-imported", elem_classes="rvc-told")

    def wire(self) -> None:
        box = self.voice.box
        box.change(
            guarded(self._chosen),
            box,
            [self.facts, self.author, self.licence, self.exported, self.zip],
            **QUIET,
        )
        inputs = {box, self.with_index, self.author, self.licence}
        self.export.click(guarded(self._export), inputs, [self.exported, self.zip], **SLOW)
        inputs = {self.files, self.name, self.overwrite}
        self.take.click(guarded(self._import), inputs, [self.imported, self.files, self.name], **SLOW)

    # handlers -------------------------------------------------------------------------------

    def _chosen(self, text: str | None) -> tuple:
        """The terms that the voice names already are filled in."""
        facts, author, licence = ckpt_files.facts(self.page, text), "", ""
        try:
            header = ckpt_files.header_of(self.page, text) if text else None
        except (RvcError, OSError):
            header = None
        if header is not None and header.kind == VOICE:
            author, licence = header.author, header.licence
        return facts, author, licence, "", gr.update(visible=False, value=None)

    def _export(self, values: dict[Any, Any]) -> Iterator[tuple]:
        language, home = language_of(), self.page.home
        voice = ckpt_files.chosen_file(self.page, values[self.voice.box])
        folder = home.output / SHARED
        folder.mkdir(parents=True, exist_ok=True)
        options = ExportOptions(
            voice=voice,
            index=INDEX_AUTO if values[self.with_index] else INDEX_NONE,
            author=values[self.author] or "",
            licence=values[self.licence] or "",
            output=folder / f"{voice.stem}.zip",
            weights=home.weights,
            logs=home.logs,
            overwrite=True,
        )
        for step in steps_of(options, language):
            if isinstance(step, str):
                yield step, gr.update(visible=False, value=None)
            elif step.failure:
                yield outcome(step, language), gr.skip()
            else:
                told = self._packed(step, values[self.with_index], language)
                yield outcome(step, language, told), gr.update(visible=True, value=step.summary["zip"])

    def _packed(self, work: Work, index_wanted: bool, language: str) -> str:
        """Where the zip is, how large, and whether an index is in it."""
        path = Path(work.summary["zip"])
        size = f"{path.stat().st_size / MIB:.1f}"
        told = note(say(language, "ckpt.exported", path=path, size=size), "good")
        if work.summary["index"]:
            return told + note(say(language, "ckpt.exported_index", index=work.summary["index"]))
        return told + (note(say(language, "ckpt.exported_no_index"), "warn") if index_wanted else "")

    def _import(self, values: dict[Any, Any]) -> Iterator[tuple]:
        language, home = language_of(), self.page.home
        files = tuple(Path(path) for path in values[self.files] or [])
        if not files:
            raise refusal("ckpt.error.no_upload")
        options = ImportOptions(
            files=files,
            name=(values[self.name] or "").strip(),
            weights=home.weights,
            logs=home.logs,
            overwrite=values[self.overwrite],
        )
        for step in steps_of(options, language):
            if isinstance(step, str):
                yield step, gr.skip(), gr.skip()
            elif step.failure:
                yield outcome(step, language), gr.skip(), gr.skip()
            else:
                yield outcome(step, language, _taken_in(step, language)), None, ""


def _taken_in(work: Work, language: str) -> str:
    told = written_note(work, language)
    if work.summary["index"]:
        told += note(say(language, "ckpt.imported_index", path=work.summary["index"]))
    return told + "".join(note(translated_words(text, language), "warn") for text in work.summary["remarks"])
