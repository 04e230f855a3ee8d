"""The voices that can be chosen: found by name, told by their header alone, without torch."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from infer.lib.checkpoint_kinds import other_kind
from infer.lib.errors import MissingFile, RvcError
from infer.lib.index_choice import IndexChoice, find_index_for
from infer.lib.starter_files import VOICE_NAME, demo_index, starter_base
from infer.lib.voice_header import FileHeader, read_header
from infer.vc.library import SUFFIXES, voice_files
from infer.web.errors_i18n import refusal
from infer.web.home import Home

VOICE, CHECKPOINT = "voice", "generator"


@dataclass(frozen=True)
class Entry:
    """One file among the voices: its header, or why it has none."""

    path: Path
    header: FileHeader | None
    error: RvcError | None = None

    @property
    def kind(self) -> str:
        return self.header.kind if self.header else ""


class VoiceList:
    """The files of the voice folders. Cheap to ask often: a header is read once for each state of a file."""

    def __init__(self, home: Home):
        self._home = home
        self._lock = threading.Lock()
        self._read: dict[tuple, Entry] = {}

    def names(self) -> list[str]:
        """File names of the usable voices, RVC's order: the folders one after another, then "starter"."""
        return [name for name, entry in self.entries().items() if entry.kind == VOICE]

    def checkpoints(self) -> list[str]:
        """File names of training checkpoints among the voices; a voice can be extracted from them."""
        return [name for name, entry in self.entries().items() if entry.kind == CHECKPOINT]

    def path(self, name: str) -> Path:
        """The file of that name. Raises RvcError when there is none."""
        if not name:
            raise refusal("convert.error.no_voice")
        if Path(name).name != name:
            raise refusal("convert.error.not_a_name", name=name)
        files = self._files()
        for tried in (name, *(f"{name}{suffix}" for suffix in SUFFIXES)):
            if tried in files:
                return files[tried]
        raise refusal("convert.error.voice_gone", name=name, folder=self._home.weights)

    def header(self, name: str) -> FileHeader:
        """What the file says about itself. Raises RvcError."""
        entry = self._entry(self.path(name))
        if entry.header is None:
            raise entry.error
        return entry.header

    def problems(self) -> dict[str, str]:
        """Files that cannot be used as voices, and why, in English."""
        return {name: str(error) for name, error in self.errors().items()}

    def errors(self) -> dict[str, RvcError]:
        """The same as exceptions, for a page in another language."""
        return {name: entry.error for name, entry in self.entries().items() if entry.error}

    def signature(self) -> str:
        """Changes when a file comes, goes or is written. Reads no file."""
        keys = {name: _key(path) for name, path in self._files().items()}
        return hashlib.sha256(repr(keys).encode("utf-8", "replace")).hexdigest()[:16]

    def index_for(self, name: str) -> IndexChoice:
        """The index that fits the voice by RVC's naming rules, or why there is none."""
        return find_index_for(self.path(name), self._home.index_folders)

    def indexes(self) -> list[Path]:
        """Every finished index below the folders where they are looked for."""
        found = [path for root in self._home.index_folders for path in _indexes_below(root)]
        starter = starter_base(self._home.assets)
        demo = demo_index(starter) if starter else None
        found += [demo] if demo else []
        return list(dict.fromkeys(found))

    def entries(self) -> dict[str, Entry]:
        """Every file by name; the first folder wins."""
        entries = {name: self._entry(path) for name, path in self._files().items()}
        with self._lock:
            known = {_key(entry.path) for entry in entries.values()}
            self._read = {key: entry for key, entry in self._read.items() if key in known}
        return entries

    def _files(self) -> dict[str, Path]:
        named: dict[str, Path] = {}
        for path in voice_files(self._home.voice_folders):
            named.setdefault(path.name, path)
        if starter := starter_base(self._home.assets):
            named.setdefault(VOICE_NAME, starter)
        return named

    def _entry(self, path: Path) -> Entry:
        key = _key(path)
        with self._lock:
            entry = self._read.get(key)
        if entry is None:
            entry = _look_into(path)
            with self._lock:
                self._read[key] = entry
        return entry


def _look_into(path: Path) -> Entry:
    try:
        header = read_header(path)
    except RvcError as error:
        return Entry(path, None, error)
    except OSError as error:
        return Entry(path, None, MissingFile(f"{path} cannot be read", error.strerror or str(error)))
    wrong = None if header.kind == VOICE else other_kind(path, header.kind, VOICE)
    return Entry(path, header, wrong)


def _key(path: Path) -> tuple:
    """Changes whenever the file does; also for one that just went away."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), stat.st_mtime_ns, stat.st_size


def _indexes_below(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.rglob("*.index") if not path.name.startswith(("trained", ".")))
