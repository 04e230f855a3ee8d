"""config.py and the device rules, with made-up GPUs."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

import config
from infer.lib import devices
from infer.lib.devices import Gpu
from infer.lib.errors import BadInput, NoDevice

ROOT = Path(config.__file__).parent
H200 = ("NVIDIA H200", (9, 0), 139.7)
A6000 = ("NVIDIA RTX A6000", (8, 6), 47.5)
V100 = ("Tesla V100-SXM2-16GB", (7, 0), 15.8)
GTX1660 = ("NVIDIA GeForce GTX 1660 Ti", (7, 5), 5.8)
P100 = ("Tesla P100-PCIE-16GB", (6, 0), 15.9)
P40 = ("Tesla P40", (6, 1), 22.4)
GTX1650 = ("NVIDIA GeForce GTX 1650", (7, 5), 3.8)
RTX3050 = ("NVIDIA GeForce RTX 3050", (8, 6), 3.8)
TINY = ("NVIDIA T400", (7, 5), 1.9)
K80 = ("Tesla K80", (3, 7), 11.2)


@dataclass(frozen=True)
class Converting:
    device: str = "auto"
    precision: str = "auto"
    workers: int = 0
    x_pad: float | None = None
    x_query: float | None = None
    x_center: float | None = None
    x_max: float | None = None


@dataclass(frozen=True)
class Training:
    precision_for: ClassVar[str] = "training"
    device: str = "auto"
    precision: str = "auto"


@pytest.fixture
def machine(monkeypatch):
    """`machine(H200, P40)`: torch sees these cards, in this order."""
    torch = pytest.importorskip("torch")

    def install(*cards, built=("sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")):
        def facts(index):
            name, (major, minor), gib = cards[index]
            return SimpleNamespace(name=name, major=major, minor=minor, total_memory=int(gib * 1024**3))

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(built))
        monkeypatch.setattr(torch.cuda, "get_device_properties", facts)

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return install


@pytest.mark.parametrize(
    ("cards", "device", "precision", "training", "pads"),
    [
        ([], "cpu", "fp32", "fp32", (1, 6, 38, 41)),
        ([H200], "cuda:0", "fp16", "bf16", (3, 10, 60, 65)),
        ([P40, V100, A6000], "cuda:2", "fp16", "bf16", (3, 10, 60, 65)),
        ([V100], "cuda:0", "fp16", "fp16", (3, 10, 60, 65)),
        ([P40], "cuda:0", "fp32", "fp32", (1, 6, 38, 41)),
        ([P100], "cuda:0", "fp32", "fp32", (1, 6, 38, 41)),
        ([GTX1660], "cuda:0", "fp32", "fp32", (1, 6, 38, 41)),
        ([GTX1650], "cuda:0", "fp32", "fp32", (1, 5, 30, 32)),
        ([RTX3050], "cuda:0", "fp16", "bf16", (1, 5, 30, 32)),
        ([TINY, K80], "cpu", "fp32", "fp32", (1, 6, 38, 41)),
    ],
)
def test_automatic_values(machine, cards, device, precision, training, pads):
    machine(*cards)
    chosen = config.settings()
    assert (chosen.device, chosen.precision, chosen.training_precision) == (device, precision, training)
    assert (chosen.x_pad, chosen.x_query, chosen.x_center, chosen.x_max) == pads
    assert chosen.workers >= 1
    assert chosen.assets == ROOT / "assets"


def test_of_equal_cards_the_larger_wins(machine):
    machine(("A", (8, 6), 10), ("B", (8, 6), 24), ("C", (8, 6), 12))
    assert config.settings().device == "cuda:1"


def test_a_missing_gpu_names_those_present(machine):
    machine(P40, H200)
    with pytest.raises(NoDevice) as caught:
        config.settings(device="cuda:7")
    text = str(caught.value)
    assert "cuda:7" in text
    assert "cuda:0 Tesla P40" in text
    assert "cuda:1 NVIDIA H200 (140 GiB, compute capability 9.0)" in text


def test_without_a_gpu_only_cpu_is_offered(machine):
    machine()
    with pytest.raises(NoDevice, match="--device=cpu"):
        config.settle(Converting(device="cuda:0"))


def test_an_old_gpu_names_its_compute_capability(machine):
    machine(K80)
    with pytest.raises(NoDevice, match=r"Tesla K80.*compute capability 3\.7"):
        config.settings(device="cuda:0")


def test_a_gpu_without_code_in_this_torch_is_not_chosen(machine):
    machine(P40, built=("sm_75", "sm_80", "sm_90", "sm_120", "compute_120"))
    assert config.settings().device == "cpu"
    with pytest.raises(NoDevice, match=r"compute capability 6\.1"):
        config.settings(device="cuda")


def test_an_unknown_device_is_refused(machine):
    machine(H200)
    with pytest.raises(NoDevice, match="tpu"):
        config.settings(device="tpu")


@pytest.mark.parametrize("wanted", ["1", "cuda:1"])
def test_a_small_gpu_can_be_named(machine, wanted):
    machine(H200, TINY)
    assert config.settings(device=wanted).device == "cuda:1"
    assert config.settings(device=wanted).x_max == 32


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 9), ["sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((12, 0), ["sm_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 0), [], True),
    ],
)
def test_architectures(capability, built, runs):
    assert devices.has_code_for(capability, built) is runs


def test_settle_fills_what_is_automatic(machine):
    machine(H200)
    settled = config.settle(Converting())
    assert (settled.device, settled.precision) == ("cuda:0", "fp16")
    assert settled.workers >= 1
    assert (settled.x_pad, settled.x_max) == (3, 65)


def test_settle_keeps_what_was_chosen(machine):
    machine(H200)
    settled = config.settle(Converting(device="cpu", precision="fp32", workers=3, x_max=50))
    assert settled == Converting("cpu", "fp32", 3, 1, 6, 38, 50)


def test_the_plan_follows_the_precision_asked_for(machine):
    machine(H200)
    assert config.settle(Converting(precision="fp32")).x_pad == 1


def test_training_has_its_own_precision(machine):
    machine(H200)
    assert config.settle(Training()) == Training("cuda:0", "bf16")
    assert config.settle(Training(device="cpu")) == Training("cpu", "fp32")
    assert config.settle(Training(precision="fp16")).precision == "fp16"


def test_under_torchrun_each_rank_has_its_gpu(machine, monkeypatch):
    machine(H200, H200)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert config.settle(Training()).device == "cuda:1"
    assert config.settle(Converting()).device == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(NoDevice, match="cuda:2"):
        config.settle(Training())


def test_edited_values_are_used(machine, monkeypatch):
    machine(H200)
    monkeypatch.setattr(config, "x_max", 100)
    monkeypatch.setattr(config, "DEVICE", "cpu")
    monkeypatch.setattr(config, "WORKERS", 5)
    chosen = config.settings()
    assert (chosen.device, chosen.x_max, chosen.x_pad, chosen.workers) == ("cpu", 100, 1, 5)


@pytest.mark.parametrize("wrong", [{"x_max": 5}, {"x_pad": 0}, {"precision": "fp8"}])
def test_impossible_values_are_refused(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        config.settings(device="cpu", **wrong)


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.settings(device="cpu").device = "cuda:0"


@pytest.mark.parametrize(
    ("cores", "ram_gib", "workers"), [(8, 64, 8), (8, 4, 2), (8, 0.5, 1), (128, 500, 16)]
)
def test_workers_are_bounded_by_cores_and_memory(monkeypatch, cores, ram_gib, workers):
    monkeypatch.setattr(devices, "core_count", lambda: cores)
    monkeypatch.setattr(devices, "free_ram_gib", lambda: ram_gib)
    assert devices.worker_count() == workers


def test_free_memory_is_measured():
    assert 0 < devices.free_ram_gib() < 100_000


def test_a_gpu_says_what_it_is():
    assert str(Gpu(0, *V100)) == "cuda:0 Tesla V100-SXM2-16GB (16 GiB, compute capability 7.0)"


def test_the_cpu_needs_no_torch():
    code = "import sys, config; config.settings(device='cpu', workers=1); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
