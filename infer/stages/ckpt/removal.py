"""Removing voices: only files that lie in the folder of voices, and only an index that is theirs alone."""

import contextlib
from pathlib import Path

from infer.jobs.events import Log, Report
from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import safe_name
from infer.lib.index_choice import experiment_of, find_index_for
from infer.lib.models.spec import VERSIONS
from infer.lib.retrieval import is_index_of, sidecar_path
from infer.stages.ckpt.options import DeleteOptions

SUFFIXES = (".pth", ".safetensors")


def delete(options: DeleteOptions, report: Report) -> dict:
    """Removes the voice, and its index if asked; returns what was removed."""
    voice = _voice(options)
    index = _own_index(options, voice, report) if options.index else None
    removed = [str(voice)]
    voice.unlink()
    if index:
        removed += _remove_index(index)
    for path in removed:
        report(Log(f"removed {path}"))
    return {"voice": str(voice), "removed": removed}


def _voice(options: DeleteOptions) -> Path:
    """The file itself, which may be a link; not what a link leads to."""
    given = options.voice if len(options.voice.parts) > 1 else options.weights / options.voice
    if given.parent.resolve() != options.weights.resolve():
        raise BadInput(f"{given} does not lie in the folder of voices {options.weights}", "remove it by hand")
    safe_name(given.name, "voice name")
    places = [given, *(given.with_name(given.name + suffix) for suffix in SUFFIXES)]
    found = next((p for p in places if p.suffix in SUFFIXES and (p.is_file() or p.is_symlink())), None)
    if found is None:
        raise MissingFile(f"there is no voice {given.name} in {options.weights}", "check the name")
    return found


def _own_index(options: DeleteOptions, voice: Path, report: Report) -> Path | None:
    """The index under the voice's own name, unless another voice uses it."""
    index = find_index_for(voice, [options.logs]).path
    name = experiment_of(voice)
    if index is None or not any(is_index_of(index.name, name, version) for version in VERSIONS):
        report(Log(f"there is no index of the name {name}"))
        return None
    others = [
        path.name
        for path in options.weights.iterdir()
        if path != voice and path.suffix in SUFFIXES and experiment_of(path).lower() == name.lower()
    ]
    if others:
        report(Log(f"{index.name} stays: {', '.join(sorted(others))} uses it"))
        return None
    return index


def _remove_index(index: Path) -> list[str]:
    """The index, its notes and its empty twin; its folder too, if nothing else is in it."""
    twin = index.with_name(index.name.replace("added_", "trained_", 1))
    removed = []
    for path in (index, sidecar_path(index), twin):
        if path.is_file():
            path.unlink()
            removed.append(str(path))
    with contextlib.suppress(OSError):  # it is not empty
        index.parent.rmdir()
    return removed
