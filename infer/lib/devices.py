"""Which GPU to use, in which precision, and how long the pieces of a conversion may be.

The rules are those of RVC 2.3. torch is imported inside `gpus()` alone, so commands stay light.
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from infer.lib.errors import NoDevice

GIB = 1024**3
LEAST_MEMORY_GIB = 4  # smaller cards are not chosen by themselves
LEAST_CAPABILITY = (5, 3)
LAST_SLOW_HALF = (6, 1)  # Pascal consumer cards: fp16 at 1/64 of the fp32 speed
WORKER_RAM_GIB, SPARE_RAM_GIB, MOST_WORKERS = 1.0, 1.5, 16


@dataclass(frozen=True)
class ChunkPlan:
    """Seconds: context on both sides, search range for a quiet point, piece length, longest unsplit."""

    x_pad: float
    x_query: float
    x_center: float
    x_max: float


HALF_PLAN = ChunkPlan(3, 10, 60, 65)
FULL_PLAN = ChunkPlan(1, 6, 38, 41)
SMALL_PLAN = ChunkPlan(1, 5, 30, 32)


@dataclass(frozen=True)
class Gpu:
    """One CUDA device of this machine. `built_for`: the installed torch has code for it."""

    index: int
    name: str
    capability: tuple[int, int]
    memory_gib: float
    built_for: bool = True

    @property
    def device(self) -> str:
        return f"cuda:{self.index}"

    @property
    def whole_gib(self) -> int:
        """The size on the box: a "4 GB" card reports a little less."""
        return int(self.memory_gib + 0.4)

    @property
    def runs(self) -> bool:
        return self.built_for and self.capability >= LEAST_CAPABILITY

    @property
    def usable(self) -> bool:
        """May be chosen automatically."""
        return self.runs and self.whole_gib >= LEAST_MEMORY_GIB

    @property
    def half_is_fine(self) -> bool:
        """fp16 is slow up to SM 6.1 and gives NaN on the GTX 16 series."""
        return self.capability > LAST_SLOW_HALF and not re.search(r"GTX\s*16\d\d", self.name)

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.device} {self.name} ({self.memory_gib:.0f} GiB, compute capability {major}.{minor})"


def gpus() -> list[Gpu]:
    """The CUDA devices of this machine as torch sees them; empty on a CPU build."""
    import torch  # slow to import, and not needed with --device=cpu

    if not torch.cuda.is_available():
        return []
    built = torch.cuda.get_arch_list()
    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        capability = (facts.major, facts.minor)
        memory_gib = facts.total_memory / GIB
        found.append(Gpu(index, facts.name, capability, memory_gib, has_code_for(capability, built)))
    return found


def has_code_for(capability: tuple[int, int], built: list[str]) -> bool:
    """`built` as in torch.cuda.get_arch_list(): sm_XY runs on X.Y and later X.*; compute_XY on all later."""
    for arch in built:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch)
        if not match:
            continue
        target = (int(match[2]), int(match[3]))
        if target <= capability and (match[1] == "compute" or target[0] == capability[0]):
            return True
    return not built


def choose(wanted: str, found: list[Gpu]) -> Gpu | None:
    """The GPU meant by "auto", "cuda", "cuda:1" or "1"; None is the CPU. Raises NoDevice."""
    if wanted == "cpu":
        return None
    if wanted == "auto":
        return max((gpu for gpu in found if gpu.usable), key=_strength, default=None)
    match = re.fullmatch(r"(?:cuda:)?(\d+)|cuda|gpu", wanted)
    if not match:
        raise NoDevice(f"the device {wanted!r} is unknown", "use auto, cpu, or cuda:0, cuda:1 and so on")
    if match[1] is None:
        gpu = max(found, key=_strength, default=None)
    else:
        gpu = next((gpu for gpu in found if gpu.index == int(match[1])), None)
    if gpu is None:
        raise NoDevice(f"the device {wanted} does not exist on this machine", listing(found))
    if not gpu.runs:
        raise NoDevice(f"the installed torch cannot compute on {gpu}", "use another device or --device=cpu")
    return gpu


def listing(found: list[Gpu]) -> str:
    """What can be chosen, by name."""
    if not found:
        return "torch sees no GPU here, so only --device=cpu works"
    return "choose one of " + ", ".join(map(str, found)) + ", or cpu"


def conversion_precision(gpu: Gpu | None) -> str:
    """ "fp16" or "fp32"."""
    return "fp16" if gpu and gpu.half_is_fine else "fp32"


def training_precision(gpu: Gpu | None) -> str:
    """bf16 where the hardware has it (no overflow, hence no loss scaling), else as for conversion."""
    return "bf16" if gpu and gpu.capability >= (8, 0) else conversion_precision(gpu)


def chunk_plan(gpu: Gpu | None, precision: str) -> ChunkPlan:
    """Long pieces need memory: half precision affords the longest."""
    if gpu and gpu.whole_gib <= LEAST_MEMORY_GIB:
        return SMALL_PLAN
    return FULL_PLAN if gpu is None or precision == "fp32" else HALF_PLAN


def worker_count() -> int:
    """Processes for preprocessing and pitch, bounded by cores and by free memory."""
    room = int((free_ram_gib() - SPARE_RAM_GIB) / WORKER_RAM_GIB)
    return max(1, min(core_count(), room, MOST_WORKERS))


def core_count() -> int:
    """Cores this process may use (a container may allow fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_ram_gib() -> float:
    """Memory that can be used now, in GiB; a container's limit counts."""
    if sys.platform == "win32":
        return _windows_ram().free / GIB
    amounts = [amount for amount in (_linux_ram("MemAvailable"), _container_free_ram()) if amount is not None]
    return min(amounts, default=8 * GIB) / GIB


def total_ram_gib() -> float:
    """Memory of this machine, or of the container, in GiB."""
    if sys.platform == "win32":
        return _windows_ram().total / GIB
    amounts = [amount for amount in (_linux_ram("MemTotal"), _container_value("max")) if amount is not None]
    return min(amounts, default=8 * GIB) / GIB


def _strength(gpu: Gpu) -> tuple:
    return gpu.capability, gpu.memory_gib


def _linux_ram(name: str) -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _container_free_ram() -> int | None:
    limit, used = _container_value("max"), _container_value("current")
    return None if limit is None or used is None else limit - used


def _container_value(name: str) -> int | None:
    """Bytes; None without a container or without a limit ("max")."""
    try:
        return int(Path("/sys/fs/cgroup", f"memory.{name}").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _windows_ram():
    """`total` and `free` in bytes."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "free", "page_total", "page_free", "virtual", "virtual_free", "extended")
        ]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status
