"""Training checkpoints (`G_*.pth`, `D_*.pth`): their content, their optimizer, the voice inside.

An optimizer state knows parameters by number only, and RVC 2.2 and 2.3 number those of a v2 generator
differently: 2.3 puts the text encoder last. Our order is that of 2.2.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from infer.lib.checkpoint_layout import without_prefix
from infer.lib.checkpoint_shapes import count_of, kernels_of
from infer.lib.checkpoint_voice import VoiceFile
from infer.lib.checkpoint_weights import Tensors, fitting_weights, shown_names, widened
from infer.lib.errors import BadCheckpoint
from infer.lib.models.spec import N_SPEAKERS, ModelSpec

RVC_KEYS = ("model", "iteration", "optimizer", "learning_rate")
# The parts of a generator in the order of their parameters.
PART_ORDERS = (
    ("enc_p", "dec", "enc_q", "flow", "emb_g"),  # RVC 2.2, ours
    ("dec", "enc_q", "flow", "emb_g", "enc_p"),  # RVC 2.3, v2
)
_MOMENTS = "exp_avg"
_DISCRIMINATOR = r"discriminators\.(\d+)\."


@dataclass(frozen=True)
class TrainingCheckpoint:
    """One network in training, as stored. `iteration` is the epoch that was saved.

    `optimizer` is an AdamW state dict ({} if the file has none), `learning_rate` the initial one.
    `extra` holds what we add: plain values, lists, dicts and tensors.
    """

    model: Tensors
    iteration: int
    optimizer: dict = field(default_factory=dict)
    learning_rate: float = 1e-4
    extra: dict[str, Any] = field(default_factory=dict)


def training_from_content(content: Mapping, path: Path) -> TrainingCheckpoint:
    """The checkpoint in the content of a file. Raises BadCheckpoint naming `path`."""
    optimizer = content.get("optimizer")
    iteration, rate = content.get("iteration", 0), content.get("learning_rate", 1e-4)
    if not isinstance(iteration, int) or not isinstance(rate, int | float):
        raise BadCheckpoint(f"{path} has no readable epoch or learning rate", "use another save")
    return TrainingCheckpoint(
        model=network_tensors(content, path),
        iteration=iteration,
        optimizer=dict(optimizer) if isinstance(optimizer, Mapping) else {},
        learning_rate=float(rate),
        extra={str(key): value for key, value in content.items() if key not in RVC_KEYS},
    )


def network_tensors(content: Mapping, path: Path) -> Tensors:
    """The `model` entry: fp32, finite, plain names. Raises BadCheckpoint."""
    tensors = without_prefix(content.get("model", content))
    odd = [name for name, tensor in tensors.items() if not isinstance(tensor, torch.Tensor)]
    if odd:
        raise BadCheckpoint(
            f"{path} holds something else than tensors ({shown_names(odd)})", "use another save"
        )
    return {name: widened(tensor, name, path) for name, tensor in tensors.items()}


def training_content(checkpoint: TrainingCheckpoint) -> dict:
    """What is stored: RVC's four entries, then ours, everything on the CPU.

    Raises BadCheckpoint when the network holds values that are not finite, so that a broken
    run never replaces a good file, and TypeError for an extra that could not be read back.
    """
    for name, tensor in checkpoint.model.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BadCheckpoint(f"{name} is no longer finite", "the checkpoint was not written")
    if clash := set(RVC_KEYS) & set(checkpoint.extra):
        raise TypeError(f"extra entries may not be called {sorted(clash)}")
    content = {
        "model": without_prefix(checkpoint.model),
        "iteration": int(checkpoint.iteration),
        "optimizer": checkpoint.optimizer,
        "learning_rate": float(checkpoint.learning_rate),
        **checkpoint.extra,
    }
    return {key: _storable(value, key) for key, value in content.items()}


def load_matching(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Copies every tensor that fits into `module`; returns the names that keep their fresh values.

    This is how RVC resumes: a tensor that is missing or has another shape is no error.
    """
    given = without_prefix(tensors)
    fresh = []
    with torch.no_grad():
        for name, own in module.state_dict().items():
            if name in given and given[name].shape == own.shape:
                own.copy_(given[name])
            else:
                fresh.append(name)
    return fresh


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copies exactly the tensors of `module`. Raises BadCheckpoint saying what does not fit and why."""
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    surplus = [name for name in tensors if name not in own]
    wrong = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing or surplus or wrong:
        raise BadCheckpoint(
            f"{path} does not fit the network to train: {_misfit(own, tensors, missing, surplus, wrong)}",
            "choose the base of the same version, sample rate and pitch guidance, or train without one",
        )
    load_matching(module, tensors)


def optimizer_by_name(state: Mapping, orders: Iterable[Mapping[str, tuple]]) -> dict[str, dict]:
    """Parameter name -> its part of an AdamW state dict.

    `orders` are the possible orders of the parameters, each as name -> shape; the one that fits the
    shapes of the moments best is taken. Entries whose shape differs from their parameter's are left
    out. Raises BadCheckpoint when hardly anything fits.
    """
    numbers = [number for group in state.get("param_groups", ()) for number in group["params"]]
    moments = state.get("state", {})
    entries = [moments.get(number) for number in numbers]
    known = [entry for entry in entries if entry]
    best: dict[str, dict] = {}
    for order in orders:
        fitting = {
            name: entry
            for (name, shape), entry in zip(order.items(), entries, strict=False)
            if entry and _MOMENTS in entry and tuple(entry[_MOMENTS].shape) == tuple(shape)
        }
        best = max(best, fitting, key=len)
    if len(best) * 2 < len(known):
        raise BadCheckpoint("the optimizer state belongs to another network", "train on without it")
    return best


def map_optimizer(state: Mapping, parameters: Mapping[str, tuple]) -> tuple[dict, list[str]]:
    """An optimizer state renumbered for `parameters` (name -> shape, in the order of our optimizer).

    Understands the orders of RVC 2.2 and 2.3. Returns the state for `load_state_dict` of an optimizer
    with one group, and the names of the parameters that start without a state.
    """
    if not state.get("param_groups"):
        return {}, list(parameters)
    orders = [parameters, *(_reordered(parameters, parts) for parts in PART_ORDERS)]
    by_name = optimizer_by_name(state, orders)
    names = list(parameters)
    settings = {k: v for k, v in state["param_groups"][0].items() if k not in ("params", "param_names")}
    mapped = {
        "state": {number: by_name[name] for number, name in enumerate(names) if name in by_name},
        "param_groups": [{**settings, "params": list(range(len(names)))}],
    }
    return mapped, [name for name in names if name not in by_name]


def named_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the parameters, in the order an optimizer over `module.parameters()` has."""
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def voice_from_training(
    checkpoint: TrainingCheckpoint,
    spec: ModelSpec,
    info: str = "",
    encoder: str | None = None,
    *,
    fill_unvoiced: bool = False,
    extra: dict[str, Any] | None = None,
    source: Path = Path("the checkpoint"),
) -> VoiceFile:
    """The voice inside a generator's checkpoint: without the posterior encoder, checked against `spec`."""
    model = without_prefix(checkpoint.model)
    if "emb_g.weight" in model and len(model["emb_g.weight"]) != spec.n_speakers:
        spec = dataclasses.replace(spec, n_speakers=len(model["emb_g.weight"]))
    weights, fused = fitting_weights(model, spec, source)
    return VoiceFile(spec, weights, info, encoder, fill_unvoiced, dict(extra or {}), fused)


def _reordered(parameters: Mapping[str, tuple], parts: tuple[str, ...]) -> dict[str, tuple]:
    """The same parameters with their top-level parts in another order."""
    place = {part: number for number, part in enumerate(parts)}
    names = sorted(parameters, key=lambda name: place.get(name.partition(".")[0], len(parts)))
    return {name: parameters[name] for name in names}


def _misfit(own: Mapping, given: Mapping, missing: list, surplus: list, wrong: list) -> str:
    """Why a base does not fit, in the user's words where the tensor tells them."""
    if "enc_p.emb_phone.weight" in wrong:
        dims = [tensors["enc_p.emb_phone.weight"].shape[1] for tensors in (given, own)]
        return f"it is for {dims[0]}-wide content features, the network for {dims[1]} (v1: 256, v2: 768)"
    if "enc_p.emb_pitch.weight" in missing + surplus:
        has, needs = ("without", "with") if "enc_p.emb_pitch.weight" in missing else ("with", "without")
        return f"it is {has} pitch guidance, the network {needs}"
    if "emb_g.weight" in wrong:
        return (
            f"it has {len(given['emb_g.weight'])} speakers, the network {len(own['emb_g.weight'])}"
            f" (published bases have {N_SPEAKERS})"
        )
    for what, one, two in (
        ("discriminators", count_of(given, _DISCRIMINATOR), count_of(own, _DISCRIMINATOR)),
        ("upsampling kernels", kernels_of(given), kernels_of(own)),
    ):
        if one != two:
            return f"it has the {what} {one}, the network {two}, so version or sample rate differ"
    if wrong:
        return f"{wrong[0]} is {list(given[wrong[0]].shape)}, the network needs {list(own[wrong[0]].shape)}"
    if surplus:
        return f"it has {len(surplus)} more tensors ({shown_names(surplus)})"
    return f"{len(missing)} tensors are missing ({shown_names(missing)})"


def _storable(value: Any, where: str) -> Any:
    """The value with tensors on the CPU and without the rest of a larger storage; plain types only."""
    if isinstance(value, torch.Tensor):
        own = value.detach().cpu()
        return own if own.untyped_storage().nbytes() == own.nbytes else own.clone()
    if isinstance(value, Mapping):
        return {_storable(key, where): _storable(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item, where) for item in value]
    for kind in (bool, int, float, str):  # a NumPy scalar may be a float, but is pickled as NumPy's
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    raise TypeError(f"{where} holds a {type(value).__name__}, which could not be read back safely")
