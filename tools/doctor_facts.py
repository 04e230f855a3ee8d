"""The doctor's numbers for programs: what the page shows of this machine without loading torch itself."""

import dataclasses
import shutil
from typing import Any

import config
from infer.lib import devices
from infer.lib.errors import RvcError


def facts() -> dict[str, Any]:
    """JSON values: gpus, memory and disk in GiB, and for each device what config.py comes to with it."""
    gpus, disk = _gpus(), shutil.disk_usage(config.ROOT)
    return {
        "gpus": [describe(gpu) for gpu in gpus],
        "ram_gib": devices.total_ram_gib(),
        "free_ram_gib": devices.free_ram_gib(),
        "disk_gib": disk.total / devices.GIB,
        "free_disk_gib": disk.free / devices.GIB,
        "settings": {
            device: found
            for device in ("auto", "cpu", *(gpu.device for gpu in gpus if gpu.runs))
            if (found := _settings(device))
        },
    }


def describe(gpu: devices.Gpu) -> dict[str, Any]:
    """A GPU's name, size and free memory in GiB, and whether it may be chosen."""
    return {
        "device": gpu.device,
        "name": gpu.name,
        "capability": "{}.{}".format(*gpu.capability),
        "memory_gib": gpu.memory_gib,
        "free_gib": free_gpu_gib(gpu),
        "runs": gpu.runs,
        "usable": gpu.usable,
        "problem": why_not(gpu),
    }


def why_not(gpu: devices.Gpu) -> str:
    """The reason against a GPU; empty if it is chosen by itself."""
    if not gpu.built_for:
        return "this build of torch has no code for it; start go-web --gpu once to choose the build again"
    if not gpu.runs:
        return "too old: compute capability 5.3 or later is needed"
    return "" if gpu.usable else f"not chosen by itself, it has less than {devices.LEAST_MEMORY_GIB} GiB"


def free_gpu_gib(gpu: devices.Gpu) -> float | None:
    """Memory that no program uses now; None if the driver does not say."""
    if not gpu.runs:
        return None
    import torch  # a GPU was found with it

    try:
        return torch.cuda.mem_get_info(gpu.index)[0] / devices.GIB
    except RuntimeError:
        return None


def _gpus() -> list[devices.Gpu]:
    try:
        return devices.gpus()
    except (ImportError, OSError):
        return []  # the doctor names it


def _settings(device: str) -> dict[str, Any] | None:
    """None where the device, or what was written into config.py, cannot be used."""
    try:
        settings = config.settings() if device == "auto" else config.settings(device=device)
    except (RvcError, ImportError, OSError):
        return None
    names = ("device", "precision", "training_precision", "workers", "x_pad", "x_query", "x_center", "x_max")
    return {name: value for name, value in dataclasses.asdict(settings).items() if name in names}
