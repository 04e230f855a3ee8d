"""One recording: source, knobs, result with its pictures, and the comparison of results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from infer.web import comparison, convert_texts, fields, pictures, pitch_advice
from infer.web.ab_player import ABPlayer
from infer.web.engine_result import Result
from infer.web.errors_i18n import refusal
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.tabs.convert_controls import Controls
from infer.web.tabs.convert_voice import VoicePicker
from infer.web.wish import Wish, stoppable, stopped_text

LOADED = 0.1  # share of the bar that loading takes
PREVIEW_S, PREVIEW_RATES = 8.0, (0.0, 0.5, 1.0)
CONVERT_QUEUE = {"concurrency_id": "convert", "concurrency_limit": 1, "api_visibility": "private"}


class SingleTab:
    """Conversion of one recording."""

    def __init__(self, page: Page, picker: VoicePicker):
        self.page, self.picker = page, picker
        self.controls, self.player = Controls(), ABPlayer("rvc-ab")

    def build(self) -> None:
        with gr.Row(equal_height=False, elem_classes="rvc-halves"):
            with gr.Column(scale=1, min_width=320, elem_classes="rvc-left"):
                self._build_source()
                self._build_key()
                with gr.Column(elem_classes="rvc-settings"):
                    self.controls.build_main()
                    self.preview = gr.Button(t("convert.preview"), size="sm", elem_id="rvc-preview")
                    with gr.Accordion(t("convert.more"), open=False):
                        self.controls.build_more()
            with gr.Column(scale=1, min_width=320):
                self._build_result()
        self.picker.follow(self.controls.index_list)

    def _build_source(self) -> None:
        self.audio = gr.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            buttons=[],
            elem_id="rvc-source",
            **fields.labelled("convert.audio"),
        )
        with gr.Row(equal_height=False, elem_classes="rvc-beside"):
            self.path = gr.Textbox(
                scale=4, min_width=200, elem_id="rvc-source-path", **fields.labelled("convert.audio_path")
            )
            self.any_file = gr.UploadButton(
                t("convert.any_file"), size="sm", scale=1, min_width=120, elem_id="rvc-any-file"
            )

    def _build_key(self) -> None:
        with gr.Row(equal_height=False, elem_classes="rvc-beside"):
            self.controls.build_key()
            self.suggest = gr.Button(
                t("convert.suggest_key"), size="sm", scale=1, min_width=120, elem_id="rvc-suggest"
            )
        self.advice = gr.HTML(elem_id="rvc-advice")
        with gr.Row(visible=False) as self.targets:
            self.low = gr.Button(t("convert.low_voice"), size="sm", min_width=100, elem_id="rvc-low")
            self.high = gr.Button(t("convert.high_voice"), size="sm", min_width=100, elem_id="rvc-high")
        self.source_hz = gr.State(0.0)

    def _build_result(self) -> None:
        self.controls.build_format()
        with gr.Row():
            self.convert = gr.Button(t("convert.convert"), variant="primary", scale=3, elem_id="rvc-convert")
            self.stop = gr.Button(
                t("convert.stop"), variant="stop", scale=1, min_width=90, elem_id="rvc-stop"
            )
        self.info = gr.HTML(elem_id="rvc-info", min_height=48)
        self.output = gr.Audio(
            interactive=False,
            type="filepath",
            visible=False,
            buttons=[],
            elem_id="rvc-output",
            **fields.labelled("convert.output"),
        )
        with gr.Row():
            self.download = gr.DownloadButton(
                t("convert.download"), visible=False, size="sm", min_width=100, elem_id="rvc-download"
            )
            self.pin = gr.Button(t("convert.pin"), visible=False, size="sm", min_width=100, elem_id="rvc-pin")
            self.unpin = gr.Button(
                t("convert.unpin"), visible=False, size="sm", min_width=100, elem_id="rvc-unpin"
            )
        self.player.build()
        with gr.Column(visible=False) as self.views:
            self.pitch = gr.HTML(elem_id="rvc-pitch")
            self.mel_source = _mel_image("convert.mel_source")
            self.mel_output = _mel_image("convert.mel_output")
        self.result, self.pins, self.wish = gr.State(None), gr.State([]), gr.State(Wish())

    def wire(self) -> None:
        inputs = {
            self.audio,
            self.path,
            self.picker.voice,
            self.picker.speaker,
            self.wish,
            *self.controls.components,
        }
        shown = {"show_progress": "full", "show_progress_on": [self.info]}
        outputs = [self.info, self.output, self.download, self.pin, self.result]
        # Without the old text, or the bar would lie over it.
        asked, previewed = (
            button.click(guarded(self._asked), [self.wish], [self.info], **QUIET)
            for button in (self.convert, self.preview)
        )
        convert = guarded(stoppable(self._convert, len(outputs)))
        run = asked.then(convert, inputs, outputs, **CONVERT_QUEUE, **shown)
        run.success(
            guarded(self._draw),
            [self.result],
            [self.views, self.pitch, self.mel_source, self.mel_output],
            api_visibility="private",
            show_progress="hidden",
        )
        outputs = [self.info, self.player.component, self.pins, self.unpin]
        preview = guarded(stoppable(self._preview, len(outputs)))
        tried = previewed.then(preview, inputs, outputs, **CONVERT_QUEUE, **shown)
        self.stop.click(guarded(self._stop), [self.wish], [self.info], cancels=[run, tried], **QUIET)
        self._wire_source()
        self._wire_pins()

    def _wire_source(self) -> None:
        self.any_file.upload(lambda path: path, self.any_file, self.path, **QUIET)
        for event in (self.audio.input, self.any_file.upload, self.path.input):
            event(self.picker._warm, **QUIET)
        key = self.controls.by_field["f0_up_key"]
        outputs = [key, self.advice, self.targets, self.source_hz]
        self.suggest.click(
            guarded(self._suggest),
            {self.audio, self.path, self.picker.voice, self.picker.speaker},
            outputs,
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=[self.advice],
        )
        for button, hz in ((self.low, pitch_advice.LOW_HZ), (self.high, pitch_advice.HIGH_HZ)):
            button.click(guarded(_key_for(hz)), [self.source_hz], outputs[:3], **QUIET)

    def _wire_pins(self) -> None:
        outputs = [self.pins, self.player.component, self.unpin]
        self.pin.click(guarded(self._pin), [self.pins, self.result], outputs, **QUIET)
        self.unpin.click(guarded(self._unpin), None, outputs, **QUIET)

    # handlers -------------------------------------------------------------------------------

    def source(self, values: dict) -> Path:
        """The path that was typed, else the recording. Raises RvcError without either."""
        typed = (values[self.path] or "").strip(" \t\r\n\"'")
        if typed:
            return Path(typed).expanduser()
        if not values[self.audio]:
            raise refusal("convert.error.no_recording")
        return Path(values[self.audio])

    def _asked(self, wish: Wish) -> str:
        wish.asked()
        return ""

    def _convert(self, values: dict, progress=gr.Progress()) -> tuple:  # noqa: B008 - Gradio's way to ask for it
        language = language_of()
        cancelled = values[self.wish].watch()
        options = self.controls.options(values, values[self.picker.speaker])
        progress(0, desc=say(language, "convert.loading"))
        result = self.page.engine.convert(
            self.source(values),
            self.picker.path(values[self.picker.voice]),
            options,
            index=self.controls.index(values),
            progress=told(progress, language),
            cancelled=cancelled,
        )
        path = str(result.path)
        visible = gr.update(visible=True)
        facts = convert_texts.result_facts(result, language)
        return (
            facts,
            gr.update(value=path, visible=True),
            gr.update(value=path, visible=True),
            visible,
            result,
        )

    def _draw(self, result: Result | None) -> tuple:
        """Pitch and spectrograms, after the sound is already there."""
        if result is None:  # the first run was stopped
            return (gr.skip(),) * 4
        language = language_of()
        curves = [("source", result.source_f0), ("output", result.f0)]
        named = [(say(language, f"convert.pitch_{name}"), hz) for name, hz in curves if hz is not None]
        plot = pictures.pitch_plot(named, say(language, "convert.no_pitch"))
        folder = result.path.parent
        source = pictures.mel_picture(result.source, folder / "source.png")
        output = pictures.mel_picture(result.path, folder / "output.png")
        return gr.update(visible=True), plot, str(source), str(output)

    def _preview(self, values: dict, progress=gr.Progress()) -> tuple:  # noqa: B008
        """The first seconds with no, half and full index, side by side."""
        language = language_of()
        cancelled = values[self.wish].watch()
        voice = self.picker.path(values[self.picker.voice])
        options = self.controls.options(values, values[self.picker.speaker])
        index, _ = self.page.engine.index_choice(
            voice, self.controls.index(values), replace(options, index_rate=1)
        )
        if index is None:
            raise refusal("convert.error.no_index", voice=voice.name)
        piece = self.page.engine.excerpt(self.source(values), PREVIEW_S)
        recordings = []
        for number, rate in enumerate(PREVIEW_RATES):
            progress(number / len(PREVIEW_RATES), desc=say(language, "convert.previewing", rate=rate))
            one = replace(options, index_rate=rate, format="wav")
            result = self.page.engine.convert(piece, voice, one, index=index, cancelled=cancelled)
            recordings.append((say(language, "convert.differs.index_rate", value=rate), result.path))
        text = convert_texts.note(say(language, "convert.preview_done", seconds=f"{PREVIEW_S:g}"))
        return text, self.player.value(recordings), [], gr.update(visible=True)

    def _stop(self, wish: Wish) -> str:
        wish.stops += 1
        return stopped_text()

    def _suggest(self, values: dict) -> tuple:
        """The key for this recording and this voice, and why."""
        name = values[self.picker.voice]
        path = self.picker.path(name)
        header, speaker = self.page.voices.header(name), int(values.get(self.picker.speaker) or 0)
        advice = self.page.engine.suggest_key(self.source(values), header, path, speaker)
        key = gr.skip() if advice.semitones is None else advice.semitones
        text = convert_texts.suggestion_text(advice, language_of())
        return key, text, gr.update(visible=advice.voice_hz is None), advice.source_hz

    def _pin(self, pins: list, result: Result | None) -> tuple:
        if result is None:
            raise refusal("convert.error.no_result")
        new = comparison.pin_of(result)
        kept = comparison.pinned(pins, new)
        if len(kept) <= len(pins) and kept[0] not in pins:
            gr.Info(say(language_of(), "convert.new_source"))
        names = comparison.labels(kept, language_of())
        shown = self.player.value([(name, pin.path) for name, pin in zip(names, kept, strict=True)])
        return kept, shown, gr.update(visible=True)

    def _unpin(self) -> tuple:
        return [], self.player.value([]), gr.update(visible=False)


def told(progress: Any, language: str, name: str = "") -> Any:
    """A call for the engine that fills the bar piece by piece; `name` is the recording's, where many are."""

    def named(text: str) -> str:
        return f"{name}: {text}" if name else text

    def call(done: int, total: int) -> None:
        if not total:
            progress(LOADED, desc=named(say(language, "convert.converting")))
            return
        text = named(say(language, "convert.piece", done=done, total=total))
        progress(LOADED + (1 - LOADED) * done / total, desc=text)

    return call


def _key_for(voice_hz: float) -> Any:
    def choose(source_hz: float) -> tuple:
        advice = pitch_advice.suggest(source_hz, voice_hz)
        text = convert_texts.suggestion_text(advice, language_of())
        return advice.semitones, text, gr.update(visible=True)

    return choose


def _mel_image(key: str) -> gr.Image:
    return gr.Image(
        interactive=False,
        buttons=[],
        height=190,
        elem_classes="rvc-mel",
        type="filepath",
        **fields.labelled(key),
    )
