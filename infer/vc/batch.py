"""Conversion of many files: what is read, what is written, and what goes on after a bad one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.events import ItemFailed, Log, Progress, Report, Started
from infer.lib import audio as sound
from infer.lib.devices import FULL_PLAN, ChunkPlan
from infer.lib.errors import BadInput, MissingFile, RvcError
from infer.lib.f0.curve import write_curve_file
from infer.vc.options import FORMATS, ConvertOptions
from infer.vc.pipeline import Conversion, Hooks, convert, gather
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice

STAGE = "convert"
MOST_NAMED = 10


@dataclass(frozen=True)
class FileTask:
    """One recording and the file its conversion becomes; `name` is how it is reported."""

    source: Path
    target: Path
    name: str


@dataclass(frozen=True)
class Setup:
    """What all files of a run share."""

    voice: Voice
    shelf: ModelShelf
    options: ConvertOptions
    plan: ChunkPlan = FULL_PLAN
    index: Path | None = None

    def convert(self, source: Path, progress: Callable[[int, int], None]) -> Conversion:
        hooks = Hooks(progress=progress)
        return convert(source, self.voice, self.shelf, self.options, self.plan, index=self.index, hooks=hooks)


@dataclass(frozen=True)
class BatchResult:
    """Files written, and the reasons by name of those that were left out."""

    written: list[Path]
    failed: dict[str, str]

    def raise_if_failed(self) -> None:
        """BadInput naming the files that were left out."""
        if not self.failed:
            return
        names = ", ".join(list(self.failed)[:MOST_NAMED])
        more = f" and {len(self.failed) - MOST_NAMED} more" if len(self.failed) > MOST_NAMED else ""
        total = len(self.written) + len(self.failed)
        if total == 1:
            raise BadInput(next(iter(self.failed.values())))
        raise BadInput(f"{len(self.failed)} of {total} recordings were not converted: {names}{more}")


def file_tasks(source: Path, output: Path, format: str) -> list[FileTask]:
    """The recordings of `source` (a file, or a folder with all below it) and where they go.

    `output` is a folder, or for a single recording a file whose suffix names the format. Names below a
    folder are kept: `a/b.mp3` becomes `<output>/a/b.<format>`. Raises MissingFile or BadInput.
    """
    source, output = Path(source), Path(output)
    if source.is_dir():
        tasks = _folder_tasks(source, output, format)
    elif source.exists():
        tasks = [FileTask(source, _single_target(source, output, format), source.name)]
    else:
        raise MissingFile(f"there is no file or folder {source}", "check the path")
    sources = {task.source.resolve() for task in tasks}
    for task in tasks:
        if task.target.resolve() in sources:  # its own, or another recording of the same folder
            raise BadInput(
                f"{task.target} would be overwritten by the conversion of {task.source}",
                "choose another output",
            )
    return tasks


def convert_files(tasks: list[FileTask], setup: Setup, report: Report) -> BatchResult:
    """Converts all tasks; a bad file is reported and the rest go on.

    Raises an RvcError or OSError at once for what concerns all files: a missing model, an output
    folder that cannot be written.
    """
    report(Started(STAGE, len(tasks)))
    gather(setup.voice, setup.shelf, setup.options, setup.index)
    written, failed = [], {}
    for number, task in enumerate(tasks, start=1):
        try:
            conversion = setup.convert(task.source, _piece_progress(task, len(tasks), report))
        except (RvcError, OSError) as error:
            failed[task.name] = _reason(task, error)
            report(ItemFailed(task.name, failed[task.name]))
        else:
            _write(task.target, conversion, setup.options)
            written.append(task.target)
            report(Log(f"{task.name} -> {task.target}: {described(conversion)}"))
        if len(tasks) > 1:
            report(Progress(number, len(tasks), task.name))
    return BatchResult(written, failed)


def curve_path(target: Path) -> Path:
    """Where the pitch curve of a result is written."""
    return target.with_name(f"{target.stem}.f0.csv")


def _write(target: Path, conversion: Conversion, options: ConvertOptions) -> None:
    sound.save(target, conversion.audio, conversion.sample_rate)
    if options.save_f0 and conversion.f0 is not None:
        write_curve_file(curve_path(target), conversion.f0)


def described(conversion: Conversion) -> str:
    """Length, seconds for each phase, pitch method, index and warnings, in one line."""
    seconds = ", ".join(f"{phase} {value:.2f} s" for phase, value in conversion.seconds.items())
    parts = [f"{conversion.duration_s:.2f} s of audio", seconds]
    if conversion.f0_method:
        parts.append(f"pitch {conversion.f0_method}")
    if conversion.index_used:
        parts.append(f"index {conversion.index_used.name}")
    return "; ".join(parts + [f"note: {warning}" for warning in conversion.warnings])


def _reason(task: FileTask, error: RvcError | OSError) -> str:
    """A conversion only reads: what the system refuses is the recording."""
    if isinstance(error, RvcError):
        return str(error)
    return f"{task.source} cannot be read: {error.strerror or error}"


def _piece_progress(task: FileTask, n_tasks: int, report: Report) -> Callable[[int, int], None]:
    """With a single file, its pieces are what progress is about."""
    if n_tasks > 1:
        return lambda done, total: None
    return lambda done, total: report(Progress(done, total, task.name))


def _single_target(source: Path, output: Path, format: str) -> Path:
    suffix = output.suffix.lstrip(".").lower()
    if output.is_dir() or (not output.exists() and not suffix):
        return output / f"{source.stem}.{format}"
    if suffix not in FORMATS:
        raise BadInput(f"{output} has no format that can be written", "end it with ." + ", .".join(FORMATS))
    return output


def _folder_tasks(source: Path, output: Path, format: str) -> list[FileTask]:
    if output.exists() and not output.is_dir():
        raise BadInput(f"the output {output} is a file", "give a folder, since the input is one")
    if not os.access(source, os.R_OK | os.X_OK):
        raise BadInput(f"the folder {source} cannot be read", "check its permissions")
    results, home = output.resolve(), source.resolve()
    nested = results != home and results.is_relative_to(home)
    tasks, taken = [], set()
    for path in sound.find_audio(source):
        if nested and path.resolve().is_relative_to(results):
            continue  # results of an earlier run inside the input folder
        name = path.relative_to(source)
        target = output / name.with_name(f"{name.stem}.{format}")
        while target in taken:  # a.mp3 beside a.wav
            name = name.with_name(f"{name.name}.{format}")
            target = output / name
        taken.add(target)
        tasks.append(FileTask(path, target, path.relative_to(source).as_posix()))
    if not tasks:
        raise BadInput(
            f"the folder {source} holds no recordings", "supported are wav, flac, mp3, m4a, ogg and more"
        )
    return tasks
