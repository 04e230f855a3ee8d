import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infer.jobs.events import Failed, Log
from infer.lib.devices import Gpu
from infer.lib.errors import NoDevice
from infer.stages.train import launch
from infer.stages.train.options import TrainOptions

OPTIONS = TrainOptions(experiment=Path("x"), gpus="1-0")
TWO_GPUS = [Gpu(index, "test", (9, 0), 80.0) for index in range(2)]


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(launch.devices, "gpus", lambda: TWO_GPUS)


def _child(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code])


def test_each_rank_takes_its_entry_of_the_list(two_gpus, monkeypatch):
    for rank, device in (("0", "cuda:1"), ("1", "cuda:0")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert launch.settle_for_rank(lambda options: options)(OPTIONS).device == device


def test_without_a_gpu_the_list_means_nothing(monkeypatch):
    monkeypatch.setattr(launch.devices, "gpus", list)
    assert launch.settle_for_rank(lambda options: replace(options, device="cpu"))(OPTIONS).device == "cpu"


def test_several_gpus_are_launched_once(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    on_gpu = replace(OPTIONS, device="cuda:1")
    assert launch.needs_launch(on_gpu)
    assert not launch.needs_launch(replace(on_gpu, gpus="1"))
    assert not launch.needs_launch(replace(on_gpu, device="cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launch.needs_launch(on_gpu)


def test_a_gpu_that_does_not_exist_is_refused(two_gpus):
    with pytest.raises(NoDevice, match="cuda:5"):
        launch.launch(replace(OPTIONS, gpus="0-5"))


def test_children_are_numbered_as_torchrun_does():
    environment = launch._environment(1, 2, 1234)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")
    assert [environment[name] for name in names] == ["1", "1", "2", "1234"]
    assert environment["PATH"] == os.environ["PATH"]


def test_one_failure_ends_all(monkeypatch):
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    children = [_child("import time; time.sleep(60)"), _child("raise SystemExit(3)")]
    assert launch._wait(children) == 3
    assert all(child.poll() is not None for child in children)


def test_ctrl_c_is_passed_on_as_a_request_that_saves(tmp_path):
    ready = tmp_path / "ready"
    child = _child(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(1))\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    interrupter = threading.Thread(target=_interrupt_when, args=(ready,))
    interrupter.start()
    assert launch._wait([child]) == 3
    interrupter.join()


def _interrupt_when(ready: Path) -> None:
    while not ready.exists():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_all_done_is_0():
    assert launch._wait([_child(""), _child("")]) == 0


def test_only_rank_0_reports(monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    assert launch.rank_report() is None
    monkeypatch.setenv("RANK", "1")
    report = launch.rank_report()
    report(Log("hello"))
    report(Failed("train", "no disk"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "train failed: no disk\n"
