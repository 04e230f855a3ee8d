"""Rows of an index for each speaker, in one packed file: a speaker is never drawn towards another's voice.

`speaker.<number>` holds the rows [N, D] of one speaker. There are so few that all of them are searched.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from infer.lib import checkpoint
from infer.lib.errors import BadCheckpoint
from infer.lib.packed_layout import RESTORE, ROWS
from infer.lib.retrieval import FeatureIndex, flat

PREFIX = "speaker."
SUFFIX = ".safetensors"  # tells such a file from a faiss index


def write_rows(path: Path, rows: Mapping[int, np.ndarray], encoder: str) -> None:
    """Writes the rows [N, D] of each speaker, N > 1, made with the content encoder of that name."""
    tensors = {f"{PREFIX}{number}": torch.from_numpy(values) for number, values in rows.items()}
    checkpoint.write_packed(path, tensors, ROWS, encoder=encoder)


def load_speaker(path: Path, speaker_id: int) -> FeatureIndex | None:
    """The index of one speaker; None for one without rows. Raises MissingFile or BadCheckpoint."""
    tensors, notes = checkpoint.read_packed(path, ROWS)
    if odd := next((name for name, rows in tensors.items() if not _is_rows(name, rows)), None):
        raise BadCheckpoint(f"{path} holds {odd}, which is no speaker's rows", RESTORE)
    rows = tensors.get(f"{PREFIX}{speaker_id}")
    return None if rows is None else FeatureIndex(flat(rows.numpy()), path, notes.get("encoder"))


def _is_rows(name: str, rows: torch.Tensor) -> bool:
    return name.startswith(PREFIX) and name.removeprefix(PREFIX).isdecimal() and rows.dim() == 2
