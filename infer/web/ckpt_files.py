"""Choosing weight files on the ckpt tab: names of voices, checkpoints of experiments, or any path."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from infer.jobs.experiment import Experiment
from infer.lib.errors import RvcError
from infer.lib.files import natural_key
from infer.web import convert_texts
from infer.web.ckpt_work import error_note
from infer.web.errors_i18n import refusal, translated_words
from infer.web.fields import labelled
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.voices import CHECKPOINT, VOICE

if TYPE_CHECKING:
    from infer.lib.voice_header import FileHeader

MOST_CHECKPOINTS = 20  # of one experiment
Choices = Callable[[], list[tuple[str, str]]]


class FileField:
    """A dropdown that also takes a path, and a button that uploads a file into it."""

    def __init__(self, key: str, elem_id: str, choices: Choices):
        self.choices = choices
        with gr.Row(elem_classes="rvc-beside"):
            self.box = gr.Dropdown(
                [],
                value=None,
                allow_custom_value=True,
                scale=4,
                min_width=220,
                elem_id=elem_id,
                **labelled(key),
            )
            self.upload = gr.UploadButton(
                t("ckpt.upload"), file_types=[".pth"], scale=1, min_width=110, elem_id=f"{elem_id}-upload"
            )

    def wire(self) -> None:
        """Uploading is choosing."""
        self.upload.upload(
            guarded(self._uploaded), self.upload, self.box, api_visibility="private", show_progress="minimal"
        )

    def shown(self, current: str | None) -> Any:
        """The list as it is now; what is chosen stays."""
        choices = self.choices()
        values = [value for _, value in choices]
        if current and current not in values:
            choices = [*choices, (Path(current).name, current)]
        return gr.update(choices=choices, value=current or None)

    def _uploaded(self, path: str) -> Any:
        return self.shown(str(path))


def voice_choices(page: Page) -> Choices:
    """The usable voices, by file name."""
    return lambda: [(name, name) for name in page.voices.names()]


def file_choices(page: Page) -> Choices:
    """Everything in the voice folders, with what cannot be used: its reason can be seen."""
    return lambda: [(name, name) for name in page.voices.entries()]


def own_choices(page: Page) -> Choices:
    """What may be changed or removed: files of the voice folders, not the voice that came along."""
    folders = {folder.resolve() for folder in page.home.voice_folders}

    def choices() -> list[tuple[str, str]]:
        entries = page.voices.entries().items()
        return [(name, name) for name, entry in entries if entry.path.parent.resolve() in folders]

    return choices


def checkpoint_choices(page: Page) -> Choices:
    """Generator checkpoints of every experiment, newest first, and those that lie among the voices."""

    def choices() -> list[tuple[str, str]]:
        found = []
        for folder in sorted(_folders(page.home.logs), key=lambda path: natural_key(path.name)):
            files = Experiment(folder).generator_files()[:MOST_CHECKPOINTS]
            found += [(f"{folder.name} / {path.name}", str(path)) for path in files]
        return found + [(name, str(page.voices.path(name))) for name in page.voices.checkpoints()]

    return choices


def chosen_file(page: Page, text: str | None) -> Path:
    """The file that the text of a field means. Raises RvcError for none."""
    text = (text or "").strip(" \t\r\n\"'")
    if not text:
        raise refusal("ckpt.error.no_file")
    if text in page.voices.entries():
        return page.voices.path(text)
    return Path(text).expanduser()


def header_of(page: Page, text: str | None) -> "FileHeader":
    """What the file says about itself; milliseconds. Raises RvcError."""
    from infer.lib.voice_header import read_header

    return read_header(chosen_file(page, text))


def facts(page: Page, text: str | None) -> str:
    """What is chosen, in a line, as HTML; why it is no weight file, if it is none."""
    language = language_of()
    if not text:
        return ""
    try:
        header = header_of(page, text)
    except (RvcError, OSError) as error:
        return error_note(error, language)
    return header_facts(header, language)


def header_facts(header: "FileHeader", language: str) -> str:
    """Voices as on the Convert tab; checkpoints with their epoch; other files by their kind."""
    from infer.lib.checkpoint_kinds import KIND_WORDS

    if header.kind == VOICE:
        return convert_texts.voice_facts(header, language)
    html = convert_texts.note(translated_words(KIND_WORDS[header.kind], language), "warn")
    if header.kind != CHECKPOINT or header.version is None:
        return html
    chips = convert_texts.voice_facts(header, language)
    if header.epoch is not None:
        html = convert_texts.note(say(language, "ckpt.checkpoint_epoch", epoch=header.epoch), "warn")
    return html + chips


def refresh_all(page: Page, fields: Iterable[FileField], root: gr.Blocks) -> None:
    """Every field shows what there is: when the page opens, and when voices or jobs come and go."""
    fields = list(fields)
    boxes = [field.box for field in fields]

    def update(*current: str | None) -> list:
        return [field.shown(value) for field, value in zip(fields, current, strict=True)]

    for event in (root.load, page.voices_seen.change, page.jobs_seen.change):
        event(guarded(update), boxes, boxes, **QUIET)


def _folders(logs: Path) -> list[Path]:
    if not logs.is_dir():
        return []
    return [path for path in logs.iterdir() if path.is_dir() and not path.name.startswith(".")]
