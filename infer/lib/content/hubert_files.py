"""The two file families of HuBERT, read into one form: Transformers' names, sizes, normalisation.

`hubert_base.pt` is a fairseq checkpoint (RVC 2.2); the other family is a Transformers folder
(RVC 2.3, Applio). Shapes are equal in both and nothing is transposed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from infer.lib import checkpoint
from infer.lib.encoder_choice import WEIGHT_FILES
from infer.lib.errors import BadCheckpoint, MissingFile

CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
HEAD_DIM = 64  # of every HuBERT base model; a file that says otherwise wins

# fairseq's name -> Transformers', first match wins. Mind the two `layer_norm`: at the top level it is the
# 512-wide one before the projection, inside a block the one after attention.
_RENAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.weight", r"feature_extractor.conv_layers.\1.conv.weight"),
    (r"feature_extractor\.conv_layers\.0\.2\.(.+)", r"feature_extractor.conv_layers.0.layer_norm.\1"),
    (r"layer_norm\.(.+)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(.+)", r"feature_projection.projection.\1"),
    (r"encoder\.pos_conv\.0\.(.+)", r"encoder.pos_conv_embed.conv.\1"),
    (r"encoder\.layers\.(\d+)\.self_attn\.(.+)", r"encoder.layers.\1.attention.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.+)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.+)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.+)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
)
_UNUSED = ("mask_emb", "masked_spec_embed", "label_embs_concat")
# Newer torch stores the two halves of weight norm under other names.
_PARAMETRIZED = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}

# What the network below is; a folder that says otherwise holds another network.
_FIXED_CONFIG = {
    "hidden_act": "gelu",
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "feat_proj_layer_norm": True,
    "do_stable_layer_norm": False,
    "conv_bias": False,
    "conv_pos_batch_norm": False,
    "conv_kernel": list(CONV_KERNELS),
    "conv_stride": list(CONV_STRIDES),
    "layer_norm_eps": 1e-5,
}
_HEADS_DEFAULT = 12


@dataclass(frozen=True)
class HubertShape:
    """The sizes of a HuBERT: all but the heads follow from the tensors."""

    conv_channels: int
    width: int
    inner: int
    n_blocks: int
    n_heads: int
    pos_kernel: int
    pos_groups: int


@dataclass(frozen=True)
class HubertFile:
    """A model as read: tensors under Transformers' names (weight norm as weight_g and weight_v)."""

    path: Path
    tensors: dict[str, torch.Tensor]
    shape: HubertShape
    normalize: bool


def read_hubert(path: Path) -> HubertFile:
    """A fairseq file or a Transformers folder. Raises MissingFile or BadCheckpoint."""
    path = Path(path)
    return read_folder(path) if path.is_dir() else read_fairseq(path)


def read_fairseq(path: Path) -> HubertFile:
    """RVC's `hubert_base.pt` and its relatives, without fairseq and without running anything from them."""
    state, info = checkpoint.read_hubert_pickle(path)
    tensors = {fairseq_to_transformers(name): tensor for name, tensor in state.items() if name not in _UNUSED}
    return HubertFile(path, tensors, _shape(tensors, path, info.get("heads")), bool(info.get("normalize")))


def read_folder(folder: Path) -> HubertFile:
    """A Transformers folder: config.json and model.safetensors or pytorch_model.bin."""
    config = _read_json(folder / "config.json")
    _check_config(config, folder / "config.json")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise MissingFile(
            f"{folder} holds neither {' nor '.join(WEIGHT_FILES)}", "copy the whole folder again"
        )
    tensors = _canonical(checkpoint.read_tensors(weights))
    shape = _shape(tensors, weights, config.get("num_attention_heads", _HEADS_DEFAULT))
    preprocessor = folder / "preprocessor_config.json"
    normalize = preprocessor.is_file() and bool(_read_json(preprocessor).get("do_normalize"))
    return HubertFile(folder, tensors, shape, normalize)


def fairseq_to_transformers(name: str) -> str:
    for pattern, replacement in _RENAMES:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return name


def _canonical(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One naming for a Transformers state dict, whatever wrote it; a `hubert.` prefix goes."""
    out = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("hubert.")
        for new, old in _PARAMETRIZED.items():
            name = name.replace(new, old)
        if name not in _UNUSED:
            out[name] = tensor
    return out


def _shape(tensors: dict[str, torch.Tensor], path: Path, heads: int | None) -> HubertShape:
    try:
        direction = tensors["encoder.pos_conv_embed.conv.weight_v"]
        width, per_group, kernel = direction.shape
        if tensors["encoder.pos_conv_embed.conv.weight_g"].shape != (1, 1, kernel):
            raise BadCheckpoint(f"{path} normalises its positional convolution in an unknown way")
        blocks = {int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layers.")}
        return HubertShape(
            conv_channels=tensors["feature_extractor.conv_layers.0.conv.weight"].shape[0],
            width=width,
            inner=tensors["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0],
            n_blocks=max(blocks) + 1,
            n_heads=_heads(heads, width, path),
            pos_kernel=kernel,
            pos_groups=width // per_group,
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise BadCheckpoint(f"{path} is no HuBERT base model: {error}", "download the file again") from error


def _heads(heads: int | None, width: int, path: Path) -> int:
    heads = heads or max(width // HEAD_DIM, 1)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise BadCheckpoint(f"{path} asks for {heads} attention heads at a width of {width}")
    return heads


def _check_config(config: dict, path: Path) -> None:
    for key, wanted in _FIXED_CONFIG.items():
        found = config.get(key, wanted)
        if found != wanted:
            raise BadCheckpoint(
                f"{path} describes another network: {key} is {found!r} instead of {wanted!r}",
                "RVC needs a HuBERT base model",
            )


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise MissingFile(f"{path} is missing", "copy the whole folder of the model")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadCheckpoint(f"{path} is not JSON ({error})", "copy it again") from error
    if not isinstance(values, dict):
        raise BadCheckpoint(f"{path} holds no settings", "copy it again")
    return values
