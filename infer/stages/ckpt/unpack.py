"""Taking files out of a zip that someone else made: few, of known kinds, bounded, and nowhere else.

No member's name ever becomes a path: files are numbered. A zip that tries to leave its folder, holds
links or grows out of proportion is refused as a whole.
"""

import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from infer.lib.errors import BadInput

MIB = 2**20
MOST_BYTES = {".pth": 2048 * MIB, ".index": 8192 * MIB, ".json": MIB}  # what is taken, and its limits
MOST_ALL = 10240 * MIB
MOST_MEMBERS, MOST_TAKEN = 10_000, 32
MOST_EXPANSION = 200  # weights shrink by a tenth; what shrinks two-hundredfold is made to fill the disk
SPARE_BYTES = 256 * MIB
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNPACK = "unpack it and give the .pth file inside"


@dataclass(frozen=True)
class Piece:
    """A file on offer: what it is called, and where its bytes are."""

    name: str
    path: Path

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()


def unpack(archive: Path, folder: Path) -> list[Piece]:
    """The voices, indexes and cards of a zip, under numbers in `folder`. Raises BadInput."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _wanted(opened, archive)
            _check_room(members, archive, folder)
            return [_taken(opened, member, folder / str(n)) for n, member in enumerate(members)]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"{archive} is damaged ({error})", "get the file again") from error


def _wanted(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    members = opened.infolist()
    if len(members) > MOST_MEMBERS:
        raise BadInput(f"{archive} holds {len(members)} files", _UNPACK)
    for member in members:
        if problem := _danger(member):
            raise BadInput(f"{archive} is refused: {ascii(member.filename)} {problem}", _UNPACK)
    wanted = [member for member in members if _is_wanted(member)]
    if len(wanted) > MOST_TAKEN:
        raise BadInput(f"{archive} holds {len(wanted)} weight files", _UNPACK)
    for member in wanted:
        if problem := _excess(member):
            raise BadInput(f"{archive} is refused: {ascii(member.filename)} {problem}", _UNPACK)
    return wanted


def _danger(member: zipfile.ZipInfo) -> str:
    """Why no honest zip holds this member; empty for a usual one."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    has_drive = member.filename[1:2] == ":"
    if path.is_absolute() or has_drive or ".." in path.parts:
        return "would lie outside its folder"
    mode = member.external_attr >> 16
    return "is a link" if stat.S_ISLNK(mode) else ""


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return not member.is_dir() and not hidden and path.suffix.lower() in MOST_BYTES


def _excess(member: zipfile.ZipInfo) -> str:
    suffix = PurePosixPath(member.filename).suffix.lower()
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in _PACKINGS:
        return "is packed in an unusual way"
    if member.file_size > MOST_BYTES[suffix]:
        return f"is larger than {MOST_BYTES[suffix] // MIB} MB"
    if member.file_size > MIB and member.file_size > MOST_EXPANSION * max(1, member.compress_size):
        return "is packed far too tightly for weights"
    return ""


def _check_room(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    total = sum(member.file_size for member in members)
    if total > MOST_ALL:
        raise BadInput(f"{archive} holds {total // MIB} MB of weights", _UNPACK)
    free = shutil.disk_usage(folder).free
    # Once unpacked, once in its place.
    if 2 * total + SPARE_BYTES > free:
        raise BadInput(
            f"{archive} needs {2 * total // MIB} MB of disk, and {free // MIB} MB are free", "free some space"
        )


def _taken(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> Piece:
    """The member's bytes at `target`; zipfile checks their sum and never gives more than it announced."""
    with opened.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file, MIB)
    if target.stat().st_size != member.file_size:
        raise zipfile.BadZipFile(f"{ascii(member.filename)} is cut short")
    return Piece(PurePosixPath(member.filename.replace("\\", "/")).name, target)
