"""The work behind infer_cli: finds the voice and its index, converts, reports."""

from dataclasses import replace
from pathlib import Path

import config
from infer.jobs.events import Finished, Log, Report
from infer.lib.devices import ChunkPlan
from infer.lib.errors import MissingFile
from infer.lib.index_choice import find_index_for, typed_index_path
from infer.lib.starter_files import is_demo
from infer.vc import library
from infer.vc.batch import Setup, convert_files, file_tasks
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice
from tools.cmd.infer_cli import DEFAULT_OUTPUT, InferOptions


def run(options: InferOptions, report: Report) -> dict:
    """Converts what `options` name; the summary holds the count and the output."""
    output = options.output or DEFAULT_OUTPUT
    tasks = file_tasks(options.input, output, options.format)
    path = library.find_voice(
        options.model_name, library.voice_folders(config.WEIGHTS, options.assets), options.assets
    )
    voice = Voice.load(path, options.device, options.precision)
    name = voice.name if is_demo(path) else path.name
    report(Log(f"voice {name}: {voice.spec.version}, {voice.spec.rate_label}, on {voice.device}"))
    if any(voice.speaker_names):
        report(Log(f"speakers, for --speaker: {', '.join(filter(None, voice.speaker_names))}"))
    if options.speaker or not options.speaker_id:
        options = replace(options, speaker_id=voice.speaker_of(options.speaker))
    shelf = ModelShelf(options.assets, options.device, options.precision, options.encoder)
    plan = ChunkPlan(options.x_pad, options.x_query, options.x_center, options.x_max)
    setup = Setup(voice, shelf, options, plan, _index(options, voice, report))
    result = convert_files(tasks, setup, report)
    result.raise_if_failed()
    summary = {"converted": len(result.written), "output": str(output)}
    report(Finished("convert", summary))
    return summary


def _index(options: InferOptions, voice: Voice, report: Report) -> Path | None:
    """The index asked for, else the one that carries the voice's name, else None."""
    if options.index_rate == 0:
        return None
    typed = typed_index_path(options.index_path or "")
    if typed is not None:
        if not typed.is_file():
            raise MissingFile(f"there is no index {typed}", "check the path, or leave --index_path away")
        return typed
    choice = find_index_for(voice.path, [options.assets / "indices", config.LOGS, voice.path.parent])
    report(Log(f"index: {choice.reason}"))
    return choice.path
