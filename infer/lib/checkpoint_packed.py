"""Weights at a byte each: int8 with one fp16 scale for every slice of axis 0, everything small in fp16.

`<name>` is int8 [N, ...], `<name>.scale` fp16 [N]; the weight is their product. Vectors, weight norm's
`weight_g` and what has a single slice stay fp16. The rounding error is 0.65 % of a weight's
size (root mean square, the starter encoder); `tools.starter.compare_int8` tells what it does to the output.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from infer.lib.checkpoint_weights import Tensors, all_finite
from infer.lib.errors import BadCheckpoint
from infer.lib.packed_layout import RESTORE, SCALE

LIMIT = 127
_LEAST_SLICE = 4  # values; below that the scale is no saving


def packed(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Float tensors as they are stored. Raises ValueError for values that are not finite or beyond fp16."""
    stored: Tensors = {}
    for name, tensor in tensors.items():
        wide = tensor.detach().to("cpu", torch.float32)
        if name.endswith(SCALE) or not all_finite(wide):
            raise ValueError(f"{name} cannot be packed: its name is reserved, or its values are not finite")
        if _is_rounded(wide):
            stored[name], stored[name + SCALE] = _rounded(wide)
        else:
            stored[name] = wide.to(torch.float16).contiguous()
            if not torch.isfinite(stored[name]).all():
                raise ValueError(f"{name} holds values beyond fp16")
    return stored


def unpacked(stored: Mapping[str, torch.Tensor], path: Path) -> Tensors:
    """The tensors in fp32. Raises BadCheckpoint naming `path` for one that `packed` could not have made."""
    tensors: Tensors = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE):
            if stored.get(name.removesuffix(SCALE), tensor).dtype != torch.int8:
                raise BadCheckpoint(f"{path} holds {name} without its tensor", RESTORE)
        elif tensor.dtype == torch.int8:
            tensors[name] = tensor.float().mul_(_scale_of(name, tensor, stored, path))
        elif tensor.dtype == torch.float16 and all_finite(wide := tensor.float()):
            tensors[name] = wide
        else:
            raise BadCheckpoint(f"{path} holds {name} as {tensor.dtype}, or with values that are no numbers")
    return tensors


def rounding_error(tensors: Mapping[str, torch.Tensor], restored: Mapping[str, torch.Tensor]) -> dict:
    """Name -> size of the difference relative to the tensor's own (root mean square), of both."""
    return {
        name: float((restored[name] - tensor.float()).norm() / tensor.float().norm().clamp_min(1e-30))
        for name, tensor in tensors.items()
    }


def _is_rounded(tensor: torch.Tensor) -> bool:
    return tensor.dim() > 1 and tensor.shape[0] > 1 and tensor[0].numel() >= _LEAST_SLICE


def _rounded(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 values of the tensor's shape and their scales [N]: the largest value of a slice becomes 127.

    Measured: scales that clip it and round the rest more finely gain nothing (0.650 % against 0.651 %).
    """
    rows = tensor.flatten(1)
    scales = (rows.abs().amax(1) / LIMIT).to(torch.float16)
    if not torch.isfinite(scales).all():
        raise ValueError("the values are beyond fp16")
    scales[scales == 0] = 1  # a slice of zeros
    values = (rows / scales.float()[:, None]).round().clamp(-LIMIT, LIMIT).to(torch.int8)
    return values.view(tensor.shape), scales


def _scale_of(name: str, tensor: torch.Tensor, stored: Mapping, path: Path) -> torch.Tensor:
    """[N, 1, ...] float32."""
    scale = stored.get(name + SCALE)
    fits = scale is not None and scale.dtype == torch.float16 and tensor.dim() > 1
    if not fits or scale.shape != tensor.shape[:1]:
        raise BadCheckpoint(f"{path} lacks the scales of {name}, or they do not fit", RESTORE)
    if not (torch.isfinite(scale) & (scale > 0)).all():
        raise BadCheckpoint(f"{path} holds scales of {name} that are no positive numbers", RESTORE)
    return scale.float().view(-1, *(1,) * (tensor.dim() - 1))
