"""infer_*: conversion for programs. A call names its voice, or uses the one its client chose before."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from gradio import FileData
from gradio.context import LocalContext
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from infer.lib.errors import BadInput, RvcError
from infer.lib.index_choice import typed_index_path
from infer.lib.starter_files import VOICE_NAME
from infer.vc.options import ConvertOptions
from infer.web.api import requests
from infer.web.api.endpoint import add_endpoint
from infer.web.engine import AUTO, Result
from infer.web.page import Page

MOST_SESSIONS = 1000
RVC_METHODS = {"rmvpe_gpu": "rmvpe"}
ONE_AT_A_TIME = {"concurrency_id": "convert", "concurrency_limit": 1}
AT_ONCE = {"queue": False}


def add(page: Page) -> None:
    """Adds the endpoints to the Blocks being built."""
    calls = Calls(page)
    add_endpoint(requests.Nothing, calls.refresh, tuple[list, list], "infer_refresh", **AT_ONCE)
    add_endpoint(requests.Nothing, calls.clean, str, "infer_clean", **AT_ONCE)
    chosen = tuple[int, float, float, str, str]
    add_endpoint(requests.ChangeVoice, calls.change_voice, chosen, "infer_change_voice", **AT_ONCE)
    add_endpoint(requests.Convert, calls.convert, tuple[str, FileData], "infer_convert", **ONE_AT_A_TIME)
    several = tuple[str, list[FileData]]
    add_endpoint(requests.ConvertBatch, calls.batch, several, "infer_convert_batch", **ONE_AT_A_TIME)


class Calls:
    """The handlers, and the voice that each client chose last."""

    def __init__(self, page: Page):
        self._page = page
        self._lock = threading.Lock()
        self._chosen: OrderedDict[str, str] = OrderedDict()

    def refresh(self, _: requests.Nothing) -> tuple[list[str], list[str]]:
        """Names of the voices, paths of the indexes."""
        return self._page.voices.names(), [str(path) for path in self._page.voices.indexes()]

    def clean(self, _: requests.Nothing) -> str:
        """Gives the memory of loaded models back."""
        self._page.engine.unload()
        return "unloaded"

    def change_voice(self, call: requests.ChangeVoice) -> tuple[int, float, float, str, str]:
        """Highest speaker number, both protect values, and the index that fits (twice, as in RVC)."""
        header = self._page.voices.header(call.voice)
        with self._lock:
            self._chosen[_session()] = call.voice
            self._chosen.move_to_end(_session())
            while len(self._chosen) > MOST_SESSIONS:
                self._chosen.popitem(last=False)
        index = str(self._page.voices.index_for(call.voice).path or "")
        return header.n_speakers - 1, call.protect, call.protect_batch, index, index

    def convert(self, call: requests.Convert) -> tuple[str, FileData]:
        """What was done, in words, and the converted file."""
        if call.source is None:
            raise BadInput("no recording was sent", "send a file, or its path on this machine, as source")
        result = self._convert(call, call.source)
        return described(result), FileData(path=str(result.path))

    def batch(self, call: requests.ConvertBatch) -> tuple[str, list[FileData]]:
        """A line for each recording, and the written files."""
        from infer.vc.batch import FileTask, file_tasks

        output = self._output_folder(call.output_folder)
        if call.folder.strip(" \"'"):
            tasks = file_tasks(Path(call.folder.strip(" \"'")), output, call.format)
        elif call.files:
            named = _distinct(call.files, call.format)
            tasks = [FileTask(path, output / name, path.name) for path, name in named]
        else:
            raise BadInput("no recordings were sent", "name a folder, or send files")
        lines, written = [], []
        for task in tasks:
            try:
                result = self._convert(call, task.source, task.target)
            except (RvcError, OSError) as error:
                lines.append(f"{task.name}: {error}")
            else:
                lines.append(f"{task.name}: {described(result)}")
                written.append(result.path)
        if not written:
            raise BadInput("no recording was converted", "; ".join(lines))
        return "\n".join(lines), [FileData(path=_fetchable(path)) for path in written]

    def _convert(self, call, source: Path, target: Path | None = None) -> Result:
        voice = self._page.voices.path(call.voice or self._chosen_voice())
        index = typed_index_path(call.index_path) or typed_index_path(call.index_choice) or AUTO
        return self._page.engine.convert(source, voice, _options(call), index=index, target=target)

    def _chosen_voice(self) -> str:
        with self._lock:
            chosen = self._chosen.get(_session(), "")
        if chosen:
            return chosen
        names = self._page.voices.names()
        own = [name for name in names if name != VOICE_NAME] or names
        if len(own) == 1:
            return own[0]
        raise BadInput(
            "no voice was named", f"send voice=, one of: {', '.join(names) or 'there is none yet'}"
        )

    def _output_folder(self, text: str) -> Path:
        """A path, or a name below the folder of results (RVC's default `opt` is that folder itself)."""
        text = text.strip(" \t\"'")
        home = self._page.home
        if text in ("", "opt"):
            return home.output
        path = Path(text).expanduser()
        return path if path.is_absolute() else home.output / path


def described(result: Result) -> str:
    """Length, timings, pitch method, index and warnings in one line."""
    seconds = ", ".join(f"{phase} {value:.2f} s" for phase, value in result.seconds.items())
    index = result.index_used.name if result.index_used else result.index_reason or "none"
    parts = [f"{result.duration_s:.2f} s of audio", seconds, f"index: {index}"]
    if result.f0_method:
        parts.append(f"pitch: {result.f0_method}")
    return "; ".join(parts + [f"note: {warning}" for warning in result.warnings])


def _options(call) -> ConvertOptions:
    names = {field.name for field in fields(ConvertOptions)} & set(vars(call))
    values = {name: getattr(call, name) for name in names}
    values["filter_radius"] = round(call.filter_radius)
    values["f0_method"] = RVC_METHODS.get(call.f0_method, call.f0_method)
    return ConvertOptions(**values)


def _distinct(files: list[Path], format: str) -> Iterator[tuple[Path, str]]:
    """Each file and the name of its result; two of one stem get different ones."""
    taken: set[str] = set()
    for path in files:
        name, number = f"{path.stem}.{format}", 2
        while name in taken:
            name, number = f"{path.stem} {number}.{format}", number + 1
        taken.add(name)
        yield path, name


def _fetchable(path: Path) -> str:
    """A copy where the server lets clients fetch it: the output folder may be any folder."""
    return save_file_to_cache(path, get_upload_folder())


def _session() -> str:
    request = LocalContext.request.get(None)
    return getattr(request, "session_hash", None) or ""
