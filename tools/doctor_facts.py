"""The doctor's numbers for programs: what the page shows of this machine without loading torch itself."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import config
from infer.lib import devices
from infer.lib.errors import RvcError
from tools.asset_list import GROUPS, SHOWN_GROUPS, Asset


def facts() -> dict[str, Any]:
    """JSON values: gpus, memory and disk in GiB, what config.py comes to (None where it cannot), models."""
    disk = shutil.disk_usage(config.ROOT)
    return {
        "gpus": [describe(gpu) for gpu in _gpus()],
        "ram_gib": devices.total_ram_gib(),
        "free_ram_gib": devices.free_ram_gib(),
        "disk_gib": disk.total / devices.GIB,
        "free_disk_gib": disk.free / devices.GIB,
        "settings": _settings(),
        "models": [state(group, config.ASSETS) for group in SHOWN_GROUPS],
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


def state(group: str, assets: Path) -> dict[str, Any]:
    """How much of a group of models is there. `short`: files that are not complete."""
    wanted = GROUPS[group]
    there = [asset for asset in wanted if (assets / asset.place).is_file()]
    return {
        "name": group,
        "there": len(there),
        "wanted": len(wanted),
        "short": len(incomplete(there, assets)),
        "bytes": sum(asset.size for asset in wanted),
    }


def incomplete(there: list[Asset], assets: Path) -> list[Asset]:
    """Files whose size is not the published one."""
    return [asset for asset in there if asset.size and (assets / asset.place).stat().st_size != asset.size]


def _gpus() -> list[devices.Gpu]:
    try:
        return devices.gpus()
    except (ImportError, OSError):
        return []  # the doctor names it


def _settings() -> dict[str, Any] | None:
    try:
        settings = config.settings()
    except (RvcError, ImportError, OSError):
        return None
    names = ("device", "precision", "training_precision", "workers", "x_pad", "x_query", "x_center", "x_max")
    return {name: value for name, value in dataclasses.asdict(settings).items() if name in names}
