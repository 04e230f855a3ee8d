"""ckpt_*: work on weight files for programs, through the commands of the ckpt stage."""

from pathlib import Path
from typing import Any

from infer.jobs.command import Command
from infer.jobs.events import Event, ItemFailed, sentence
from infer.jobs.runner import Runner, StageFailed, Step
from infer.lib.errors import BadInput
from infer.stages.ckpt.options import (
    AUTO,
    ExtractOptions,
    MergeOptions,
    SetInfoOptions,
    ShowOptions,
)
from infer.web.api import requests
from infer.web.api.endpoint import add_endpoint, truth
from infer.web.page import Page

STAGE = "ckpt"


def add(page: Page) -> None:
    """Adds the endpoints to the Blocks being built."""
    calls = Calls(page)
    add_endpoint(requests.Merge, calls.merge, str, "ckpt_merge")
    add_endpoint(requests.Modify, calls.modify, str, "ckpt_modify")
    add_endpoint(requests.Show, calls.show, str, "ckpt_show")
    add_endpoint(requests.ExtractVoice, calls.extract, str, "ckpt_extract")


class Calls:
    """The handlers. A file is a path, or the name of a voice."""

    def __init__(self, page: Page):
        self._page = page

    def merge(self, call: requests.Merge) -> str:
        """Rate, pitch guidance and version are read from the files, whatever is sent."""
        voices = (self._file(call.first), self._file(call.second))
        options = MergeOptions(
            voices=voices,
            name=call.name,
            weight=(call.weight,),
            weights=self._page.home.weights,
            info=call.info,
        )
        return run_stage(options)

    def modify(self, call: requests.Modify) -> str:
        voice = self._file(call.voice)
        name = "" if call.name in ("", voice.name, voice.stem) else Path(call.name).stem
        options = SetInfoOptions(voice=voice, info=call.info, name=name, weights=self._page.home.weights)
        return run_stage(options)

    def show(self, call: requests.Show) -> str:
        return run_stage(ShowOptions(files=(self._file(call.file),)))

    def extract(self, call: requests.ExtractVoice) -> str:
        options = ExtractOptions(
            checkpoint=self._file(call.checkpoint),
            name=call.name,
            weights=self._page.home.weights,
            sample_rate=call.sample_rate or AUTO,
            version=call.version or AUTO,
            use_f0=_pitch_word(call.use_f0),
            info=call.info,
        )
        return run_stage(options)

    def _file(self, text: str) -> Path:
        text = text.strip(" \t\r\n\"'")
        if not text:
            raise BadInput("no file was named", "send a path, or the name of a voice")
        if text in self._page.voices.names():
            return self._page.voices.path(text)
        return Path(text).expanduser()


def run_stage(options: Any) -> str:
    """Runs an action of the stage as a command; returns what it said. Raises an RvcError with its reason."""
    said: list[Event] = []
    try:
        Runner(said.append).run_step(Step(STAGE, [Command("infer.stages.ckpt", options)]))
    except StageFailed as failure:
        reasons = [event.reason for event in said if isinstance(event, ItemFailed)]
        raise (BadInput("; ".join(reasons)) if reasons else failure) from failure
    return "\n".join(sentence(event) for event in said)


def _pitch_word(text: str) -> str:
    """RVC sends "1" or "0"."""
    if text in ("", AUTO):
        return AUTO
    return "yes" if truth("use_f0", text) else "no"
