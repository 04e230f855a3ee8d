"""Tensors of a network in a file: are they all there, do they fit, are they numbers."""

import functools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from infer.lib.errors import BadCheckpoint
from infer.lib.models.spec import ModelSpec
from infer.lib.models.synthesizer import Synthesizer
from infer.lib.models.unfilled import unfilled

log = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]

POSTERIOR = "enc_q."


@functools.lru_cache(maxsize=8)
def expected_shapes(spec: ModelSpec, posterior: bool = False) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the network, in its order. Nothing is allocated."""
    with unfilled():
        network = Synthesizer(spec, posterior=posterior)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def fitting_weights(raw: Mapping, spec: ModelSpec, path: Path) -> tuple[Tensors, frozenset[str]]:
    """The tensors of `spec`'s network out of `raw`, fp32 on the CPU, and the layers that were fused.

    The posterior encoder and unknown tensors are left out. Raises BadCheckpoint when one is missing,
    has another shape, or is not finite.
    """
    expected = expected_shapes(spec)
    layers = {name.removesuffix(".weight_v") for name in expected if name.endswith(".weight_v")}
    fused = frozenset(layer for layer in layers if f"{layer}.weight" in raw)
    shapes = _stored_shapes(expected, fused)
    _check_shapes(raw, shapes, spec, path)
    weights: Tensors = {}
    for name in (name for name in raw if name in shapes):
        layer = name.removesuffix(".weight")
        tensor = widened(raw[name], name, path)
        if layer in fused:
            weights |= {f"{layer}.weight_g": norms(tensor), f"{layer}.weight_v": tensor}
        else:
            weights[name] = tensor
    ignored = [name for name in raw if name not in shapes and not name.startswith(POSTERIOR)]
    if ignored:
        log.warning("%s: %d tensors of no use were left out, such as %s", path, len(ignored), ignored[0])
    return weights, fused


def widened(tensor: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    """The tensor in fp32 on the CPU. Raises BadCheckpoint if a value is not finite."""
    wide = tensor.detach().to(torch.float32).contiguous()
    if not all_finite(wide):
        raise BadCheckpoint(
            f"{path} holds values in {name} that are not numbers",
            "its training went wrong; use an earlier save",
        )
    return wide


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether every value of a float tensor is a finite number."""
    # The sum of a tensor with NaN or infinity is never finite; the full look takes five times as long.
    return bool(torch.isfinite(tensor.sum()) or torch.isfinite(tensor).all())


def is_weight(tensor: Any) -> bool:
    """True for a dense float tensor with values; stops tensors that only pretend to have a size."""
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.is_floating_point()
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
    )


def fused_weight(weights: Mapping, layer: str) -> torch.Tensor:
    """The weight that a weight-normed layer applies."""
    direction = weights[f"{layer}.weight_v"]
    return direction * (weights[f"{layer}.weight_g"] / norms(direction))


def shown_names(names: Iterable[str], most: int = 3) -> str:
    """A few of many names, for a sentence."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def norms(direction: torch.Tensor) -> torch.Tensor:
    """Length over every axis but the first, as classic weight norm takes it: [n, 1, ...]."""
    return torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.dim())), keepdim=True)


def _check_shapes(raw: Mapping, shapes: Mapping, spec: ModelSpec, path: Path) -> None:
    missing = [name for name in shapes if name not in raw]
    wrong = [name for name in shapes if name in raw and not is_weight(raw[name])]
    wrong += [name for name in shapes if is_weight(raw.get(name)) and tuple(raw[name].shape) != shapes[name]]
    if not missing and not wrong:
        return
    kind = f"{spec.version}, {spec.rate_label}, {'with' if spec.use_f0 else 'without'} pitch"
    parts = []
    if missing:
        parts.append(f"{len(missing)} tensors are missing ({shown_names(missing)})")
    if wrong:
        told = f"{wrong[0]} should be {list(shapes[wrong[0]])} and is {_shape_text(raw[wrong[0]])}"
        parts.append(f"{len(wrong)} have another shape ({told})")
    raise BadCheckpoint(
        f"{path} does not hold the network it describes ({kind}): {' and '.join(parts)}",
        "the file is damaged or was made by an incompatible program",
    )


def _shape_text(tensor: Any) -> str:
    return str(list(tensor.shape)) if is_weight(tensor) else "no dense float tensor"


def _stored_shapes(expected: Mapping, fused: frozenset[str]) -> dict[str, tuple[int, ...]]:
    """The shapes as a file stores them in which the layers of `fused` have no weight norm."""
    shapes = {}
    for name, shape in expected.items():
        layer, _, part = name.rpartition(".")
        if layer not in fused or part not in ("weight_g", "weight_v"):
            shapes[name] = shape
        elif part == "weight_v":
            shapes[f"{layer}.weight"] = shape
    return shapes
