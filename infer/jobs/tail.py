"""Reading a growing file of lines, each line once."""

from pathlib import Path


class Tail:
    """`read()` gives the whole lines since the last call. A file that shrank is read afresh.

    `last_bytes` limits the first look to the end of the file; None: everything.
    """

    def __init__(self, path: Path, last_bytes: int | None = None):
        self._path, self._last_bytes = path, last_bytes
        self._position: int | None = None
        self.restarted = False  # whether the last read began anew

    def skip(self) -> None:
        """Only what comes from now on."""
        self._position = self._size()

    def read(self) -> list[str]:
        size = self._size()
        self.restarted = self._position is not None and size < self._position
        if self._position is None or self.restarted:
            self._position = 0
            if self._last_bytes is not None and size > self._last_bytes:
                self._position = self._line_after(size - self._last_bytes)
        if size == self._position:
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read(size - self._position)
        whole = data.rfind(b"\n") + 1  # the last line may still be in the writing
        self._position += whole
        return data[:whole].decode("utf-8", "replace").splitlines()

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _line_after(self, position: int) -> int:
        with self._path.open("rb") as file:
            file.seek(position)
            file.readline()
            return file.tell()
