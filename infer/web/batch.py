"""Many recordings for the page: which, to where, one after another, and all of them as one zip."""

import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from infer.lib.errors import BadInput, MissingFile
from infer.lib.starter_files import voice_name
from infer.web.errors_i18n import refusal
from infer.web.result_names import result_name

if TYPE_CHECKING:
    from infer.vc.batch import FileTask

DEFAULT_OUTPUT = "opt"


@dataclass(frozen=True)
class BatchState:
    """How far a batch is. `failed` are (name, reason)."""

    total: int
    written: tuple[Path, ...] = ()
    failed: tuple[tuple[str, Exception], ...] = ()
    current: str = ""

    @property
    def done(self) -> int:
        return len(self.written) + len(self.failed)


@dataclass(frozen=True)
class BatchRequest:
    """What is converted to where. The folder wins over uploaded files, as in RVC."""

    folder: str
    files: list[str] = field(default_factory=list)
    output: Path = Path("opt")
    format: str = "wav"

    def tasks(self) -> "list[FileTask]":
        """Raises RvcError when there is nothing to convert."""
        from infer.vc.batch import file_tasks

        folder = self.folder.strip(" \t\r\n\"'")
        if folder:
            return file_tasks(Path(folder).expanduser(), self.output, self.format)
        if not self.files:
            raise refusal("convert.error.no_recordings")
        return list(_uploaded(self.files, self.output, self.format))


def output_folder(text: str, results: Path) -> Path:
    """The folder that was typed. `opt`, RVC's default, is the folder `results`; other names lie below it."""
    text = text.strip(" \t\r\n\"'")
    path = Path("" if text == DEFAULT_OUTPUT else text).expanduser()
    return path if path.is_absolute() else results / path


def converted(tasks: "list[FileTask]", convert: "Callable[[FileTask], Path]") -> Iterator[BatchState]:
    """The state before each file and after the last. A bad recording is noted and the rest go on.

    What concerns all files (a full disk) is raised.
    """
    state = BatchState(len(tasks))
    for task in tasks:
        yield replace(state, current=task.name)
        try:
            path = convert(task)
        except (BadInput, MissingFile) as error:
            state = replace(state, failed=(*state.failed, (task.name, error)))
        except OSError as error:
            if error.filename is None or Path(os.fsdecode(error.filename)) != task.source:
                raise
            state = replace(state, failed=(*state.failed, (task.name, error)))
        else:
            state = replace(state, written=(*state.written, path))
    yield state


def served(path: Path, folder: Path) -> Path:
    """The file under another name in `folder`, from where the page may show it; no second copy on disk
    where the file system can do without."""
    target = folder / secrets.token_hex(8) / path.name
    target.parent.mkdir(parents=True)
    try:
        os.link(path, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(path, target)
    return target


def zipped(paths: list[Path], root: Path, target: Path) -> Path:
    """All files in one archive, named as they lie below `root`. Not compressed: sound hardly shrinks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
            archive.write(path, name.as_posix())
    return target


def zip_name(voice: Path) -> str:
    return result_name("results", voice_name(voice), "zip")


def _uploaded(files: list[str], output: Path, format: str) -> "Iterator[FileTask]":
    from infer.vc.batch import FileTask

    taken: set[Path] = set()
    for source in map(Path, files):
        target, number = output / f"{source.stem}.{format}", 2
        while target in taken:  # two uploads of one name, or a.mp3 beside a.wav
            target, number = output / f"{source.stem} {number}.{format}", number + 1
        taken.add(target)
        yield FileTask(source, target, source.name)
