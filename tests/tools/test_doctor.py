"""The doctor: says what is broken, never where the user lives."""

import json
from pathlib import Path

import config
from infer.lib import devices
from infer.lib.devices import Gpu
from tools import doctor, doctor_facts
from tools.doctor import Finding, Library


def test_json_answer(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", doctor.LIBRARIES[2:4])
    code = doctor.main(["--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == (0 if answer["works"] else 3)
    assert [finding["name"] for finding in answer["libraries"]] == ["numpy", "scipy"]
    assert answer["disk"][0]["value"].endswith("GiB")
    assert {finding["name"] for finding in answer["devices"]} >= {"conversion", "training", "workers"}


def test_a_broken_needed_library_ends_with_3(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", (Library("no_such_module", "none", "nothing"),))
    assert doctor.main([]) == 3
    text = capsys.readouterr().out
    assert "is missing; it serves nothing" in text
    assert "-> delete the folder .venv" in text


def test_a_library_that_does_not_load_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "broken_dll.py").write_text("raise OSError('llvmlite.dll was not found')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = doctor.check_library(Library("broken_dll", "x", "speed", needed=False))
    assert "llvmlite.dll" in finding.value
    assert "Visual C++" in finding.remedy
    assert not finding.fatal


def test_every_requirement_is_checked_or_plain():
    names = (Path(config.ROOT) / "requirements.txt").read_text(encoding="utf-8")
    for library in doctor.LIBRARIES:
        assert f"\n{library.package}==" in names, library.package


def test_models_are_counted_and_a_short_one_is_noticed(tmp_path):
    (tmp_path / "rmvpe").mkdir()
    (tmp_path / "rmvpe" / "rmvpe.pt").write_bytes(b"half")
    found = {finding.name: finding for finding in doctor.models(tmp_path)}
    assert found["rmvpe"].value == "1 of 1 files"
    assert found["rmvpe"].remedy == "incomplete: go-web download rmvpe"
    assert found["pretrained_v2"].value == "0 of 12 files"
    assert found["starter"].fatal


def test_gpus_are_named_with_the_reason_against_them(monkeypatch):
    cards = [Gpu(0, "NVIDIA H200", (9, 0), 139.7), Gpu(1, "Tesla P40", (6, 1), 22.4, built_for=False)]
    monkeypatch.setattr(devices, "gpus", lambda: cards)
    first, second = doctor.graphics()
    assert (first.name, first.value) == ("cuda:0", "NVIDIA H200 (140 GiB, compute capability 9.0)")
    assert first.remedy == ""
    assert "no code for it" in second.remedy


def test_a_wrong_config_is_shown(monkeypatch):
    monkeypatch.setattr(config, "DEVICE", "cuda:7")
    monkeypatch.setattr(devices, "gpus", list)
    (finding,) = doctor.chosen()
    assert finding.fatal
    assert "cuda:7" in finding.remedy


def test_no_private_paths(monkeypatch):
    text = f"{config.ROOT / 'assets'} {Path.home() / 'secret'}"
    assert doctor.without_home(text) == f".{Path('/assets')} ~{Path('/secret')}"


def test_text_marks_what_needs_attention():
    text = doctor.as_text({"disk": [Finding("free disk", "1.0 GiB", "make room")]})
    assert text == "disk:\n  free disk  1.0 GiB\n             -> make room"


def test_facts_for_the_page_name_every_device_that_can_be_chosen(monkeypatch):
    cards = [Gpu(0, "NVIDIA H200", (9, 0), 139.7), Gpu(1, "Tesla K80", (3, 7), 11.2)]
    monkeypatch.setattr(devices, "gpus", lambda: cards)
    monkeypatch.setattr(doctor_facts, "free_gpu_gib", lambda gpu: 100.0 if gpu.runs else None)
    facts = doctor_facts.facts()
    assert [(gpu["device"], gpu["free_gib"], gpu["runs"]) for gpu in facts["gpus"]] == [
        ("cuda:0", 100.0, True),
        ("cuda:1", None, False),
    ]
    assert facts["gpus"][0]["capability"] == "9.0"
    assert list(facts["settings"]) == ["auto", "cpu", "cuda:0"]
    assert facts["settings"]["cuda:0"]["precision"] == "fp16"
    assert facts["settings"]["cpu"]["x_center"] == 38
    assert facts["free_ram_gib"] <= facts["ram_gib"]


def test_a_config_that_cannot_be_used_leaves_no_settings(monkeypatch):
    monkeypatch.setattr(config, "x_center", 99)
    assert doctor_facts.facts()["settings"] == {}


def test_private_paths_are_found_in_json_too(monkeypatch):
    monkeypatch.setattr(config, "ROOT", Path("C:\\Users\\anna\\rvc"))
    assert doctor.without_home(json.dumps("C:\\Users\\anna\\rvc\\x")) == '".\\\\x"'
