"""The System tab: facts in words, devices by name, models that can be fetched."""

from types import SimpleNamespace

import gradio as gr
import pytest

from infer.jobs.detached import JobStore
from infer.lib.errors import NoDevice
from infer.web import system_texts
from infer.web.i18n import LANGUAGES, texts
from infer.web.machine import Device, Facts, Finding, Machine
from infer.web.page import Page
from infer.web.tabs import system
from tests.web.pages import make_home
from tools.asset_list import Presence
from tools.doctor import REINSTALL

CARD = Device("cuda:0", "NVIDIA H200", "9.0", 139.7, 100.2, runs=True, usable=True)
OLD = Device(
    "cuda:1",
    "Tesla K80",
    "3.7",
    11.2,
    None,
    False,
    False,
    "too old: compute capability 5.3 or later is needed",
)
PLAN = {"x_pad": 3, "x_query": 10, "x_center": 60, "x_max": 65}
FACTS = Facts(
    works=True,
    devices=(CARD, OLD),
    findings=(
        Finding("system", "Python", "3.12.1"),
        Finding("libraries", "torch", "2.11.0"),
        Finding("libraries", "pyworld", "is missing; it serves pitch methods harvest and dio", REINSTALL),
    ),
    ram_gib=128.0,
    free_ram_gib=99.6,
    settings={"auto": {"precision": "fp16", "training_precision": "bf16", "workers": 16, **PLAN}},
)


class Engine:
    """What the tab needs of infer.web.engine.Engine."""

    device = "auto"
    plan_overrides: dict = {}

    def choose_device(self, text):
        if text == "cuda:7":
            raise NoDevice("the device cuda:7 does not exist on this machine", "choose one of cpu")
        self.device = text
        return text

    def choose_plan(self, **seconds):
        self.plan_overrides = {name: value for name, value in seconds.items() if value}
        return SimpleNamespace(**PLAN | self.plan_overrides)


@pytest.fixture
def tab(tmp_path, monkeypatch):
    home = make_home(tmp_path)
    machine = Machine(home)
    monkeypatch.setattr(machine, "_facts", FACTS)
    page = Page(home, JobStore(home.jobs), None, Engine(), machine)
    monkeypatch.setattr(gr, "Info", lambda text: said.append(text))
    monkeypatch.setattr(gr, "Warning", lambda text: said.append(text))
    said = []
    with gr.Blocks():
        page.add_watchers()
        with gr.Tab("x") as inside:
            built = system.SystemTab(page)
            built.build(inside)
    built.said = said
    return built


def test_devices_are_chosen_by_name_and_passed_by_number(tab):
    update = tab._shown(FACTS)[2]
    assert update["choices"] == [("auto", "auto"), ("cpu", "cpu"), ("cuda:0 NVIDIA H200 (140 GiB)", "cuda:0")]
    tab._choose("cuda:0")
    assert tab.page.engine.device == "cuda:0"
    assert tab.said == ["cuda:0 is used from now on."]


def test_a_device_that_fails_leaves_the_old_one_and_the_reason(tab):
    update, *_ = tab._choose("cuda:7")
    assert update["value"] == "auto"
    assert tab.said == ["the device cuda:7 does not exist on this machine: choose one of cpu"]


def test_the_plan_shows_what_is_automatic_and_keeps_what_was_set(tab):
    assert [update["placeholder"] for update in tab._plan_values(FACTS)] == ["3", "10", "60", "65"]
    assert [update["placeholder"] for update in tab._plan_values(None)] == ["", "", "", ""]
    wanted = {"x_pad": 1, "x_query": None, "x_center": 20, "x_max": 0}
    values = tab._apply({tab.plan[name]: value for name, value in wanted.items()})
    assert [update["value"] for update in values] == [1, None, 20, None]
    assert [update["value"] for update in tab._automatic()] == [None] * 4
    assert tab.said[0] == "From now on: x_pad 1, x_query 10, x_center 20, x_max 65 seconds."


def test_opening_the_tab_does_not_wait_for_the_doctor(tab, monkeypatch):
    monkeypatch.setattr(tab.page.machine, "_facts", None)
    monkeypatch.setattr(tab.page.machine, "refresh", lambda wait=False: None)
    status, devices, *_, timer = tab._ask()
    assert "Looking at this machine" in status
    assert devices == ""
    assert timer.active
    assert tab._answer() == [gr.skip()] * system.FACTS
    monkeypatch.setattr(tab.page.machine, "_facts", FACTS)
    *shown, timer = tab._answer()
    assert len(shown) == system.FACTS - 1
    assert "pyworld" in shown[0]
    assert not timer.active


def test_a_download_is_a_job_of_its_own_lane_and_is_not_started_twice(tab, monkeypatch):
    started = []

    def start(title, steps, *, lane):
        started.append((title, steps[0].commands[0].argv[2:], lane))
        return "1"

    monkeypatch.setattr(tab.page.jobs, "start", start)
    monkeypatch.setattr(tab.download, "render", lambda job, language: [job])
    assert tab._getter("rmvpe")()[-1] == "1"
    assets = tab.page.home.assets
    assert started == [("rmvpe", ["tools.download_assets", f"--assets={assets}", "--", "rmvpe"], "network")]
    running = SimpleNamespace(title="rmvpe", lane="network", living=True, id="1")
    monkeypatch.setattr(tab.page.jobs, "jobs", lambda: [running])
    updates = tab._getter("rmvpe")()
    assert len(started) == 1
    buttons = dict(zip(tab.models, updates[1:-1:2], strict=True))
    assert not buttons["rmvpe"]["interactive"]
    assert buttons["hubert"]["interactive"]


def test_diagnostics_are_shown_for_copying(tab):
    update = tab._diagnostics()
    assert update["visible"]
    assert "pyworld: is missing" in update["value"]
    assert str(tab.page.home.root) not in update["value"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_problems_are_told_with_their_remedy_in_every_language(language):
    shown = system_texts.status(FACTS, language)
    assert "pyworld" in shown
    assert "harvest" in shown
    assert (".venv" in shown) and ("delete the folder" in shown) is (language == "en")
    assert ("too old" in system_texts.devices(FACTS, language)) is (language == "en")
    assert "cuda:1 Tesla K80" in system_texts.devices(FACTS, language)


def test_states_of_the_machine():
    broken = Facts(False, findings=(Finding("libraries", "torch", "is missing", "reinstall", True),))
    assert texts("en")["system.broken"] in system_texts.status(broken, "en")
    assert "rvc-bad" in system_texts.status(Facts(False, failure="the doctor gave no answer: x"), "ko")
    assert system_texts.status(Facts(True), "ja").count(texts("ja")["system.good"]) == 1
    assert texts("ko")["system.no_gpu"] in system_texts.devices(Facts(True), "ko")
    assert system_texts.machine(None, "ko") == ""
    assert "bf16" in system_texts.precision(FACTS, "auto", "zh-CN")
    assert system_texts.precision(FACTS, "cuda:9", "zh-CN") == ""


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (Presence("hubert", 1, 1, 0, 9), "there"),
        (Presence("hubert", 0, 1, 0, 9), "not there"),
        (Presence("hubert", 1, 1, 1, 9), "incomplete"),
        (Presence("pretrained_v2_40k", 3, 4, 0, 0), "3 of 4 files"),
    ],
)
def test_states_of_models(found, state):
    assert system_texts.model_state(found, "en") == state


def test_names_are_never_markup():
    evil = Facts(True, devices=(Device("cuda:0", "<b>card</b>", "9.0", 8, 4, True, True),))
    assert "<b>card" not in system_texts.devices(evil, "en")
    assert "&lt;b&gt;card" in system_texts.devices(evil, "en")


def test_every_download_says_what_it_is_for(tab):
    for found in tab.page.machine.models():
        for language in LANGUAGES:
            assert found.name in system_texts.model(found, language)
