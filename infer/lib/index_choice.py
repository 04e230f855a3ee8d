"""Which index file belongs to a voice, by the names that RVC gives both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.lib.starter_files import demo_index

_STEP_SUFFIX = re.compile(r"_e\d+_s\d+$", re.IGNORECASE)
_ADDED = re.compile(r"added_ivf\d+_flat_nprobe_\d+_(?P<name>.+)_v[12]$")


@dataclass(frozen=True)
class IndexChoice:
    """The index for a voice, or None; `reason` says in words why."""

    path: Path | None
    reason: str


def find_index_for(voice: Path | str, roots: Sequence[Path]) -> IndexChoice:
    """The best `.index` file below `roots` (earlier roots first) for a voice file.

    The demo voices have their own. Else, in order: the experiment's own name, RVC 2.3's patterns, the
    voice's stem in the file name, the stem anywhere in the path (RVC 2.2); within each the earlier root,
    then the newest file.
    """
    if demo := demo_index(voice):
        return IndexChoice(demo, f"{demo.name} belongs to the demo voices")
    stem = Path(voice).name.split(".")[0].lower()
    experiment = experiment_of(voice).lower()
    ranked = []
    for order, root in enumerate(roots):
        for path in _candidates(Path(root)):
            rank = _rank(path.relative_to(root), experiment, stem)
            if rank is not None:
                ranked.append((rank, order, -path.stat().st_mtime, str(path), path))
    if ranked:
        path = min(ranked)[-1]
        return IndexChoice(path, f"{path.name} fits the voice {Path(voice).name}")
    places = " or ".join(str(root) for root in roots)
    return IndexChoice(None, f"no index file below {places} carries the name {experiment!r}")


def experiment_of(voice: Path | str) -> str:
    """The experiment that a voice file is named after: `anna_e10_s500.pth` belongs to `anna`."""
    return _STEP_SUFFIX.sub("", Path(voice).stem)


def typed_index_path(text: str) -> Path | None:
    """A path as users paste it: blanks and quotes around it go. None if empty.

    `trained_*.index`, the empty twin of the index, is taken for `added_*.index`.
    """
    text = text.strip(" \t\r\n\"'")
    if not text:
        return None
    path = Path(text)
    if not path.name.startswith("trained_"):
        return path
    return path.with_name("added_" + path.name.removeprefix("trained_"))


def _candidates(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [path for path in root.rglob("*.index") if "trained" not in path.name and path.is_file()]


def _rank(relative: Path, experiment: str, stem: str) -> int | None:
    """0 is best, None does not fit at all."""
    if not stem:
        return None
    name = relative.stem.lower()
    added = _ADDED.search(name)
    if added and added["name"] == experiment:
        return 0
    if name.startswith(f"{experiment}_added_") or any(f"_{experiment}_{v}" in name for v in ("v1", "v2")):
        return 1
    if stem in name:
        return 2
    return 3 if stem in str(relative).lower() else None
