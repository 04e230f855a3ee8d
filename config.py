"""The settings of this machine: the file to edit.

"auto", 0 and None mean: decided from the GPU's memory and capability, the cores and the RAM.
A flag on the command line (--device=cpu) wins over this file. x_pad, x_query, x_center and
x_max stand at the end. Importing this file probes nothing.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.lib import devices
from infer.lib.errors import BadInput

DEVICE = "auto"  # "auto", "cpu", "cuda:0", "cuda:1", ...: where conversion, extraction and training run
PRECISION = "auto"  # of conversion: "auto", "fp16" or "fp32"
TRAINING_PRECISION = "auto"  # "auto", "bf16", "fp16" or "fp32"
WORKERS = 0  # processes for preprocessing and pitch; 0 = as many as cores and memory allow
PORT = 7865  # of the page

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"  # models: hubert/, rmvpe/, pretrained/, pretrained_v2/, starter/
LOGS = ROOT / "logs"  # one folder for each training experiment
WEIGHTS = ROOT / "weights"  # finished voices

PRECISIONS = ("fp16", "fp32")
TRAINING_PRECISIONS = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Settings:
    """Where things lie and what this machine computes with. The x_ values are seconds."""

    root: Path
    assets: Path
    logs: Path
    weights: Path
    device: str
    precision: str
    training_precision: str
    x_pad: float
    x_query: float
    x_center: float
    x_max: float
    workers: int
    port: int

    def __post_init__(self):
        for name, allowed in (("precision", PRECISIONS), ("training_precision", TRAINING_PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise BadInput(f"{name} is {getattr(self, name)!r}", f"use auto, {' or '.join(allowed)}")
        if not (self.x_pad > 0 and 0 < self.x_query < self.x_center <= self.x_max):
            plan = f"x_pad={self.x_pad} x_query={self.x_query} x_center={self.x_center} x_max={self.x_max}"
            raise BadInput(f"{plan} cannot work", "they need 0 < x_pad and 0 < x_query < x_center <= x_max")


def settings(**overrides: Any) -> Settings:
    """This machine's values; `overrides` (fields of Settings) win over this file. May raise NoDevice."""
    device, gpu = _device(overrides.get("device", DEVICE))
    precision = _unless_auto(overrides.get("precision", PRECISION), devices.conversion_precision, gpu)
    wanted = overrides.get("training_precision", TRAINING_PRECISION)
    plan = dataclasses.asdict(devices.chunk_plan(gpu, precision))
    edited = {"x_pad": x_pad, "x_query": x_query, "x_center": x_center, "x_max": x_max}
    values = {
        "root": ROOT,
        "assets": ASSETS,
        "logs": LOGS,
        "weights": WEIGHTS,
        "port": PORT,
        "workers": WORKERS,
        **plan,
        **{name: value for name, value in edited.items() if value is not None},
        **{name: value for name, value in overrides.items() if value is not None},
        "device": device,
        "precision": precision,
        "training_precision": _unless_auto(wanted, devices.training_precision, gpu),
    }
    values["workers"] = values["workers"] or devices.worker_count()
    return Settings(**values)


def settle(options: Any) -> Any:
    """A copy of a command's options with every "auto", 0 and None replaced by this machine's value.

    Looks at the fields device, precision, workers, assets, x_pad, x_query, x_center and x_max, as far
    as the options have them. A class with `precision_for = "training"` gets the training precision,
    and under torchrun the GPU of its rank. torch is imported only if a GPU may be meant.
    """
    names = {field.name for field in dataclasses.fields(options)}
    changes: dict[str, Any] = {}
    if "workers" in names and options.workers == 0:
        changes["workers"] = WORKERS or devices.worker_count()
    if "assets" in names and options.assets is None:
        changes["assets"] = ASSETS
    if "device" in names:
        changes |= _settled_device(options, names)
    return dataclasses.replace(options, **changes) if changes else options


def _settled_device(options: Any, names: set[str]) -> dict[str, Any]:
    training = getattr(options, "precision_for", "") == "training"
    wanted = options.device
    if wanted == "auto":
        wanted = (_rank_device() if training else None) or DEVICE
    device, gpu = _device(wanted)
    changes: dict[str, Any] = {"device": device}
    if "precision" in names and options.precision == "auto":
        configured = TRAINING_PRECISION if training else PRECISION
        rule = devices.training_precision if training else devices.conversion_precision
        changes["precision"] = _unless_auto(configured, rule, gpu)
    precision = changes.get("precision") or getattr(options, "precision", None)
    if "x_pad" in names:
        changes |= _settled_plan(options, device, precision)
    return changes


def _settled_plan(options: Any, device: str, precision: str | None) -> dict[str, Any]:
    plan = settings(device=device, precision=precision if precision in PRECISIONS else "auto")
    names = ("x_pad", "x_query", "x_center", "x_max")
    return {name: getattr(plan, name) for name in names if not getattr(options, name)}


def _device(wanted: str) -> tuple[str, devices.Gpu | None]:
    """("cpu", None) or ("cuda:N", its Gpu). Raises NoDevice for what this machine lacks."""
    gpu = None if wanted == "cpu" else devices.choose(wanted, devices.gpus())
    return (gpu.device if gpu else "cpu"), gpu


def _rank_device() -> str | None:
    """torchrun starts one process for each GPU and numbers them in LOCAL_RANK."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank and any(gpu.usable for gpu in devices.gpus()) else None


def _unless_auto(value: str | None, rule, gpu: devices.Gpu | None) -> str:
    return rule(gpu) if value in (None, "auto") else value


# Seconds. None = automatic: 3, 10, 60, 65 in half precision; 1, 6, 38, 41 in fp32 or on the CPU;
# 1, 5, 30, 32 on a GPU of at most 4 GB. Smaller values need less memory.
x_pad = None  # context on both sides of a piece
x_query = None  # how far around a cut a quiet point is looked for
x_center = None  # distance between cuts
x_max = None  # recordings up to this length are not cut
