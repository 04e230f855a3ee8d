"""Which recordings are measured: the fixed held-out list, and the shared folder's own tables.

`heldout.csv` is a promise: nothing that is trained here may hear a speaker it names. Its column `use`
is `measure`, or `exclude` for recordings without a transcript or that are there twice.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from infer.lib.errors import MissingFile

HELDOUT = Path(__file__).with_name("heldout.csv")
SHARED = Path(__file__).resolve().parents[3] / "shared"  # beside the program's folder


@dataclass(frozen=True)
class Take:
    """One recording. `language` is a name that `phones.phones_of` knows; an empty text is unknown."""

    path: Path
    corpus: str
    speaker: str
    language: str
    text: str = ""


def heldout(shared: Path, table: Path = HELDOUT) -> list[Take]:
    """The recordings of speakers never trained on, with their texts."""
    return [_take(shared, row) for row in rows(table) if row["use"] == "measure"]


def heldout_speakers(table: Path = HELDOUT) -> set[tuple[str, str]]:
    """(corpus, speaker) of all that training must leave out."""
    return {(row["corpus"], row["speaker"]) for row in rows(table)}


def speech(shared: Path) -> list[Take]:
    """The recordings of shared/speech, English ones as American."""
    return [_take(shared / "speech", row) for row in manifest(shared / "speech")]


def sources(shared: Path) -> list[Take]:
    """The clips of shared/audio/sources; the sung ones have no text."""
    folder = shared / "audio" / "sources"
    return [
        Take(
            path=folder / row["file"],
            corpus=row["corpus"],
            speaker=row["speaker"],
            language="en" if row["language"] == "English" else row["language"],
            text=row["transcript"] if row["kind"] == "speech" else "",
        )
        for row in rows(folder / "metadata.csv")
    ]


def manifest(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder's manifest.csv, each recording once: the table names some of them twice."""
    return list({row["path"]: row for row in rows(folder / "manifest.csv")}.values())


def rows(table: Path) -> list[dict[str, str]]:
    """Raises MissingFile."""
    if not table.is_file():
        raise MissingFile(f"{table} is missing", "name the folder that holds speech/ and audio/: --shared=")
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _take(folder: Path, row: dict[str, str]) -> Take:
    return Take(folder / row["path"], row["corpus"], row["speaker"], row["language"], row["transcript"])
