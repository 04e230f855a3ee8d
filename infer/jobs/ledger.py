"""Which items a stage has finished, and from what.

One JSON line for each finished item: `{"item": ..., "key": ...}`. The key is made from the content
hash of the input and the options that matter, so an item counts as done only while both are
unchanged. Lines are appended whole, so parallel shards may share a file and a killed process
costs at most its unfinished item.
"""

import hashlib
import json
import os
from pathlib import Path


def make_key(*parts: object) -> str:
    """A short digest of input hashes and options."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:32]


class Ledger:
    """`get(item)` is the key recorded last; `record(item, key)` adds a line at once."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._keys = self._read()

    @property
    def exists(self) -> bool:
        """False for an experiment that another program made: its files are taken as they are."""
        return self.path.is_file()

    def get(self, item: str) -> str | None:
        return self._keys.get(item)

    def items(self) -> dict[str, str]:
        return dict(self._keys)

    def record(self, item: str, key: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The line feed comes first: it also ends the half line of a process that was killed.
        line = "\n" + json.dumps({"item": item, "key": key}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
        self._keys[item] = key

    def _read(self) -> dict[str, str]:
        if not self.path.is_file():
            return {}
        keys = {}
        for line in self.path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                keys[entry["item"]] = entry["key"]
            except (ValueError, KeyError, TypeError):
                continue  # the half line of a killed process: that item is simply not done
        return keys
