"""The headers of packed (int8) safetensors files, which assets/starter is made of. Light: imports no torch.

`format` and `format_version` say how tensors are stored (see `checkpoint_packed`), `holds` what they are: an
encoder, a generator, or rows of an index. A generator's `voice` is JSON with the keys of a voice file but
for `weight`, so what reads voices reads it too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infer.lib.errors import BadCheckpoint

FORMAT, FORMAT_VERSION = "rvc-int8", "1"
FORMAT_KEY, VERSION_KEY, HOLDS_KEY, VOICE_KEY = "format", "format_version", "holds", "voice"
ENCODER, GENERATOR, ROWS = "encoder", "generator", "rows"
SCALE = ".scale"
# What a file holds -> its kind among KIND_WORDS.
KINDS = {ENCODER: "starter", GENERATOR: "base", ROWS: "rows"}
RESTORE = "restore it from the program's archive"


def is_packed(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors header is that of a packed file."""
    return metadata.get(FORMAT_KEY) == FORMAT


def packed_kind(metadata: Mapping[str, str]) -> str | None:
    """The kind of a packed file, a key of KIND_WORDS; None for any other file."""
    return KINDS.get(metadata.get(HOLDS_KEY, ""), "unknown") if is_packed(metadata) else None


def check_packed(metadata: Mapping[str, str], holds: str, path: Path) -> None:
    """Raises BadCheckpoint unless the header is that of a packed file that `holds` this, as we write it."""
    if not is_packed(metadata) or metadata.get(HOLDS_KEY) != holds:
        raise BadCheckpoint(f"{path} is no packed file that holds {holds}", RESTORE)
    if metadata.get(VERSION_KEY) != FORMAT_VERSION:
        raise BadCheckpoint(
            f"{path} is stored in version {metadata.get(VERSION_KEY)} of its format, not {FORMAT_VERSION}",
            "update the program",
        )


def packed_notes(holds: str, **texts: str) -> dict[str, str]:
    """The header of a packed file."""
    return {FORMAT_KEY: FORMAT, VERSION_KEY: FORMAT_VERSION, HOLDS_KEY: holds, **texts}


def voice_notes_of(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What a packed generator says of itself, under the keys of a voice file. Raises BadCheckpoint."""
    check_packed(metadata, GENERATOR, path)
    try:
        notes = json.loads(metadata.get(VOICE_KEY, ""))
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path} does not say what voice it holds", RESTORE) from error
    if not isinstance(notes, dict) or "config" not in notes:
        raise BadCheckpoint(f"{path} does not say what voice it holds", RESTORE)
    return notes
