"""All reading and writing of weight files: voices, training checkpoints, bases, encoders.

The only `torch.load` of the project stands here, always with `weights_only=True`: nothing that a
file names is ever run. What a file is, is told by its content; a wrong kind, a damaged or an unsafe
file is one BadCheckpoint sentence. Files are written whole or not at all.
"""

import contextlib
import errno
import pickle
import shutil
import struct
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from infer.lib.checkpoint_kinds import (
    KIND_WORDS,
    Unreadable,
    kind_of_content,
    kind_of_safetensors,
    other_kind,
    sniff,
    unsafe_pickle,
)
from infer.lib.checkpoint_merge import Similarity, compare_voices, merge_voices
from infer.lib.checkpoint_packed import packed, unpacked
from infer.lib.checkpoint_pickle import FAIRSEQ_NAMES, plain, refused_name
from infer.lib.checkpoint_shapes import spec_from_tensors
from infer.lib.checkpoint_training import (
    TrainingCheckpoint,
    load_matching,
    load_strictly,
    map_optimizer,
    named_shapes,
    network_tensors,
    optimizer_by_name,
    training_content,
    training_from_content,
    voice_from_training,
)
from infer.lib.checkpoint_voice import VoiceFile, voice_content, voice_from_content
from infer.lib.checkpoint_weights import POSTERIOR, is_weight, shown_names, widened
from infer.lib.errors import BadCheckpoint
from infer.lib.files import atomic_path
from infer.lib.packed_layout import GENERATOR, check_packed, packed_notes, voice_notes_of

__all__ = [
    "KIND_WORDS",
    "Similarity",
    "TrainingCheckpoint",
    "Unreadable",
    "VoiceFile",
    "compare_voices",
    "kind_of",
    "load_base",
    "load_matching",
    "map_optimizer",
    "merge_voices",
    "named_shapes",
    "optimizer_by_name",
    "read_hubert_pickle",
    "read_metadata",
    "read_packed",
    "read_tensors",
    "read_training",
    "read_voice",
    "set_info",
    "spec_from_tensors",
    "voice_from_training",
    "write_packed",
    "write_training",
    "write_voice",
]

# What torch raises for bytes that are no pickle, a cut archive, or nonsense inside one.
_MALFORMED = (
    RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
    MemoryError, struct.error,
)  # fmt: skip

# safe_globals changes a table of the whole process, so only one file is read at a time: a voice
# must never be read while the names of fairseq files are allowed.
_READING = threading.Lock()

_HUBERT_HEADS = 12


def kind_of(path: Path | str) -> str:
    """What the file is by its content: a key of KIND_WORDS. Raises MissingFile; tensors are not read."""
    path = Path(path)
    kind = sniff(path)
    if kind == "safetensors":
        return kind_of_safetensors(path)
    if kind != "torch":
        return kind
    try:
        return kind_of_content(_content(path, "tensors", mmap=True))
    except Unreadable as error:
        return error.kind


def read_voice(path: Path | str) -> VoiceFile:
    """The voice at `path`, or the one in a packed base, checked and widened to fp32.

    Raises MissingFile or BadCheckpoint.
    """
    path = Path(path)
    if _is_packed_base(path):
        tensors, metadata = read_packed(path, GENERATOR, leave_out=POSTERIOR)
        return voice_from_content({**voice_notes_of(metadata, path), "weight": tensors}, path)
    return voice_from_content(_content_of_kind(path, "voice", ("voice",)), path)


def write_voice(path: Path | str, voice: VoiceFile, order: str = "training") -> None:
    """Writes the voice in fp16. `order` is one of RVC's three key orders: training, extraction, merge."""
    _save(Path(path), voice_content(voice, order))


def set_info(
    source: Path | str, target: Path | str, info: str | None = None, notes: Mapping[str, Any] | None = None
) -> None:
    """Writes the voice `source` with another info text, or other notes behind RVC's keys, to `target`; all
    else stays as it is. A note that is empty goes away."""
    source = Path(source)
    content = _content_of_kind(source, "voice", ("voice",))
    voice_from_content(content, source)
    if info is not None:
        content["info"] = info
    for key, value in (notes or {}).items():
        content.pop(key, None)
        if value:
            content[key] = value
    _save(Path(target), content)


def read_training(path: Path | str) -> TrainingCheckpoint:
    """A `G_*.pth` or `D_*.pth` of RVC or ours. Raises MissingFile or BadCheckpoint."""
    path = Path(path)
    return training_from_content(_content_of_kind(path, "training", ("generator", "discriminator")), path)


def write_training(path: Path | str, checkpoint: TrainingCheckpoint) -> None:
    """Writes a training checkpoint with RVC's four entries and ours behind them."""
    _save(Path(path), training_content(checkpoint))


def load_base(path: Path | str, module: nn.Module) -> None:
    """Strictly loads the network of a pretrained base (or of any training checkpoint) into `module`."""
    path = Path(path)
    if _is_packed_base(path):
        load_strictly(module, read_packed(path, GENERATOR)[0], path)
        return
    content = _content_of_kind(path, "base", ("generator", "discriminator"))
    load_strictly(module, network_tensors(content, path), path)


def read_tensors(path: Path | str) -> dict[str, torch.Tensor]:
    """A plain state dict (.pt, .pth, .bin or .safetensors): floats as finite fp32, whole numbers as stored.

    An outer dict with the entry `model` or `state_dict` is unwrapped.
    """
    path = Path(path)
    if sniff(path) == "safetensors":
        tensors: Any = _safetensors(path)
    else:
        tensors = _content(path, "tensors")
    for entry in ("model", "state_dict"):
        if isinstance(tensors, Mapping) and isinstance(tensors.get(entry), Mapping):
            tensors = tensors[entry]
    kind = kind_of_content(tensors)
    if kind in ("voice", "unknown") or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise other_kind(path, kind, "tensors")
    return {
        str(name): widened(tensor, str(name), path) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def read_metadata(path: Path | str) -> dict[str, str]:
    """The texts in the header of a safetensors file."""
    with _opened_safetensors(Path(path)) as file:
        return dict(file.metadata() or {})


def read_packed(
    path: Path | str, holds: str, leave_out: str | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a packed file in fp32, and its header; `leave_out` begins the names of those not wanted.

    Raises MissingFile or BadCheckpoint.
    """
    path = Path(path)
    if (kind := sniff(path)) != "safetensors":
        raise other_kind(path, kind if kind != "torch" else "damaged", "tensors")
    metadata = read_metadata(path)
    check_packed(metadata, holds, path)
    return unpacked(_safetensors(path, leave_out), path), metadata


def write_packed(
    path: Path | str, tensors: Mapping[str, torch.Tensor], holds: str, **notes: str
) -> dict[str, torch.Tensor]:
    """Writes float tensors as int8; returns what is stored. Raises ValueError for what int8 cannot hold."""
    stored = packed(tensors)
    with atomic_path(Path(path)) as temporary:
        save_file(stored, temporary, metadata=packed_notes(holds, **notes))
    return stored


def read_hubert_pickle(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A fairseq HuBERT file, without fairseq and without running anything from it.

    Returns the network (fairseq's names, fp32) and {"normalize": bool, "heads": int}.
    """
    path = Path(path)
    content = _content(path, "hubert", foreign=FAIRSEQ_NAMES)
    if kind_of_content(content) != "hubert":
        raise other_kind(path, kind_of_content(content), "hubert")
    model = content.get("model", content)
    odd = [str(name) for name, tensor in model.items() if not is_weight(tensor)]
    if odd:
        raise BadCheckpoint(f"{path} holds something else than weights ({shown_names(odd)})", "get it again")
    state = {str(name): widened(tensor, str(name), path) for name, tensor in model.items()}
    return state, _hubert_info(plain(content.get("cfg")))


def _hubert_info(cfg: Any) -> dict[str, Any]:
    """What the shapes do not tell. Files without a configuration are HuBERT base."""
    parts = {name: cfg.get(name) for name in ("model", "task")} if isinstance(cfg, Mapping) else {}
    model, task = (
        part if isinstance(part, Mapping) else {} for part in (parts.get("model"), parts.get("task"))
    )
    heads = model.get("encoder_attention_heads")
    return {
        "normalize": task.get("normalize") is True,
        "heads": heads if isinstance(heads, int) and heads > 0 else _HUBERT_HEADS,
    }


def _is_packed_base(path: Path) -> bool:
    return sniff(path) == "safetensors" and kind_of_safetensors(path) == "base"


def _content_of_kind(path: Path, wanted: str, kinds: tuple[str, ...]) -> dict:
    content = _content(path, wanted)
    kind = kind_of_content(content)
    if kind not in kinds:
        raise other_kind(path, kind, wanted)
    return content


def _content(path: Path, wanted: str, foreign: list = (), mmap: bool = False) -> Any:
    """Whatever a torch file holds. Raises MissingFile, or Unreadable with the kind it seems to be."""
    kind = sniff(path)
    if kind == "safetensors":
        kind = kind_of_safetensors(path)
    if kind != "torch":
        raise other_kind(path, kind, wanted)
    try:
        with _READING, torch.serialization.safe_globals(list(foreign)):
            mapped = mmap and zipfile.is_zipfile(path)  # the older stream cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error), wanted) from None
    except _MALFORMED as error:
        raise other_kind(path, "damaged", wanted) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which means a jump to before the file's start: a cut archive
            raise
        raise other_kind(path, "damaged", wanted) from error


def _refused(path: Path, message: str, wanted: str) -> Unreadable:
    name = refused_name(message, path)
    if name is None:
        return other_kind(path, "damaged", wanted)
    if wanted != "hubert" and name.startswith(("fairseq.", "omegaconf.")):
        return other_kind(path, "hubert", wanted)
    return unsafe_pickle(path, name)


@contextlib.contextmanager
def _opened_safetensors(path: Path):
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise other_kind(path, "damaged", "tensors") from error


def _safetensors(path: Path, leave_out: str | None = None) -> dict[str, torch.Tensor]:
    with _opened_safetensors(path) as file:
        names = [name for name in file.keys() if not (leave_out and name.startswith(leave_out))]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}


def _save(path: Path, content: Mapping) -> None:
    """torch.save, whole or not at all. Raises OSError for a full disk."""
    with atomic_path(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's archive writer hides the reason
            raise _write_error(path) from error


def _write_error(path: Path) -> OSError:
    free = shutil.disk_usage(path.parent).free
    code, reason = (errno.ENOSPC, "the disk is full") if free < 2**30 else (errno.EIO, "writing failed")
    return OSError(code, reason, str(path))
