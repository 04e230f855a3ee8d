"""One weight file: what it is, what it says about itself, and its removal."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder

from infer.lib.errors import RvcError
from infer.stages.ckpt.options import DeleteOptions, SetInfoOptions, ShowOptions
from infer.web import ckpt_files, fields
from infer.web.ckpt_work import Work, outcome, steps_of, table, written_note
from infer.web.convert_texts import note
from infer.web.errors_i18n import refusal
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.voices import CHECKPOINT, VOICE

if TYPE_CHECKING:
    from infer.web.tabs.ckpt_extract import ExtractPanel

SLOW = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_id": "ckpt",
    "concurrency_limit": 2,
}
_HIDDEN = gr.update(visible=False)


class VoicePanel:
    """View, modify, delete."""

    def __init__(self, page: Page):
        self.page = page
        self.file = ckpt_files.FileField("ckpt.file", "ckpt-file", ckpt_files.file_choices(page))
        self.fields = [self.file]
        self.facts = gr.HTML(elem_id="ckpt-facts", elem_classes="rvc-told")
        self.to_extract = gr.Button(
            t("ckpt.to_extract"), variant="primary", visible=False, elem_id="ckpt-to-extract"
        )
        self.view = gr.Button(t("ckpt.view"), elem_id="ckpt-view")
        self.shown = gr.HTML(elem_id="ckpt-shown", elem_classes="rvc-told")
        with gr.Accordion(t("ckpt.modify_title"), open=False, elem_id="ckpt-modify-box"):
            self._build_modify()
        with gr.Accordion(t("ckpt.delete_title"), open=False, elem_id="ckpt-delete-box"):
            self._build_delete()

    def _build_modify(self) -> None:
        self.info = fields.text(
            SetInfoOptions, "info", "ckpt.modify_info", min_width=260, lines=2, value="", elem_id="ckpt-info"
        )
        with gr.Row():
            self.author = fields.text(
                SetInfoOptions, "author", "ckpt.author", min_width=260, elem_id="ckpt-author"
            )
            self.licence = fields.text(
                SetInfoOptions, "licence", "ckpt.licence", min_width=260, elem_id="ckpt-licence"
            )
        self.name = fields.text(SetInfoOptions, "name", "ckpt.save_as", min_width=260, elem_id="ckpt-save-as")
        self.modify = gr.Button(t("ckpt.modify"), variant="primary", elem_id="ckpt-modify")
        self.modified = gr.HTML(elem_id="ckpt-modified", elem_classes="rvc-told")

    def _build_delete(self) -> None:
        self.with_index = fields.checkbox(
            DeleteOptions, "index", "ckpt.delete_index", elem_id="ckpt-delete-index"
        )
        self.delete = gr.Button(t("ckpt.delete"), elem_id="ckpt-delete")
        with gr.Group(visible=False, elem_id="ckpt-confirm") as self.confirm:
            self.question = gr.HTML(padding=True)
            with gr.Row():
                self.yes = gr.Button(t("ckpt.delete_yes"), variant="stop", elem_id="ckpt-delete-yes")
                self.no = gr.Button(t("ckpt.delete_no"), elem_id="ckpt-delete-no")
        self.target = gr.State("")  # what the question was about: the choice may change meanwhile
        self.deleted = gr.HTML(elem_id="ckpt-deleted", elem_classes="rvc-told")

    def wire(self) -> None:
        box = self.file.box
        chosen = [self.facts, self.to_extract, self.info, self.author, self.licence]
        cleared = [self.shown, self.modified, self.confirm]
        box.change(guarded(self._chosen), box, [*chosen, *cleared], **QUIET)
        self.view.click(guarded(self._view), box, self.shown, **SLOW)
        inputs = {box, self.info, self.author, self.licence, self.name}
        self.modify.click(guarded(self._modify), inputs, self.modified, **SLOW)
        asking = [self.confirm, self.question, self.target, self.deleted]
        self.delete.click(guarded(self._ask), box, asking, **QUIET)
        self.no.click(lambda: _HIDDEN, outputs=self.confirm, **QUIET)
        self.yes.click(
            guarded(self._delete), [self.target, self.with_index], [self.confirm, self.deleted, box], **SLOW
        )

    def offer_extraction(self, tabs: gr.Tabs, extract: "ExtractPanel") -> None:
        """A training checkpoint leads to the panel that makes a voice of it."""

        def switch(text: str) -> tuple:
            path = str(ckpt_files.chosen_file(self.page, text))
            return gr.update(selected="extract"), extract.file.shown(path)

        self.to_extract.click(guarded(switch), self.file.box, [tabs, extract.file.box], **QUIET)

    # handlers -------------------------------------------------------------------------------

    def _chosen(self, text: str | None) -> tuple:
        """Facts from the header at once; the fields take what the voice says."""
        facts = ckpt_files.facts(self.page, text)
        try:
            header = ckpt_files.header_of(self.page, text) if text else None
        except (RvcError, OSError):
            header = None
        is_voice = header is not None and header.kind == VOICE
        told = (header.info, header.author, header.licence) if is_voice else ("", "", "")
        is_checkpoint = header is not None and header.kind == CHECKPOINT
        return (facts, gr.update(visible=is_checkpoint), *told, "", "", _HIDDEN)

    def _view(self, text: str | None) -> Iterator[str]:
        """Reads the whole file: all tensors are checked."""
        language = language_of()
        path = ckpt_files.chosen_file(self.page, text)
        for step in steps_of(ShowOptions((path,)), language):
            yield step if isinstance(step, str) else outcome(step, language, _files_table(step, language))

    def _modify(self, values: dict[Any, Any]) -> Iterator[str]:
        language = language_of()
        path = ckpt_files.chosen_file(self.page, values[self.file.box])
        name = self._new_name(path, (values[self.name] or "").strip())
        options = SetInfoOptions(
            voice=path,
            info=values[self.info] or "",
            author=values[self.author] or "",
            licence=values[self.licence] or "",
            name=name,
            weights=self.page.home.weights,
        )
        for step in steps_of(options, language):
            yield step if isinstance(step, str) else _done(step, language)

    def _new_name(self, path: Path, asked: str) -> str:
        """Empty: the file itself is changed. An upload is kept as a voice; the one that came along stays."""
        if asked not in ("", path.name, path.stem):
            return asked
        if path.is_relative_to(get_upload_folder()):
            return asked or path.stem
        if path.is_relative_to(self.page.home.assets / "starter"):
            raise refusal("ckpt.error.not_own", name=path.name)
        return ""

    def _ask(self, text: str | None) -> tuple:
        path = ckpt_files.chosen_file(self.page, text)
        names = [value for _, value in ckpt_files.own_choices(self.page)()]
        if path.name not in names or self.page.voices.path(path.name) != path:
            raise refusal("ckpt.error.not_own", name=path.name)
        question = note(say(language_of(), "ckpt.delete_question", name=path.name), "warn")
        return gr.update(visible=True), question, str(path), ""

    def _delete(self, target: str, with_index: bool) -> Iterator[tuple]:
        language, path = language_of(), Path(target)
        home = self.page.home
        options = DeleteOptions(path, index=with_index, weights=path.parent, logs=home.logs)
        for step in steps_of(options, language):
            if isinstance(step, str):
                yield _HIDDEN, step, gr.skip()
            else:
                told = note(say(language, "ckpt.deleted", name=path.name), "good")
                chosen = gr.skip() if step.failure else self.file.shown(None)
                yield _HIDDEN, outcome(step, language, told + _removed(step)), chosen


def _done(work: Work, language: str) -> str:
    return outcome(work, language, "" if work.failure else written_note(work, language))


def _files_table(work: Work, language: str) -> str:
    told = work.summary.get("files", {})
    return "".join(table(facts, language) for facts in told.values())


def _removed(work: Work) -> str:
    return "".join(note(path) for path in work.summary.get("removed", []))
