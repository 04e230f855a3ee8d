"""What a weight file is and says about itself, in milliseconds and without torch: for lists of voices.

A packed base (see packed_layout) counts as the voice that it holds.

Nothing is run and no tensor is read. Whether all tensors are there and fit shows only when the file is
loaded (infer.lib.checkpoint).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infer.lib.checkpoint_inert import Malformed, Refused, foreign_family, inert_content, shape_of
from infer.lib.checkpoint_kinds import (
    kind_of_content,
    kind_of_safetensors,
    other_kind,
    safetensors_header,
    sniff,
    unsafe_pickle,
)
from infer.lib.checkpoint_layout import (
    VOICE_NOTES,
    ShapeOf,
    check_vocoder,
    described_spec,
    encoder_of,
    extra_of,
    info_of,
    median_of,
    names_of,
    plain_names,
    without_prefix,
)
from infer.lib.checkpoint_shapes import spec_from_tensors
from infer.lib.errors import BadInput
from infer.lib.models.spec import ModelSpec
from infer.lib.packed_layout import voice_notes_of

AUTHOR, LICENCE, AMERICAN_LICENCE = "author", "licence", "license"


@dataclass(frozen=True)
class FileHeader:
    """`kind` is a key of KIND_WORDS. The rest is told of voices, and what is known of a generator's training
    checkpoint; None, "" and () mean that the file does not tell.

    `sample_rate` in Hz; `speaker_names` by number, "" for one without a name; `encoder` None is RVC's
    HuBERT; `median_hz` is the median pitch of the training set; `epoch` that of a training checkpoint.
    """

    kind: str
    version: str | None = None
    sample_rate: int | None = None
    use_f0: bool | None = None
    n_speakers: int = 0
    speaker_names: tuple[str, ...] = ()
    info: str = ""
    encoder: str | None = None
    fill_unvoiced: bool = False
    median_hz: float | None = None
    author: str = ""
    licence: str = ""
    epoch: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def read_header(path: Path | str) -> FileHeader:
    """The header of any weight file. Raises MissingFile, or BadCheckpoint with the reason: damaged, unsafe,
    or a voice that says impossible things about itself."""
    path = Path(path)
    kind = sniff(path)
    if kind == "safetensors":
        return _safetensors(path)
    if kind != "torch":
        return FileHeader(_checked(kind, path))
    try:
        content = inert_content(path)
    except Refused as refused:
        if foreign_family(str(refused)):
            return FileHeader("hubert")
        raise unsafe_pickle(path, str(refused)) from None
    except Malformed as error:
        raise other_kind(path, "damaged", "tensors") from error
    kind = kind_of_content(content)
    if kind == "voice":
        return _voice(content, path)
    return _generator(content) if kind == "generator" else FileHeader(kind)


def _checked(kind: str, path: Path) -> str:
    if kind in ("damaged", "empty", "folder"):
        raise other_kind(path, kind, "tensors")
    return kind


def _safetensors(path: Path) -> FileHeader:
    kind = _checked(kind_of_safetensors(path), path)
    header = safetensors_header(path) or {}
    notes = header.pop("__metadata__", None)
    notes = notes if isinstance(notes, Mapping) else {}
    if kind != "base":
        return FileHeader(kind, extra=dict(notes))
    return _voice({**voice_notes_of(notes, path), "weight": header}, path, _header_shape)


def _header_shape(entry: Any) -> list[int] | None:
    shape = entry.get("shape") if isinstance(entry, Mapping) else None
    return shape if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else None


def _voice(content: Mapping, path: Path, shape_of: ShapeOf = shape_of) -> FileHeader:
    check_vocoder(content, path)
    spec = described_spec(content, plain_names(content["weight"]), shape_of, path)
    return FileHeader(
        **_of_spec(spec, "voice"),
        **_notes(extra_of(content)),
        info=info_of(content),
        encoder=encoder_of(content),
        fill_unvoiced=bool(content.get("fill_unvoiced")),
    )


def _generator(content: Mapping) -> FileHeader:
    """Ours tell their network; that of others is guessed by the shapes, if it is a standard one."""
    epoch = content.get("iteration")
    told = {"epoch": epoch if isinstance(epoch, int) else None}
    if content.get("encoder"):
        told["encoder"] = str(content["encoder"])
    try:
        recorded = content.get("spec")
        if isinstance(recorded, Mapping):
            spec = ModelSpec(**recorded)
        else:
            spec = spec_from_tensors(without_prefix(content.get("model", content)))
    except (BadInput, TypeError, ValueError, AttributeError):
        return FileHeader("generator", **told)
    notes = _notes({key: content[key] for key in VOICE_NOTES if key in content})
    return FileHeader(
        **_of_spec(spec, "generator"), **notes, **told, fill_unvoiced=bool(content.get("fill_unvoiced"))
    )


def _of_spec(spec: ModelSpec, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": spec.version,
        "sample_rate": spec.sample_rate,
        "use_f0": spec.use_f0,
        "n_speakers": spec.n_speakers,
    }


def _notes(extra: Mapping) -> dict[str, Any]:
    return {
        "speaker_names": names_of(extra),
        "median_hz": median_of(extra),
        "author": str(extra.get(AUTHOR) or ""),
        "licence": str(extra.get(LICENCE) or extra.get(AMERICAN_LICENCE) or ""),
        "extra": dict(extra),
    }
