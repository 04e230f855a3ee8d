"""Files that are either whole or absent, names that stay inside their folder, content hashes."""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.lib.errors import BadInput

REPO = Path(__file__).resolve().parents[2]

_TEMPORARY = ".part-"
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_WINDOWS_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10)
}
MAX_NAME_BYTES = 180  # leaves room for `_e123_s123456.pth` within the 255 bytes of common file systems


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; renamed to `path` on success, removed on failure.

    The suffix is kept, since some writers choose their format by it. Raises OSError as the system does.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, name):
            raise  # about another file, which was being read
        raise _about(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _about(path: Path, error: OSError) -> OSError:
    """The same failure, told of the file the user knows. numpy reports a short write without a code."""
    short = error.errno is None and str(error).endswith("written")
    code = errno.ENOSPC if short else error.errno or errno.EIO
    return OSError(code, os.strerror(code), str(path))


def remove_leftovers(folder: Path, suffix: str = "") -> None:
    """Removes the temporary files of killed processes, those for names with `suffix` only.

    Nothing else may be writing such files there.
    """
    for path in Path(folder).glob(f"{_TEMPORARY}*{suffix}"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8, line feeds, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def natural_key(path: Path | str) -> list:
    """Sort key with which `take 2` comes before `take 10`."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", str(path))
    ]


def safe_name(text: str, what: str = "name") -> str:
    """A name that is one path component on every system; raises BadInput otherwise."""
    name = text.strip()
    problem = None
    if not name or name in (".", ".."):
        problem = "is empty"
    elif found := _FORBIDDEN.search(name):
        problem = f"holds the character {found.group()!r}, which file names cannot have"
    elif name.endswith("."):
        problem = "ends with a dot"
    elif name.split(".")[0].lower() in _WINDOWS_RESERVED:
        problem = "is reserved by Windows"
    elif len(name.encode()) > MAX_NAME_BYTES:
        problem = f"is longer than {MAX_NAME_BYTES} bytes"
    if problem:
        raise BadInput(f"the {what} {text!r} {problem}", "choose another one")
    return name


def inside(root: Path, name: str) -> Path:
    """`root/name`, refused with BadInput if it would lie outside `root` (links followed)."""
    root = Path(root).resolve()
    path = (root / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise BadInput(f"{name!r} lies outside {root}", "give a name without folders")
    return path
