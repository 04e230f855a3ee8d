"""Voice files: what the content of one means, and the content that is written for one.

The published layout (RVC 2.2 and 2.3): an ordered dict of `weight` (fp16 tensors of the generator
without its posterior encoder), `config` (18 values), `info`, `sr`, `f0`, `version`. Ours adds
`encoder` and `fill_unvoiced` behind them, which RVC ignores.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from infer.lib.checkpoint_weights import Tensors, fitting_weights, is_weight, without_prefix
from infer.lib.errors import BadCheckpoint
from infer.lib.models.spec import FEATURE_DIMS, VOICE_CONFIG_LENGTH, ModelSpec

# The keys after `weight` and `config`, by who writes the file: RVC's three writers differ.
KEY_ORDERS = {
    "training": ("info", "sr", "f0", "version"),
    "extraction": ("info", "version", "sr", "f0"),
    "merge": ("sr", "f0", "version", "info"),
}
_RVC_KEYS = ("weight", "config", *KEY_ORDERS["training"])
_OUR_KEYS = ("encoder", "fill_unvoiced")
_VOCODERS = ("", "default", "hifi-gan", "hifigan", "hifi-gan nsf", "nsf-hifigan", "nsf-hifi-gan")
_CONTENTVEC = ("", "contentvec", "hubert", "hubert_base")
MAX_LAYERS, MAX_SIZE = 64, 2**20


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
    vocoder = str(content.get("vocoder") or "")
    if vocoder.lower() not in _VOCODERS:
        raise BadCheckpoint(
            f"{path} was trained with the vocoder {vocoder}",
            "only voices with the HiFi-GAN vocoder can be used",
        )
    raw = _renamed(content["weight"])
    spec = _spec_of(content, raw, path)
    weights, fused = fitting_weights(raw, spec, path)
    return VoiceFile(
        spec, weights, _info_of(content), _encoder_of(content), bool(content.get("fill_unvoiced")),
        _extra_of(content), fused,
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


def _renamed(weights: Mapping) -> dict:
    """Newer torch stores weight norm under other names; the published ones are the older."""
    return {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in without_prefix(weights).items()
    }


def _spec_of(content: Mapping, raw: Mapping, path: Path) -> ModelSpec:
    """The network that the file describes. What the oldest files do not say is told by the tensors."""
    width, speakers = (
        raw[name].shape if is_weight(raw.get(name)) and raw[name].dim() == 2 else None
        for name in ("enc_p.emb_phone.weight", "emb_g.weight")
    )
    if width is None or speakers is None:
        raise BadCheckpoint(f"{path} has no text encoder or no speakers", "it is damaged; get the file again")
    by_width = {dim: version for version, dim in FEATURE_DIMS.items()}
    version = content.get("version") or by_width.get(width[1], "v1")
    use_f0 = content.get("f0")
    if use_f0 is None:
        use_f0 = "enc_p.emb_pitch.weight" in raw
    config = content["config"]
    _check_sizes(config, path)
    try:
        return ModelSpec.from_voice_config(config, str(version), _truth(use_f0), n_speakers=speakers[0])
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error.message}", error.hint or "get the file again") from error


def _check_sizes(config: Any, path: Path) -> None:
    """Refuses sizes no voice has, before a network of such sizes is planned."""
    if not isinstance(config, list | tuple) or len(config) != VOICE_CONFIG_LENGTH:
        raise BadCheckpoint(
            f"{path}: its config is not a list of {VOICE_CONFIG_LENGTH} values", "get the file again"
        )
    for value in config:
        items = value if isinstance(value, list | tuple) else (value,)
        if len(items) > MAX_LAYERS or any(isinstance(item, int) and item > MAX_SIZE for item in items):
            raise BadCheckpoint(f"{path}: its config holds an impossible size", "get the file again")
    if isinstance(config[6], int) and config[6] > MAX_LAYERS:
        raise BadCheckpoint(f"{path}: its config asks for {config[6]} layers", "get the file again")


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


def _truth(value: Any) -> bool:
    return value.strip().lower() in ("1", "true", "yes") if isinstance(value, str) else bool(value)


def _info_of(content: Mapping) -> str:
    """`info`, or what Applio writes in its place: the epoch."""
    return str(content.get("info") or content.get("epoch") or "")


def _encoder_of(content: Mapping) -> str | None:
    """Our record, else Applio's when it is not ContentVec."""
    if content.get("encoder"):
        return str(content["encoder"])
    embedder = str(content.get("embedder_model") or "")
    return None if embedder.lower() in _CONTENTVEC else f"embedder:{embedder}"


def _extra_of(content: Mapping) -> dict[str, Any]:
    known = (*_RVC_KEYS, *_OUR_KEYS)
    return {str(k): v for k, v in content.items() if k not in known and _is_plain(v)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
