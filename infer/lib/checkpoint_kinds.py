"""What a file is, told by its content and never by its name; the sentence for a wrong kind."""

import json
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path

from infer.lib.errors import BadCheckpoint, MissingFile
from infer.lib.packed_layout import packed_kind

HEAD_BYTES = 4096
MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, as its format says

# kind -> how a sentence calls it
KIND_WORDS = {
    "voice": "a finished voice",
    "generator": "a training checkpoint of a generator",
    "discriminator": "a training checkpoint of a discriminator",
    "hubert": "a HuBERT content encoder (fairseq file)",
    "hubert-transformers": "a HuBERT content encoder (Transformers weights)",
    "starter": "the starter content encoder",
    "base": "a base that holds voices too",
    "rows": "the index of the demo voices",
    "rmvpe": "the RMVPE pitch network",
    "crepe": "a CREPE pitch network",
    "fcpe": "an FCPE pitch network",
    "tensors": "a set of tensors of an unknown network",
    "safetensors": "a safetensors file",
    "index": "a feature index",
    "archive": "an archive",
    "audio": "a sound or video file",
    "html": "a web page (a download that went wrong)",
    "lfs": "a Git LFS pointer, not the file itself",
    "text": "a text file",
    "empty": "empty",
    "folder": "a folder",
    "unsafe": "a pickle that asks for more than tensors",
    "damaged": "damaged, cut short, or no weight file",
    "unknown": "a file of an unknown kind",
}

WANTED_WORDS = {
    "voice": "a voice",
    "training": "a training checkpoint",
    "base": "a pretrained base",
    "hubert": "a HuBERT content encoder",
    "tensors": "a weight file",
}

_AGAIN = "get the file again"
_PLACES = {
    "hubert": "its place is assets/hubert/hubert_base.pt",
    "hubert-transformers": "its place is the folder assets/hubert_base",
    "rmvpe": "its place is assets/rmvpe/rmvpe.pt",
    "index": "choose it as the index, beside a voice",
    "archive": "unpack it and give the .pth file inside",
    "discriminator": "only the generator's G_ file holds a voice",
    "voice": "a voice lacks the parts that training needs; give a G_ or D_ file",
    "html": _AGAIN,
    "lfs": _AGAIN,
    "empty": _AGAIN,
    "damaged": _AGAIN,
}


class Unreadable(BadCheckpoint):
    """A file that could not be read as asked; `kind` is a key of KIND_WORDS."""

    kind = "unknown"


def other_kind(path: Path, kind: str, wanted: str) -> Unreadable:
    """The error for a file of `kind` where `wanted` (a key of WANTED_WORDS) was asked for."""
    error = Unreadable(f"{path} is {KIND_WORDS[kind]}, not {WANTED_WORDS[wanted]}", _hint(path, kind, wanted))
    error.kind = kind
    return error


def unsafe_pickle(path: Path, class_name: str) -> Unreadable:
    """The error for a pickle that names a class or function which weight files never need."""
    error = Unreadable(
        f"{path} asks for {class_name}, which a weight file never needs",
        "it may try to run code; nothing of it was run. Use a file from a source you trust",
    )
    error.kind = "unsafe"
    return error


def sniff(path: Path) -> str:
    """The kind by the first bytes, or "torch" for what may be a torch file. Raises MissingFile."""
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise MissingFile(f"{path} does not exist", "check the path")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "empty"
    return _by_magic(head, path) or _as_text(head) or "torch"


def kind_of_content(content) -> str:
    """The kind of what a torch file held. `content` is any plain value."""
    if not isinstance(content, Mapping):
        return "unknown"
    if isinstance(content.get("weight"), Mapping) and "config" in content:
        return "voice"
    for entry in ("model", "state_dict"):
        if isinstance(content.get(entry), Mapping):
            kind = _kind_of_names(content[entry])
            return "fcpe" if kind == "tensors" and "config_dict" in content else kind
    return _kind_of_names(content)


def _kind_of_names(tensors: Mapping) -> str:
    names = [name.removeprefix("module.") for name in tensors if isinstance(name, str)]
    for prefix, kind in (
        ("enc_p.", "generator"),
        ("discriminators.", "discriminator"),
        ("unet.", "rmvpe"),
        ("feature_projection.", "hubert-transformers"),
        ("post_extract_proj.", "hubert"),
        ("attention_qkv", "starter"),
        ("blocks.0.attention_qkv", "starter"),
        ("phones_ctc.", "starter"),
        ("conv1_BN.", "crepe"),
    ):
        if any(name.startswith(prefix) for name in names):
            return kind
    tensor_like = bool(names) and all(hasattr(value, "dtype") for value in tensors.values())
    return "tensors" if tensor_like else "unknown"


def kind_of_safetensors(path: Path) -> str:
    """The kind by the header; the tensors are not read."""
    header = safetensors_header(path)
    if header is None:
        return "damaged"
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict) and (kind := packed_kind(metadata)):
        return kind
    kind = _kind_of_names(header)
    return "safetensors" if kind in ("unknown", "tensors") else kind


def safetensors_header(path: Path) -> dict | None:
    """What the header says: tensor name -> dtype, shape, place, and `__metadata__`. None if it is damaged."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            return None
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            return None
    return header if isinstance(header, dict) else None


def _by_magic(head: bytes, path: Path) -> str | None:
    starts = head.startswith
    if starts((b"IxF", b"IxM", b"Iwf", b"IwF", b"IwP", b"IwS", b"IHN", b"IxP", b"IxS")):
        return "index"
    if starts((b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb")) or head[4:8] == b"ftyp":
        return "audio"
    if starts((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        return "archive"
    if starts(b"PK") and _is_other_zip(path):
        return "archive"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= path.stat().st_size - 8:
        return "safetensors"
    return None


def _is_other_zip(path: Path) -> bool:
    """True for a whole zip archive without the pickle of a torch file."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _as_text(head: bytes) -> str | None:
    try:
        # The head may end in the middle of a character.
        text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="strict")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8")
    if any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        return None
    if text.startswith("version https://git-lfs"):
        return "lfs"
    return "html" if text.lstrip()[:100].lower().startswith(("<!doctype", "<html")) else "text"


def _hint(path: Path, kind: str, wanted: str) -> str:
    if kind == "generator" and wanted == "voice":
        shown = f"./{path}" if str(path).startswith("-") else str(path)
        return f"extract a voice from it: python -m infer.stages.ckpt extract {shlex.quote(shown)}"
    if kind == "voice" and wanted in ("hubert", "tensors"):
        return "choose it as the voice"
    return _PLACES.get(kind, "choose another file")
