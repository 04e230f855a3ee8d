"""The page's knowledge of the machine: from another process, kept, and never in the way."""

import json
import sys
import threading

import pytest

from infer.lib.errors import RvcError
from infer.web.home import Home
from infer.web.machine import Device, Machine, read_facts
from tests.test_floors import loaded_by
from tools.asset_list import Presence
from tools.doctor_facts import describe

ANSWER = {
    "works": False,
    "system": [{"name": "Python", "value": "3.12.1", "remedy": "", "fatal": False}],
    "libraries": [
        {"name": "faiss-cpu", "value": "does not load", "remedy": "install it", "fatal": False},
        {"name": "torch", "value": "is missing", "remedy": "reinstall", "fatal": True},
    ],
    "devices": [
        {"name": "cuda:1", "value": "a GPU", "remedy": "it is told with the devices", "fatal": False}
    ],
    "facts": {
        "gpus": [
            {
                "device": "cuda:1",
                "name": "NVIDIA H200",
                "capability": "9.0",
                "memory_gib": 139.7,
                "free_gib": 120.0,
                "runs": True,
                "usable": True,
                "problem": "",
            }
        ],
        "ram_gib": 16.0,
        "free_ram_gib": 9.5,
        "disk_gib": 500.0,
        "free_disk_gib": 44.0,
        "settings": {"auto": {"device": "cuda:1", "x_pad": 3}},
    },
}


def home(tmp_path):
    return Home(
        tmp_path,
        tmp_path / "assets",
        tmp_path / "logs",
        tmp_path / "weights",
        tmp_path / "opt",
        settings=dict,
    )


def doctor(text: str) -> tuple[str, ...]:
    """A command that answers with `text`."""
    return sys.executable, "-c", f"import sys; sys.stdout.write({text!r})"


def test_the_answer_becomes_facts():
    facts = read_facts("a library's greeting\n" + json.dumps(ANSWER, indent=1))
    assert facts.devices == (Device("cuda:1", "NVIDIA H200", "9.0", 139.7, 120.0, True, True),)
    assert facts.device("cuda:1").label == "cuda:1 NVIDIA H200 (140 GiB)"
    assert facts.device("cuda:0") is None
    assert [finding.name for finding in facts.problems] == ["faiss-cpu", "torch"]
    assert [finding.name for finding in facts.section("system")] == ["Python"]
    assert facts.settings["auto"]["x_pad"] == 3
    assert facts.free_disk_gib == 44.0


@pytest.mark.parametrize("text", ["", "nothing", "{\n", "[]", '{\n"works": true}'])
def test_another_answer_is_refused_in_a_sentence(text):
    with pytest.raises(RvcError, match="the doctor's answer cannot be read"):
        read_facts(text)


def test_facts_are_asked_in_the_background_and_kept(tmp_path):
    machine = Machine(home(tmp_path), doctor(json.dumps(ANSWER, indent=1)))
    assert machine.facts() is None  # it does not wait
    first = machine.facts(wait=True)
    assert first.ram_gib == 16.0
    assert machine.facts() is first
    machine.refresh(wait=True)
    assert machine.facts() is not first
    assert not machine.busy


def test_many_who_ask_at_once_start_one_doctor(tmp_path):
    machine = Machine(home(tmp_path), (sys.executable, "-c", "open('asked', 'a').write('x')"))
    askers = [threading.Thread(target=machine.facts, args=(True,)) for _ in range(8)]
    machine.facts()
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (tmp_path / "asked").read_text() == "x"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((sys.executable, "-c", "raise SystemExit('no module named tools')"), "no module named tools"),
        ((sys.executable, "-c", "raise SystemExit(1)"), "exit code 1"),
        (("no-such-program-anywhere",), "could not be started"),
        (doctor("hello"), "cannot be read"),
    ],
)
def test_a_failing_doctor_leaves_its_reason(tmp_path, command, reason):
    facts = Machine(home(tmp_path), command).facts(wait=True)
    assert not facts.works
    assert reason in facts.failure


def test_the_real_doctor_is_understood(monkeypatch, capsys):
    from infer.lib.devices import Gpu
    from tools import doctor as program

    monkeypatch.setattr(program, "LIBRARIES", program.LIBRARIES[2:3])
    program.main(["--json"])
    facts = read_facts(capsys.readouterr().out)
    assert 0 < facts.free_ram_gib <= facts.ram_gib
    assert 0 < facts.free_disk_gib <= facts.disk_gib
    assert facts.settings["auto"]["x_pad"] > 0
    assert facts.settings["cpu"]["device"] == "cpu"
    old = Gpu(3, "Tesla K80", (3, 7), 11.2)
    assert Device(**describe(old)).problem == "too old: compute capability 5.3 or later is needed"


def test_models_are_counted_from_the_disk(tmp_path):
    machine = Machine(home(tmp_path), doctor(""))
    (tmp_path / "assets" / "rmvpe").mkdir(parents=True)
    (tmp_path / "assets" / "rmvpe" / "rmvpe.pt").write_bytes(b"half")
    models = {model.name: model for model in machine.models()}
    assert list(models)[:3] == ["hubert", "hubert_folder", "rmvpe"]
    assert models["rmvpe"] == Presence("rmvpe", 1, 1, 1, 181_184_272)
    assert not models["rmvpe"].complete
    assert (models["pretrained_v2_40k"].there, models["pretrained_v2_40k"].wanted) == (0, 4)
    assert "all" not in models


def test_the_page_loads_nothing_heavy_for_it():
    code, heavy, output = loaded_by("import infer.web.machine")
    assert (code, heavy) == (0, []), output
