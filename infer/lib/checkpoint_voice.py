"""Voice files: what the content of one means, and the content that is written for one.

The layout is told in `checkpoint_layout`; here are its tensors: fp16 ones of the generator without its
posterior encoder.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from infer.lib.checkpoint_layout import (
    KEY_ORDERS,
    check_vocoder,
    described_spec,
    encoder_of,
    extra_of,
    info_of,
    plain_names,
)
from infer.lib.checkpoint_weights import Tensors, fitting_weights, is_weight
from infer.lib.errors import BadCheckpoint
from infer.lib.models.spec import ModelSpec


@dataclass(frozen=True)
class VoiceFile:
    """A voice: what it is, its weights, and what its file says about it.

    `weights` are those of `Synthesizer(spec, posterior=False).state_dict()`: fp32, CPU, finite, in the
    order of the file. Weight norm is always in its two-tensor form: a layer stored fused (its name is
    in `fused`) has `weight_v` equal to the stored weight and `weight_g` its norm.
    `encoder` names the content encoder it was trained with; None is RVC's HuBERT.
    """

    spec: ModelSpec
    weights: Tensors
    info: str = ""
    encoder: str | None = None
    fill_unvoiced: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    fused: frozenset[str] = frozenset()


def voice_from_content(content: Mapping, path: Path) -> VoiceFile:
    """The voice in the content of a voice file. Raises BadCheckpoint naming `path`."""
    check_vocoder(content, path)
    raw = plain_names(content["weight"])
    spec = described_spec(content, raw, _shape, path)
    weights, fused = fitting_weights(raw, spec, path)
    return VoiceFile(
        spec, weights, info_of(content), encoder_of(content), bool(content.get("fill_unvoiced")),
        extra_of(content), fused,
    )  # fmt: skip


def voice_content(voice: VoiceFile, order: str = "training") -> OrderedDict:
    """What is stored for a voice: fp16, keys as RVC orders them (`order` is a key of KEY_ORDERS).

    Raises BadCheckpoint for weights that fp16 cannot hold.
    """
    spec = voice.spec
    known = {
        "info": voice.info,
        "sr": spec.rate_label,
        "f0": int(spec.use_f0),
        "version": spec.version,
    }
    content = OrderedDict(weight=_stored_weights(voice), config=spec.voice_config())
    content.update((key, known[key]) for key in KEY_ORDERS[order])
    if voice.encoder is not None:
        content["encoder"] = voice.encoder
    if voice.fill_unvoiced:
        content["fill_unvoiced"] = True
    content.update((key, value) for key, value in voice.extra.items() if key not in content)
    return content


def _stored_weights(voice: VoiceFile) -> dict:
    stored = {}
    for name, tensor in voice.weights.items():
        layer, _, part = name.rpartition(".")
        if layer in voice.fused and part == "weight_g":
            continue
        half = tensor.detach().to("cpu", torch.float16, copy=True).contiguous()
        if not torch.isfinite(half).all():
            raise BadCheckpoint(
                f"the voice's {name} holds values that its file cannot store", "its training went wrong"
            )
        stored[f"{layer}.weight" if layer in voice.fused and part == "weight_v" else name] = half
    return stored


def _shape(tensor: Any) -> tuple[int, ...] | None:
    return tuple(tensor.shape) if is_weight(tensor) else None
