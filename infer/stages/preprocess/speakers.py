"""Subfolders as speakers: `0`, `1 anna`, `2_bob` and `3-carl` say number and name."""

import re
from collections.abc import Iterable
from pathlib import Path

from infer.lib.checkpoint_layout import MAX_NAME
from infer.stages.preprocess.options import MAX_SPEAKER_ID

_FOLDER = re.compile(r"(?P<number>[0-9]+)(?:[ _-]+(?P<name>.*))?")


class Speakers:
    """The speakers among the folders of a training set; `default` is that of recordings elsewhere."""

    def __init__(self, default: int):
        self.default = default
        self.odd: set[str] = set()  # folders whose number is too high
        self.doubled: set[str] = set()  # folders with a second name for their number
        self._names: dict[int, str] = {}

    def of(self, relative: Path) -> int:
        """The speaker of a recording, by the first folder of its path."""
        folder = relative.parts[0] if len(relative.parts) > 1 else ""
        match = _FOLDER.fullmatch(folder)
        if not match:
            return self.default
        number = int(match["number"][:9])
        if number > MAX_SPEAKER_ID:
            self.odd.add(folder)
            return self.default
        self._note(number, (match["name"] or "").strip()[:MAX_NAME], folder)
        return number

    def _note(self, number: int, name: str, folder: str) -> None:
        if name and self._names.setdefault(number, name) != name:
            self.doubled.add(folder)

    def names(self, used: Iterable[int]) -> list[str] | None:
        """The names by number, as far as speakers of `used` have any; None if none has."""
        named = {number: self._names[number] for number in used if number in self._names}
        return [named.get(number, "") for number in range(max(named) + 1)] if named else None

    def remarks(self) -> list[str]:
        """What to tell about the folders."""
        told = []
        if self.odd:
            odd = ", ".join(sorted(self.odd))
            told.append(f"speakers have numbers up to {MAX_SPEAKER_ID}; not a speaker: folder {odd}")
        if self.doubled:
            told.append(f"a second name for the same speaker is not used: {', '.join(sorted(self.doubled))}")
        return told
