"""What can be done with voice files: one options class for each action. Light: imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infer.jobs.command import option
from infer.lib.files import REPO
from infer.lib.models.spec import RATE_LABELS, VERSIONS

WEIGHTS, LOGS = REPO / "weights", REPO / "logs"
INDEX_AUTO, INDEX_NONE = "auto", "none"
AUTO = "auto"


@dataclass(frozen=True)
class ExtractOptions:
    """Take the voice out of a training checkpoint (G_*.pth)."""

    ACTION: ClassVar[str] = "extract"

    checkpoint: Path = option(help="a G_*.pth file, or an experiment folder: its newest one", positional=True)
    name: str = option("", help="name of the voice; empty: that of the checkpoint's folder")
    weights: Path = option(WEIGHTS, help="folder of the voices")
    sample_rate: str = option(
        AUTO, help="refuse any other; auto: told by the checkpoint", choices=(AUTO, *RATE_LABELS)
    )
    version: str = option(
        AUTO, help="refuse any other; auto: told by the checkpoint", choices=(AUTO, *VERSIONS)
    )
    use_f0: str = option(
        AUTO,
        help="pitch guidance; auto: told by the checkpoint",
        choices=(AUTO, "yes", "no"),
        aliases=("--f0",),
    )
    info: str = option("", help="text to keep in the file; empty: the epoch")
    encoder: str = option("", help="content encoder it was trained with; empty: as recorded")
    author: str = option("", help="who made the voice, to keep in the file")
    licence: str = option("", help="terms of use, to keep in the file", aliases=("--license",))
    overwrite: bool = option(False, help="replace another voice of this name")


@dataclass(frozen=True)
class MergeOptions:
    """Mix two or more voices of the same kind into a new one."""

    ACTION: ClassVar[str] = "merge"

    voices: tuple[Path, ...] = option(help="voice files", positional=True)
    name: str = option(help="name of the new voice")
    weight: tuple[float, ...] = option(
        (), help="share of each voice, in order; for two voices one is enough (none: equal shares)"
    )
    weights: Path = option(WEIGHTS, help="folder of the voices")
    info: str = option("", help="text to keep in the file; empty: what was mixed")
    overwrite: bool = option(False, help="replace another voice of this name")

    def __post_init__(self):
        if len(self.voices) < 2:
            raise ValueError("merging needs at least two voices")
        if len(self.weight) not in (0, len(self.voices)) and (len(self.voices), len(self.weight)) != (2, 1):
            raise ValueError(f"{len(self.voices)} voices need as many weights, not {len(self.weight)}")
        if any(not math.isfinite(share) or share < 0 for share in self.weight):
            raise ValueError("weights are numbers from 0 up")
        if len(self.weight) == 1 and self.weight[0] > 1:
            raise ValueError(f"the weight of the first voice is {self.weight[0]}, but must be within 0..1")
        if len(self.weight) > 1 and sum(self.weight) == 0:
            raise ValueError("the weights may not all be 0")


@dataclass(frozen=True)
class ShowOptions:
    """Say what weight files are, and what voices say about themselves."""

    ACTION: ClassVar[str] = "show"

    files: tuple[Path, ...] = option(help="voices, checkpoints or other weight files", positional=True)


@dataclass(frozen=True)
class SetInfoOptions:
    """Change what a voice says about itself; everything else stays as it is."""

    ACTION: ClassVar[str] = "set-info"

    voice: Path = option(help="a voice file", positional=True)
    info: str = option(help="the new text")
    author: str | None = option(None, help="who made the voice (none: as it is)")
    licence: str | None = option(None, help="terms of use (none: as they are)", aliases=("--license",))
    name: str = option("", help="write a new voice of this name instead of changing the file")
    weights: Path = option(WEIGHTS, help="folder of the voices, for --name")
    overwrite: bool = option(False, help="replace another voice of this name")


@dataclass(frozen=True)
class CompareOptions:
    """Tell how alike two voices are."""

    ACTION: ClassVar[str] = "compare"

    first: Path = option(help="a voice file", positional=True)
    second: Path = option(help="a voice file", positional=True)


@dataclass(frozen=True)
class ExportOptions:
    """Pack a voice with its index into one zip to share."""

    ACTION: ClassVar[str] = "export"

    voice: Path = option(help="a voice file, or the name of one", positional=True)
    index: str = option(INDEX_AUTO, help="its index file; auto: the one that fits, below --logs; none")
    author: str = option("", help="who made the voice; empty: as the voice says")
    licence: str = option("", help="terms of use; empty: as the voice says", aliases=("--license",))
    output: Path | None = option(None, help="the zip, or a folder for it (none: beside the voice)")
    weights: Path = option(WEIGHTS, help="folder of the voices")
    logs: Path = option(LOGS, help="folder of the experiments")
    overwrite: bool = option(False, help="replace a file of this name")


@dataclass(frozen=True)
class ImportOptions:
    """Take in a shared voice: a zip, a voice file, or a voice file and its index."""

    ACTION: ClassVar[str] = "import"

    files: tuple[Path, ...] = option(help="a zip; or a .pth; or a .pth and an .index", positional=True)
    name: str = option("", help="name of the voice; empty: its own")
    weights: Path = option(WEIGHTS, help="folder of the voices")
    logs: Path = option(LOGS, help="folder of the experiments; the index goes into one of the voice's name")
    overwrite: bool = option(False, help="replace another voice of this name")


@dataclass(frozen=True)
class DeleteOptions:
    """Remove a voice for good."""

    ACTION: ClassVar[str] = "delete"

    voice: Path = option(help="a voice file in --weights, or the name of one", positional=True)
    index: bool = option(False, help="its index too, if no other voice uses that")
    weights: Path = option(WEIGHTS, help="folder of the voices; nothing outside it is removed")
    logs: Path = option(LOGS, help="folder of the experiments, for --index")


ACTIONS = {
    options.ACTION: options
    for options in (
        ExtractOptions,
        MergeOptions,
        ShowOptions,
        SetInfoOptions,
        CompareOptions,
        ExportOptions,
        ImportOptions,
        DeleteOptions,
    )
}
