"""What is on offer for import: which file is the voice, which its index, and whether they are whole."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infer.lib.checkpoint_kinds import KIND_WORDS, other_kind, sniff
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.files import sha256_file
from infer.lib.retrieval import sidecar_path
from infer.lib.voice_header import read_header
from infer.stages.ckpt.package import CARD, CARD_FORMAT
from infer.stages.ckpt.unpack import MOST_BYTES, Piece, unpack

INDEX, VOICE = ".index", ".pth"
_EMPTY_TWIN = "trained_"  # RVC's index before the vectors were added


@dataclass(frozen=True)
class Offer:
    """One voice to take in. `card` is {} unless the zip was made by `export`."""

    voice: Piece
    index: Piece | None
    sidecar: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def gather(files: tuple[Path, ...], folder: Path) -> Offer:
    """Unpacks zips into `folder` and chooses. Raises RvcError in the words of the files that were given."""
    pieces: list[Piece] = []
    for number, path in enumerate(files):
        pieces += _pieces(path, folder / f"zip {number}")
    card = _card(pieces)
    voice = _voice(pieces)
    index, remarks = _index(pieces)
    if card:
        _verify(card, pieces, [voice, *([index] if index else [])])
    return Offer(voice, index, _sidecar(pieces, index), card, remarks)


def _pieces(path: Path, folder: Path) -> list[Piece]:
    kind = sniff(path)
    if kind == "archive" and zipfile.is_zipfile(path):
        folder.mkdir()
        pieces = unpack(path, folder)
        if not any(piece.suffix == VOICE for piece in pieces):
            raise BadInput(f"{path} holds no voice", "a shared voice is a zip with a .pth file in it")
        return pieces
    if kind in ("archive", "folder") or path.suffix.lower() not in MOST_BYTES:
        raise BadInput(
            f"{path} is {KIND_WORDS.get(kind, 'no voice')}", "give a zip, a .pth, or a .pth and its .index"
        )
    return [Piece(path.name, path)]


def _voice(pieces: list[Piece]) -> Piece:
    """The one piece that is a finished voice."""
    kinds, problems = {}, []
    for piece in (piece for piece in pieces if piece.suffix == VOICE):
        try:
            kinds[piece] = read_header(piece.path).kind
        except BadCheckpoint as error:
            problems.append(in_words(error, piece))
    voices = [piece for piece, kind in kinds.items() if kind == "voice"]
    if len(voices) > 1:
        names = ", ".join(piece.name for piece in voices)
        raise BadInput(f"there are {len(voices)} voices ({names})", "give them one at a time")
    if voices:
        return voices[0]
    for kind in ("generator", "discriminator", *kinds.values()):
        piece = next((piece for piece in kinds if kinds[piece] == kind), None)
        if piece:
            raise _no_voice(piece, kind)
    raise problems[0] if problems else BadInput("there is no .pth file", "give a voice with it")


def _no_voice(piece: Piece, kind: str) -> BadCheckpoint:
    """With a command to paste only where the file lies in reach."""
    unpacked = piece.path.name != piece.name
    if unpacked and kind == "generator":
        hint = "unpack it and extract the voice from it"
        return BadCheckpoint(f"{piece.name} is {KIND_WORDS[kind]}, not a voice", hint)
    return other_kind(Path(piece.name) if unpacked else piece.path, kind, "voice")


def _index(pieces: list[Piece]) -> tuple[Piece | None, tuple[str, ...]]:
    """The largest index with vectors: the twin without them is of no use."""
    found = [piece for piece in pieces if piece.suffix == INDEX]
    filled = [piece for piece in found if not piece.name.startswith(_EMPTY_TWIN)] or found
    if not filled:
        return None, ()
    chosen = max(filled, key=lambda piece: piece.path.stat().st_size)
    others = ", ".join(piece.name for piece in filled if piece is not chosen)
    return chosen, ((f"of several indexes {chosen.name} was taken, not {others}",) if others else ())


def _sidecar(pieces: list[Piece], index: Piece | None) -> dict[str, Any]:
    """The notes beside an index, wherever they were given."""
    if index is None:
        return {}
    wanted = sidecar_path(Path(index.name)).name
    piece = next((piece for piece in pieces if piece.name == wanted), None)
    beside = sidecar_path(index.path)
    path = piece.path if piece else beside
    return _json(path) if path.is_file() and path.stat().st_size <= MOST_BYTES[".json"] else {}


def _card(pieces: list[Piece]) -> dict[str, Any]:
    piece = next((piece for piece in pieces if piece.name == CARD), None)
    card = _json(piece.path) if piece else {}
    return card if card.get("format") == CARD_FORMAT else {}


def _verify(card: dict[str, Any], pieces: list[Piece], used: list[Piece]) -> None:
    """Raises BadInput unless every file that the card lists is there and is the one that was packed."""
    listed = card.get("files")
    if not isinstance(listed, dict) or any(piece.name not in listed for piece in used):
        raise BadInput(f"{CARD} does not list the files beside it", "get the zip again")
    by_name = {piece.name: piece for piece in pieces}
    for name, facts in listed.items():
        wanted = facts.get("sha256") if isinstance(facts, dict) else None
        piece = by_name.get(name)
        if piece is None:
            raise BadInput(f"{ascii(name)} is missing from the zip", "get it again")
        if sha256_file(piece.path) != wanted:
            raise BadInput(
                f"{ascii(name)} is not the file that was packed", "the zip was changed; get it again"
            )


def in_words(error: BadCheckpoint | BadInput | MissingFile, piece: Piece) -> BadCheckpoint:
    """The same failure, told of the file that the user knows."""
    return BadCheckpoint(error.message.replace(str(piece.path), piece.name), error.hint)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
