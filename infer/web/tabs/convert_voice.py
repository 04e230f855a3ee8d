"""The voice of the Convert tab: which one, what it is, who speaks, and which index belongs to it."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from infer.lib.checkpoint_layout import first_named
from infer.lib.encoder_choice import which_for
from infer.vc.options import ConvertOptions
from infer.web import convert_texts, fields
from infer.web.downloads import BetterModels
from infer.web.errors_i18n import refusal
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.voices import CHECKPOINT

AUTO_INDEX = "auto"
INDEX = ".index"
SUFFIXES = [".pth", ".safetensors", INDEX, ".zip"]


class VoicePicker:
    """Dropdown, buttons and facts. `index` is a dropdown that follows the voice; others may follow too."""

    def __init__(self, page: Page):
        self.page = page
        self._index_lists: list[gr.Dropdown] = []

    def build(self) -> None:
        with gr.Row(equal_height=False, elem_classes="rvc-voice-row"):
            self.voice = gr.Dropdown(
                [],
                value=None,
                scale=4,
                min_width=260,
                elem_id="rvc-voice",
                **fields.labelled("convert.voice"),
            )
            with gr.Column(scale=2, min_width=240):
                self.refresh = gr.Button(t("convert.refresh"), size="sm", elem_id="rvc-refresh")
                self.unload = gr.Button(t("convert.unload"), size="sm", elem_id="rvc-unload")
                self.add = gr.UploadButton(
                    t("convert.add_voice"),
                    size="sm",
                    file_types=SUFFIXES,
                    file_count="multiple",
                    elem_id="rvc-add-voice",
                )
        self.facts = gr.HTML(elem_id="rvc-voice-facts")
        self.better = BetterModels(self.page, "rvc-better")
        self.better.build()
        self.extract = gr.Button(
            t("convert.extract_now"), variant="primary", visible=False, elem_id="rvc-extract"
        )
        self.checkpoint = gr.State("")  # the training checkpoint that could be extracted
        with gr.Row():
            self.speaker_name = gr.Dropdown(
                [], visible=False, elem_id="rvc-speaker-name", **fields.labelled("convert.speaker_name")
            )
            self.speaker = fields.slider(
                ConvertOptions,
                "speaker_id",
                "convert.speaker",
                minimum=0,
                maximum=2333,
                step=1,
                visible=False,
                elem_id="rvc-speaker",
            )
        with gr.Accordion(t("convert.not_usable"), open=False, visible=False) as self.problems_box:
            self.problems = gr.HTML()

    def follow(self, index_list: gr.Dropdown) -> None:
        """`index_list` shows the indexes there are, and takes the voice's own when it changes."""
        self._index_lists.append(index_list)

    def wire(self) -> None:
        """After all followers are known."""
        shown = [self.voice, self.problems_box, self.problems, *self._index_lists]
        chosen = [
            self.facts,
            self.extract,
            self.checkpoint,
            self.speaker,
            self.speaker_name,
            *self._index_lists,
        ]
        for event in (Context.root_block.load, self.refresh.click, self.page.voices_seen.change):
            event(guarded(self._list), [self.voice], shown, **QUIET)
        self.refresh.click(guarded(self._chosen), [self.voice], chosen, **QUIET)
        self.voice.change(guarded(self._chosen), [self.voice], chosen, **QUIET)
        for event in (self.voice.change, self.page.jobs_seen.change):
            event(guarded(self._better), [self.voice], self.better.outputs, **QUIET)
        self.better.wire()
        self.voice.input(self._warm, **QUIET)
        self.speaker_name.input(lambda number: number, self.speaker_name, self.speaker, **QUIET)
        self.unload.click(guarded(self._unload), api_visibility="private", show_progress="hidden")
        slow = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": self.facts}
        self.extract.click(
            guarded(self._extract), [self.checkpoint], [self.voice, self.facts, self.extract], **slow
        )
        self.add.upload(
            guarded(self._add), [self.add], [self.voice, self.facts, self.extract, self.checkpoint], **slow
        )

    def path(self, name: str | None) -> Path:
        """The chosen voice. Raises RvcError."""
        path = self.page.voices.path(name or "")
        if self.page.voices.header(name).kind == CHECKPOINT:
            raise refusal("convert.error.checkpoint", name=name)
        return path

    # handlers -------------------------------------------------------------------------------

    def _list(self, current: str | None) -> tuple:
        """What there is to choose; the choice stays while its file does."""
        names = self._choices()
        errors = {name: e for name, e in self.page.voices.errors().items() if name not in names}
        value = current if current in names else (names[0] if names else None)
        indexes = [gr.update(choices=self._index_choices()) for _ in self._index_lists]
        return (
            gr.update(choices=names, value=value),
            gr.update(visible=bool(errors)),
            convert_texts.problem_list(errors, language_of()),
            *indexes,
        )

    def _chosen(self, name: str | None) -> tuple:
        """Facts, speakers and index of the voice: from its header, at once."""
        language = language_of()
        if not name:
            hidden = gr.update(visible=False)
            empty = convert_texts.note(say(language, "convert.no_voices"))
            return (empty, hidden, "", hidden, hidden, *[gr.skip()] * len(self._index_lists))
        header = self.page.voices.header(name)
        if header.kind == CHECKPOINT:
            return self._checkpoint_chosen(name, language)
        choice = self.page.voices.index_for(name)
        facts = convert_texts.voice_facts(header, language) + convert_texts.index_facts(
            choice, name, language
        )
        value = str(choice.path) if choice.path else AUTO_INDEX
        indexes = [gr.update(choices=self._index_choices(), value=value) for _ in self._index_lists]
        return (facts, gr.update(visible=False), "", *_speakers(header), *indexes)

    def _better(self, name: str | None) -> list:
        """RVC's models are offered where a voice is heard through the starter's."""
        entry = self.page.voices.entries().get(name or "")
        encoder = entry.header.encoder if entry and entry.header else None
        return self.better.shown(entry is not None and which_for(encoder) == "starter")

    def _checkpoint_chosen(self, name: str, language: str) -> tuple:
        text = convert_texts.note(say(language, "convert.is_checkpoint", name=name), "bad")
        hidden = gr.update(visible=False)
        path = str(self.page.voices.path(name))
        return (text, gr.update(visible=True), path, hidden, hidden, *[gr.skip()] * len(self._index_lists))

    def _warm(self) -> None:
        self.page.engine.warm()

    def _unload(self) -> None:
        self.page.engine.unload()
        gr.Info(say(language_of(), "convert.unloaded"))

    def _extract(self, checkpoint: str) -> tuple:
        """Writes the voice of a training checkpoint and chooses it."""
        from infer.stages.ckpt.options import ExtractOptions
        from infer.stages.ckpt.run import run

        if not checkpoint:
            raise refusal("convert.error.no_checkpoint")
        weights, path = self.page.home.weights, Path(checkpoint)
        summary = run(ExtractOptions(path, _free_name(path, weights), weights), lambda event: None)
        return self._now_chosen(Path(summary["voice"]).name)

    def _add(self, files: list[str]) -> tuple:
        """Imports what was dropped; a training checkpoint is offered for extraction instead."""
        from infer.lib.voice_header import read_header

        language = language_of()
        paths = [Path(path) for path in files]
        for path in paths:
            if path.suffix == ".pth" and read_header(path).kind == CHECKPOINT:
                text = convert_texts.note(say(language, "convert.is_checkpoint", name=path.name), "bad")
                return gr.skip(), text, gr.update(visible=True), str(path)
        return *self._now_chosen(_import(paths, self.page)), ""

    def _now_chosen(self, name: str) -> tuple:
        text = convert_texts.note(say(language_of(), "convert.voice_added", name=name), "good")
        return gr.update(choices=self._choices(), value=name), text, gr.update(visible=False)

    def _choices(self) -> list[str]:
        return [*self.page.voices.names(), *self.page.voices.checkpoints()]

    def _index_choices(self) -> list[tuple[str, str]]:
        """By name where names differ, else by path."""
        paths = self.page.voices.indexes()
        names = [path.name for path in paths]
        shown = [path.name if names.count(path.name) == 1 else str(path) for path in paths]
        return [(AUTO_INDEX, AUTO_INDEX), *zip(shown, map(str, paths), strict=True)]


def _free_name(checkpoint: Path, weights: Path) -> str:
    """`<checkpoint>_e<epoch>`, numbered when there is such a voice already."""
    from infer.lib.voice_header import read_header

    name = f"{checkpoint.stem}_e{read_header(checkpoint).epoch or 0}"
    tries = (name, *(f"{name} {number}" for number in range(2, 1000)))
    return next(found for found in tries if not (weights / f"{found}.pth").exists())


def _speakers(header: Any) -> tuple:
    """A number as in RVC; names instead where the voice has them; nothing for a single speaker."""
    names = list(header.speaker_names or [])
    several = header.n_speakers > 1
    first = first_named(names)
    slider = gr.update(maximum=max(header.n_speakers - 1, 1), value=first, visible=several and len(names) < 2)
    choices = [(name, number) for number, name in enumerate(names) if name]
    dropdown = gr.update(choices=choices, value=first if choices else None, visible=len(choices) > 1)
    return slider, dropdown


def _import(paths: list[Path], page: Page) -> str:
    """Imports voices (zips, or weight files with an index); the file name of the last one."""
    from infer.stages.ckpt.options import ImportOptions
    from infer.stages.ckpt.run import run

    voices = [path for path in paths if path.suffix.lower() != INDEX] or paths
    indexes = [path for path in paths if path not in voices]
    name = ""
    for voice in voices:
        # With several voices nobody can say whose an index is: each brings its own in a zip.
        files = (voice, *indexes) if len(voices) == 1 else (voice,)
        options = ImportOptions(files, weights=page.home.weights, logs=page.home.logs)
        name = Path(run(options, lambda event: None)["voice"]).name
    return name
