"""Which voice file a name means. Light: imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import natural_key
from infer.lib.starter_files import VOICE_NAME, starter_base

SUFFIXES = (".pth", ".safetensors")
HOW_TO_GET = (
    "copy an RVC voice (.pth) there, or train one: bash go-web.sh train --trainset=FOLDER --experiment=NAME"
)


def voice_folders(weights: Path, assets: Path) -> list[Path]:
    """Where voices are looked for, in this order: this project's folder, then RVC's."""
    return [Path(weights), Path(assets) / "weights"]


def voice_files(folders: Sequence[Path]) -> list[Path]:
    """The voices in `folders`, each folder in natural order; hidden and unfinished files are left out."""
    return [path for folder in folders for path in _files(folder)]


def find_voice(name: str | None, folders: Sequence[Path], assets: Path) -> Path:
    """The file of voice `name`: a path, or a file name in `folders` with or without its suffix.

    "starter" and no name are the demo voices; where these are gone, no name is the only voice there is.
    Raises MissingFile or BadInput saying what can be chosen.
    """
    starter = starter_base(assets)
    if name:
        return _named(name, folders, starter)
    if starter:
        return starter
    found = voice_files(folders)
    if not found:
        raise MissingFile(f"there is no voice in {folders[0]}", HOW_TO_GET)
    if len(found) > 1:
        raise BadInput("there are several voices", f"choose one with --model_name: {_listing(found)}")
    return found[0]


def _named(name: str, folders: Sequence[Path], starter: Path | None) -> Path:
    places = [Path(name), *(Path(folder) / name for folder in folders)]
    for place in places:
        for path in (place, *(place.parent / f"{place.name}{suffix}" for suffix in SUFFIXES)):
            if path.is_file():
                return path
    if starter and name == VOICE_NAME:
        return starter
    found = voice_files(folders)
    hint = f"choose one of {_listing(found)}" if found else HOW_TO_GET
    raise MissingFile(f"there is no voice {name} (looked in {folders[0]} too)", hint)


def _files(folder: Path) -> list[Path]:
    if not Path(folder).is_dir():
        return []
    found = [path for path in Path(folder).iterdir() if path.suffix in SUFFIXES and path.is_file()]
    visible = [path for path in found if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: natural_key(path.name))


def _listing(files: Sequence[Path], most: int = 20) -> str:
    names = ", ".join(path.name for path in files[:most])
    return names if len(files) <= most else f"{names} and {len(files) - most} more"
