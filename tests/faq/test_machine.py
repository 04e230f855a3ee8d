"""Questions 7, 8, 9, 11 and 14: memory, GPUs, and advice on recordings and epochs."""

import importlib
import json
import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
import soundfile
import torch

import config
from infer.jobs.experiment import Experiment
from infer.lib import devices
from infer.lib.devices import Gpu
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.train.launch import settle_for_rank
from infer.vc.voice import Voice
from infer.web import system_texts
from infer.web.advice import advise, band
from infer.web.engine import Engine
from infer.web.i18n import LANGUAGES, say
from infer.web.machine import Device, Facts
from infer.web.tabs.system import SystemTab
from infer.web.tabs.train_report import report_html
from infer.web.train_facts import facts_of
from infer.web.train_steps import ALL, EXTRACTION, PREPROCESS, TRAIN, Order, steps_of
from tests.faq.conftest import (
    KOREAN,
    convert_tab,
    convert_values,
    samples,
    silent_progress,
    speaking,
    tiny_form,
    train_tab,
    train_values,
)
from tests.stages.train.tiny import make_experiment
from tests.web.pages import SPEECH, tiny_voice
from tools.doctor_facts import why_not

infer_web = importlib.import_module("infer-web")
OLD = Gpu(0, "Tesla K80", (3, 7), 11.2)
TWO = [Gpu(0, "GeForce RTX 4090", (8, 9), 24.0), Gpu(1, "GeForce RTX 3060", (8, 6), 12.0)]


def as_device(gpu: Gpu, free_gib: float | None = None) -> Device:
    """The doctor's word on a GPU."""
    capability = ".".join(map(str, gpu.capability))
    told = (gpu.device, gpu.name, capability, gpu.memory_gib, free_gib or gpu.memory_gib)
    return Device(*told, gpu.runs, gpu.usable, why_not(gpu))


@pytest.fixture
def gpus(page, monkeypatch):
    """`gpus([...])`: this machine has these GPUs."""

    def put(found: list[Gpu], free_gib: float | None = None) -> None:
        monkeypatch.setattr(devices, "gpus", lambda: found)
        facts = Facts(True, tuple(as_device(gpu, free_gib) for gpu in found), settings={"auto": {}})
        monkeypatch.setattr(page.machine, "_facts", facts)

    return put


def system_tab(page) -> SystemTab:
    with gr.Blocks():
        page.add_watchers()
        with gr.Tab() as inside:
            tab = SystemTab(page)
            tab.build(inside)
    return tab


@pytest.mark.slow
def test_q07_running_out_of_memory_ends_in_a_result_and_a_note(page, tmp_path, monkeypatch):
    audio, rate = soundfile.read(SPEECH)
    soundfile.write(tmp_path / "long.wav", np.tile(audio, 2), rate)
    voice = tiny_voice(page.home.weights / "a.pth")
    real = Voice.synthesize

    def small_memory(voice, features, *rest):
        if len(features) > 1000:  # ten seconds
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(voice, features, *rest)

    monkeypatch.setattr(Voice, "synthesize", small_memory)
    _, single = convert_tab(page)
    values = convert_values(single, voice=voice.name, audio=tmp_path / "long.wav", index_rate=0)
    with speaking(KOREAN):
        facts, output, *_, result = single._convert(values, silent_progress)
    (warning,) = result.warnings
    assert warning.kind == "smaller_pieces" and result.n_pieces > 1
    assert say(KOREAN, "convert.warning.smaller_pieces", **warning.values) in facts
    assert len(samples(output["value"])) / 40000 == pytest.approx(2 * len(audio) / rate, abs=0.05)


def test_q07_the_suggested_batch_follows_the_memory_that_is_free(page, gpus):
    suggested = []
    for free_gib in (24.0, 12.0, 5.0):
        gpus(TWO[:1], free_gib)
        tab = train_tab(page)
        tab.form.ask_machine()
        values = train_values(tab, tiny_form(page, experiment="new"))
        update = tab.form.machine_known(values)
        suggested.append(update[tab.form.fields["batch_size"]])
    assert suggested == [12, 6, 2]
    form = tiny_form(page, experiment="new", gradient_checkpointing=True)
    assert tab.form.batch(form, tab.form.facts("new")) > suggested[-1]


def test_q07_a_gpu_that_torch_cannot_use_is_told_with_its_compute_capability(page, gpus, monkeypatch):
    gpus([OLD])
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    tab = system_tab(page)
    with speaking(KOREAN):
        tab._choose("cuda:0")
    assert "Tesla K80" in warned[0] and "3.7" in warned[0]
    assert page.engine.device == "auto"
    assert config.settings().device == "cpu"  # it is not chosen by itself
    for language in LANGUAGES:
        *_, capability, state = re.findall(
            r"<td[^>]*>(.*?)</td>", system_texts.devices(page.machine.facts(), language)
        )
        assert capability == "3.7" and "5.3" in state  # what it has, and what is needed


REPORTS = [  # minutes, clipped, noise floor -> epochs
    (3, 0.0, -30.0, 20),
    (20, 0.02, -60.0, 30),
    (7, 0.0, -45.0, 60),
    (30, 0.0, -60.0, 200),
]


def write_report(page, name: str, minutes: float, clipped: float = 0.0, floor_db: float = -60.0) -> None:
    experiment = Experiment(page.home.logs / name)
    experiment.root.mkdir(exist_ok=True)
    report = {"usable_minutes": minutes, "clipped": clipped, "noise_floor_db": floor_db}
    experiment.report_file.write_text(json.dumps(report))


@pytest.mark.parametrize(("minutes", "clipped", "floor_db", "epochs"), REPORTS)
def test_q08_epochs_are_suggested_and_taken_over_with_a_click(page, minutes, clipped, floor_db, epochs):
    write_report(page, "mine", minutes, clipped, floor_db)
    tab = train_tab(page)
    values = train_values(tab, tiny_form(page, experiment="mine"))
    assert tab.form.advised(values)[tab.form.fields["total_epoch"]] == epochs
    for language in LANGUAGES:
        html = report_html(facts_of(page.home, Experiment(page.home.logs / "mine")).report, language)
        assert say(language, "train.verdict.epochs", epochs=epochs) in html
    assert str(epochs) in tab.run.state(values)[tab.run.apply]["value"]


BANDS = [(0.5, "under_1"), (3, "1_5"), (7, "5_10"), (20, "10_50"), (60, "above_50")]


@pytest.mark.parametrize(("minutes", "name"), BANDS)
def test_q09_minutes_get_the_verdict_of_their_band(minutes, name):
    assert band(minutes) == name
    for language in LANGUAGES:
        html = report_html({"usable_minutes": minutes}, language)
        assert say(language, f"train.verdict.{name}") in html
    assert advise({"usable_minutes": minutes}).needs_confirmation is (minutes < 1)


def test_q09_less_than_a_minute_is_trained_only_if_it_is_wanted(page, tone, tmp_path, monkeypatch):
    folder = tmp_path / "little"
    folder.mkdir()
    soundfile.write(folder / "a.wav", tone(10.0), 16000)
    form = tiny_form(page, experiment="little", trainset=str(folder))
    tab = train_tab(page)
    values = train_values(tab, form, confirmed=False)
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    with speaking(KOREAN):
        refused = tab.run._starter(ALL)(values)
    assert warned == [say(KOREAN, "train.refuse.too_little", seconds=10)]
    assert tab.run.job not in refused and page.jobs.jobs() == []
    assert refused[tab.form.confirm]["visible"] is True  # the box that the sentence speaks of
    facts = tab.form.facts(form.experiment)
    assert len(steps_of(Order(form, ALL, confirmed=True), page.home, "cpu", facts)) == 5
    assert steps_of(Order(form, (PREPROCESS,)), page.home, "cpu", facts)  # slicing needs no consent
    write_report(page, "little", 12.0)
    assert tab.run.state(values)[tab.form.confirm]["visible"] is False


def test_q11_the_second_gpu_is_chosen_on_the_page_and_used_by_everything(page, gpus, monkeypatch):
    gpus(TWO)
    told = []
    monkeypatch.setattr(gr, "Info", told.append)
    tab = system_tab(page)
    choices = dict(tab._choices(page.machine.facts()))
    tab._choose(choices["cuda:1 GeForce RTX 3060 (12 GiB)"])
    assert page.engine.device == "cuda:1" and "cuda:1" in told[0]
    loaded = page.engine._ready()
    assert (loaded.settings.device, loaded.shelf.device) == ("cuda:1", "cuda:1")
    experiment = make_experiment(page.home.logs)
    train = train_tab(page)
    train.form.ask_machine()  # the Train tab is opened: its lists of GPUs are filled in
    form = tiny_form(page, experiment=experiment.name)
    filled = train.form.machine_known(train_values(train, form))
    lists = {name: filled[train.form.fields[name]] for name in ("gpus", "pitch_gpus", "train_gpus")}
    for asked in (form, replace(form, **lists)):
        order = Order(asked, (*EXTRACTION, TRAIN))
        steps = steps_of(order, page.home, page.engine.device, facts_of(page.home, experiment))
        assert [_used(step) for step in steps] == ["cuda:1"] * 3


def _used(step) -> str:
    """The device that the one command of a step computes on."""
    (command,) = step.commands
    settle = settle_for_rank(config.settle) if step.name == "train" else config.settle
    return settle(command.options).device


@pytest.mark.parametrize(("flag", "in_file"), [("cuda:1", "auto"), ("auto", "cuda:1")])
def test_q11_flag_and_config_file_choose_it_for_good(page, gpus, monkeypatch, flag, in_file):
    gpus(TWO)
    monkeypatch.setattr(config, "DEVICE", in_file)
    homes = []
    monkeypatch.setattr(infer_web, "serve", lambda options, home, port: homes.append(home))
    assert infer_web.main([f"--device={flag}"]) == 0
    engine = Engine(homes[0])
    form = tiny_form(page, experiment=make_experiment(page.home.logs).name)
    facts = facts_of(page.home, Experiment(page.home.logs / form.experiment))
    steps = steps_of(Order(form, (*EXTRACTION, TRAIN)), page.home, engine.device, facts)
    assert [_used(step) for step in steps] == ["cuda:1"] * 3
    assert engine._ready().settings.device == "cuda:1"


def test_q14_as_many_processes_as_memory_has_room_for(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "core_count", lambda: 16)
    options = PreprocessOptions(trainset=tmp_path, experiment=tmp_path / "x")
    counts = []
    for free_gib in (0.5, 3.6, 8.0, 64.0):
        monkeypatch.setattr(devices, "free_ram_gib", lambda free_gib=free_gib: free_gib)
        counts.append(config.settle(options).workers)
    assert counts == [1, 2, 6, 16]
    assert config.settle(replace(options, workers=3)).workers == 3
