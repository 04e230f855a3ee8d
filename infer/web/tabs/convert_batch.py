"""Many recordings: a folder or uploads in, a folder of results out, with what failed and why."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from infer.lib.files import REPO
from infer.web import batch, convert_texts, fields
from infer.web.ab_player import file_data
from infer.web.engine import served_folder
from infer.web.engine_result import Stopped
from infer.web.handlers import guarded, reason
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.tabs.convert_controls import Controls
from infer.web.tabs.convert_single import told
from infer.web.tabs.convert_voice import VoicePicker
from infer.web.wish import Wish

if TYPE_CHECKING:
    from infer.vc.batch import FileTask

PLAYERS = 10
QUEUE = {"concurrency_id": "batch", "concurrency_limit": 1, "api_visibility": "private"}


class BatchTab:
    """Conversion of many recordings."""

    def __init__(self, page: Page, picker: VoicePicker):
        self.page, self.picker = page, picker
        self.controls = Controls(batch=True)

    def build(self) -> None:
        with gr.Row(equal_height=False, elem_classes="rvc-halves"):
            with gr.Column(scale=1, min_width=320, elem_classes="rvc-left"):
                self.folder = gr.Textbox(elem_id="rvc-batch-folder", **fields.labelled("convert.folder"))
                self.files = gr.File(
                    file_count="multiple",
                    height=160,
                    elem_id="rvc-batch-files",
                    **fields.labelled("convert.files"),
                )
                self.controls.build_key()
                with gr.Column(elem_classes="rvc-settings"):
                    self.controls.build_main()
                    with gr.Accordion(t("convert.more"), open=False):
                        self.controls.build_more()
            with gr.Column(scale=1, min_width=320):
                self._build_result()
        self.picker.follow(self.controls.index_list)

    def _build_result(self) -> None:
        self.output = gr.Textbox(
            batch.DEFAULT_OUTPUT, elem_id="rvc-batch-output", **fields.labelled("convert.output_folder")
        )
        self.controls.build_format()
        with gr.Row():
            self.convert = gr.Button(
                t("convert.convert"), variant="primary", scale=3, elem_id="rvc-batch-convert"
            )
            self.stop = gr.Button(
                t("convert.stop"), variant="stop", scale=1, min_width=90, elem_id="rvc-batch-stop"
            )
        self.info = gr.HTML(elem_id="rvc-batch-info", min_height=48)
        self.failures = gr.HTML(elem_id="rvc-batch-failures")
        self.players = gr.HTML(
            html_template='<div class="rvc-players"></div>',
            js_on_load=_script(),
            visible=False,
            elem_id="rvc-batch-players",
        )
        self.zip = gr.DownloadButton(t("convert.zip"), visible=False, size="sm", elem_id="rvc-batch-zip")
        self.results = gr.Files(
            interactive=False,
            visible=False,
            height=240,
            elem_id="rvc-batch-results",
            **fields.labelled("convert.results"),
        )
        self.written, self.wish = gr.State([]), gr.State(Wish())

    def wire(self) -> None:
        inputs = {
            self.folder,
            self.files,
            self.output,
            self.picker.voice,
            self.picker.speaker,
            self.wish,
            *self.controls.components,
        }
        outputs = [self.info, self.failures, self.players, self.results, self.written, self.zip]
        asked = self.convert.click(guarded(self._asked), [self.wish], [self.info, self.failures], **QUIET)
        run = asked.then(
            guarded(self._convert),
            inputs,
            outputs,
            show_progress="full",
            show_progress_on=[self.info],
            **QUEUE,
        )
        run.success(
            guarded(self._zip),
            [self.written, self.output, self.picker.voice],
            [self.zip],
            api_visibility="private",
            show_progress="hidden",
        )
        self.stop.click(guarded(self._stop), [self.wish], None, **QUIET)
        for event in (self.files.upload, self.folder.input):
            event(self.picker._warm, **QUIET)

    def _asked(self, wish: Wish) -> tuple:
        wish.asked()
        return "", ""

    def _convert(self, values: dict, progress=gr.Progress()) -> Iterator[tuple]:  # noqa: B008
        """Yields after each file: counts, failures, players."""
        language, cancelled = language_of(), values[self.wish].watch()
        options = self.controls.options(values, values[self.picker.speaker])
        output = batch.output_folder(values[self.output], self.page.home.output)
        tasks = batch.BatchRequest(
            values[self.folder] or "", values[self.files] or [], output, options.format
        ).tasks()
        voice, index = self.picker.path(values[self.picker.voice]), self.controls.index(values)
        progress(0, desc=say(language, "convert.loading"))
        self.page.engine.prepare(voice, options, index)

        def convert(task: "FileTask") -> Path:
            hook = told(progress, language, task.name)
            return self.page.engine.convert(
                task.source,
                voice,
                options,
                index=index,
                progress=hook,
                cancelled=cancelled,
                target=task.target,
            ).path

        shown, state = _Shown(), batch.BatchState(len(tasks))
        try:
            for state in batch.converted(tasks, convert):
                yield shown.update(state, language)
        except Stopped:
            yield shown.stopped(state, language)

    def _stop(self, wish: Wish) -> None:
        wish.stops += 1

    def _zip(self, written: list[Path], output: str, voice: str) -> Any:
        if len(written) < 2:
            return gr.skip()
        folder = batch.output_folder(output, self.page.home.output)
        target = served_folder() / secrets.token_hex(8) / batch.zip_name(Path(voice))
        return gr.update(value=str(batch.zipped(written, folder, target)), visible=True)


class _Shown:
    """What the page shows of a running batch; each result is handed to the page once."""

    def __init__(self):
        self._served: dict[Path, Path] = {}

    def update(self, state: batch.BatchState, language: str) -> tuple:
        """Values for info, failures, players, results, written, zip."""
        for path in state.written:
            if path not in self._served:
                self._served[path] = batch.served(path, served_folder())
        text = convert_texts.batch_state(len(state.written), len(state.failed), state.total, language)
        if state.current:
            text += convert_texts.note(say(language, "convert.batch_now", name=state.current))
        return (text, *self._rest(state, language))

    def stopped(self, state: batch.BatchState, language: str) -> tuple:
        text = convert_texts.batch_state(len(state.written), len(state.failed), state.total, language)
        return (text + convert_texts.note(say(language, "convert.stopped")), *self._rest(state, language))

    def _rest(self, state: batch.BatchState, language: str) -> tuple:
        files = list(self._served.values())
        failures = [(name, reason(error, language)) for name, error in state.failed]
        finished = state.done == state.total
        items = [{"label": path.name, "file": file_data(path)} for path in files[:PLAYERS]]
        return (
            convert_texts.bullet_list(failures) if failures else "",
            gr.update(value={"items": items}, visible=bool(items)),
            gr.update(value=[str(path) for path in files], visible=finished and bool(files)),
            list(state.written),
            gr.update(visible=False),
        )


def _script() -> str:
    return (REPO / "assets" / "web" / "components" / "players.js").read_text(encoding="utf-8")
