"""Questions 1, 12, 13, 15, 17 and 18: what becomes of a training."""

import re
import shutil
from dataclasses import replace

import pytest
import soundfile
import torch

import config
from infer.jobs.events import silent
from infer.jobs.experiment import Experiment
from infer.lib.checkpoint import read_training, read_voice
from infer.lib.errors import RvcError
from infer.lib.retrieval import read_sidecar
from infer.stages.extract_content.run import run as extract_content
from infer.stages.extract_f0.run import run as extract_f0
from infer.stages.train import state
from infer.stages.train.run import run as train
from infer.web.i18n import LANGUAGES, say
from infer.web.tabs.train_report import report_html
from infer.web.train_facts import facts_of
from infer.web.train_steps import ALL, EXTRACTION, TRAIN, Order, start, steps_of
from tests.faq.conftest import (
    KOREAN,
    clicked,
    contents,
    done,
    ended,
    samples,
    shown,
    silent_progress,
    speaking,
    tiny_form,
    train_tab,
    train_values,
    until,
)
from tests.stages.train.conftest import single_thread
from tests.stages.train.tiny import TinyDiscriminator, make_experiment
from tests.web.pages import AUDIO, starter_name

SHORTEST_CLIP_S = 0.76


@pytest.mark.slow
def test_q01_one_click_names_the_step_that_failed_and_retries_just_what_is_left(one_click):
    job = one_click.failed
    assert job.steps == ("preprocess", "extract_f0", "extract_content", "index", "train")
    assert (job.state, job.steps[job.step]) == ("failed", "index")
    assert not one_click.began_training
    for language in LANGUAGES:
        outcome = one_click.outcomes[language]
        assert "rvc-bad" in outcome.html and say(language, "job.step.index") in outcome.html
        assert outcome.retry == ("index", "train")
    assert one_click.retried.steps == ("index", "train")


@pytest.mark.slow
def test_q01_in_the_end_there_are_a_voice_and_its_index(one_click):
    outcome = one_click.outcome(KOREAN)
    (index,) = one_click.experiment.index_files()
    assert "rvc-good" in outcome.html and not outcome.retry
    assert one_click.voice.name in outcome.html and index.name in outcome.html
    assert read_sidecar(index)["rows"] > 100


@pytest.fixture
def prepared(page):
    """The form of an experiment whose clips are ready to be trained on."""
    experiment = make_experiment(page.home.logs)
    experiment.update_settings(encoder=starter_name())
    return tiny_form(page, experiment=experiment.name)


@pytest.mark.slow
def test_q12_a_saved_epoch_is_heard_while_training_goes_on(page, prepared):
    experiment = Experiment(page.home.logs / prepared.experiment)
    tab = train_tab(page)
    values = train_values(tab, replace(prepared, total_epoch=5000, save_every_epoch=2))
    job = clicked(tab, tab.run._starter((TRAIN,)), values)
    until(experiment.generator_files, lambda: page.jobs.progress(job))
    offered = tab.compare.offer(values)
    name = offered[tab.compare.chosen]["choices"][0]
    stem = offered[tab.compare.sentence]["choices"][0]
    assert re.fullmatch(r"G_\d+\.pth \(e2\)", name)
    wanted = {tab.compare.chosen: [name], tab.compare.sentence: stem}
    player = tab.compare.rendered(values | wanted, silent_progress)
    (heard,) = player["value"]["items"]
    seconds = soundfile.info(experiment.gt_wav(stem)).duration
    assert heard["label"] == name
    assert abs(len(samples(heard["file"]["path"])) / 40000 - seconds) < 0.05
    assert page.jobs.job(job).state == "running"
    tab.run._stopped(prepared.experiment)
    ended(page, job, "stopped")


@pytest.mark.slow
def test_q13_stopped_and_resumed_training_ends_as_if_never_stopped(page, prepared, monkeypatch):
    form = replace(prepared, total_epoch=6, save_every_epoch=6)
    experiment = Experiment(page.home.logs / form.experiment)
    undisturbed = shutil.copytree(experiment.root, page.home.root / "undisturbed")
    tab = train_tab(page)
    values = train_values(tab, form)
    job = clicked(tab, tab.run._starter((TRAIN,)), values)
    until(lambda: page.jobs.progress(job).epoch)
    running = page.jobs.progress(job)
    assert running.total_epochs == 6
    with speaking(KOREAN):
        head = tab.run.view.render(job, KOREAN)[1]["value"]
        assert re.search(say(KOREAN, "job.epoch", epoch=r"\d+", total=6), head)
        tab.run._stopped(form.experiment)
        ended(page, job, "stopped")
        epoch = facts_of(page.home, experiment).epoch
        label = tab.run.state(values)[tab.run.train]["value"]
        assert label == say(KOREAN, "train.resume", epoch=epoch + 1, total=6)
        *_, resumed, _ = tab.run.view._resume(job)
    done(page, resumed)
    assert epoch < 6 and facts_of(page.home, experiment).epoch == 6
    epochs = [metric.epoch for metric in page.jobs.metrics(experiment.root) if "epoch_s" in metric.values]
    assert epochs == list(range(1, 7))  # none twice, none left out
    one, other = _voice_and_step(page, form), _undisturbed(page, form, undisturbed, monkeypatch)
    assert one[1] == other[1]
    assert all(torch.equal(one[0][name], tensor) for name, tensor in other[0].items())


def _voice_and_step(page, form) -> tuple[dict, int]:
    experiment = Experiment(page.home.logs / form.experiment)
    newest = read_training(experiment.generator_checkpoint(experiment.checkpoints()[-1]))
    return read_voice(page.home.weights / f"{form.experiment}.pth").weights, newest.extra["step"]


def _undisturbed(page, form, root, monkeypatch) -> tuple[dict, int]:
    """The same training in one go."""
    facts = facts_of(page.home, Experiment(page.home.logs / form.experiment))
    (step,) = steps_of(Order(form, (TRAIN,)), page.home, "cpu", facts)
    options = replace(config.settle(step.commands[0].options), experiment=root, weights=root / "weights")
    monkeypatch.setattr(state, "MultiPeriodDiscriminator", TinyDiscriminator)
    with single_thread():
        summary = train(options, silent)
    return read_voice(summary["voice"]).weights, summary["step"]


@pytest.mark.slow
def test_q15_only_added_recordings_are_processed_and_training_goes_on(one_click):
    page, old = one_click.page, one_click.experiment
    experiment = Experiment(shutil.copytree(old.root, page.home.logs / "with more"))
    recordings = shutil.copytree(one_click.form.trainset, page.home.root / "with more")
    for path in sorted((AUDIO / "target").iterdir())[3:5]:
        shutil.copy(path, recordings)
    before = {path: path.stat().st_mtime_ns for path in _derived(experiment)}
    n_lines = len(experiment.filelist.read_text(encoding="utf-8").splitlines())
    form = replace(one_click.form, experiment="with more", trainset=str(recordings), total_epoch=3)
    job = done(page, start(page.jobs, page.home, "cpu", Order(form, ALL, confirmed=True)))
    after = {path: path.stat().st_mtime_ns for path in _derived(experiment)}
    assert before.items() < after.items()  # nothing was made again
    assert {path.name.split("_")[0] for path in after.keys() - before.keys()} == {"7", "8"}
    (was,), (now,) = old.index_files(), experiment.index_files()[:1]
    assert now.name.endswith("_with more_v2.index")
    assert read_sidecar(now)["rows"] > read_sidecar(was)["rows"]
    assert len(experiment.filelist.read_text(encoding="utf-8").splitlines()) > n_lines
    assert any("Resuming from epoch 3" in line for line in page.jobs.progress(job.id).lines)


def _derived(experiment: Experiment) -> list:
    folders = (experiment.content("v2"), experiment.f0_hz, experiment.f0_coarse, experiment.wavs_16k)
    return [path for folder in folders for path in folder.iterdir()]


@pytest.mark.slow
def test_q17_recordings_of_no_use_are_counted_and_named_and_the_others_train(one_click):
    report = facts_of(one_click.page.home, one_click.experiment).report
    assert set(report["failed"]) == {"blip.wav", "no samples.wav", "silence.wav", "empty.wav"}
    assert "too short" in report["failed"]["blip.wav"] and report["clips_left_out"]["too short"] >= 1
    for language in LANGUAGES:
        html = report_html(report, language)
        assert all(name in html for name in report["failed"])
        assert say(language, "train.reason.too_short") in html
    stems = one_click.experiment.stems()
    assert len(stems) == report["clips"] >= 3
    lengths = [soundfile.info(one_click.experiment.gt_wav(stem)).duration for stem in stems]
    assert min(lengths) >= SHORTEST_CLIP_S
    assert one_click.retried.summary["train"]["complete"] is True


@pytest.mark.slow
def test_q18_another_rate_is_refused_with_the_way_that_reuses_pitch_and_content(one_click):
    page, old = one_click.page, one_click.experiment
    form = replace(one_click.form, sample_rate="48k")
    with speaking(KOREAN), pytest.raises(RvcError, match="48k") as refused:
        start(page.jobs, page.home, "cpu", Order(form, ALL, confirmed=True))
    tab = train_tab(page)
    values = train_values(tab, form)
    with speaking(KOREAN):
        offer = tab.rate._rate_asked(values)
    assert str(refused.value) in shown(offer[tab.rate.reason]).replace("&#x27;", "'")
    assert offer[tab.form.fields["sample_rate"]] == "40k"
    values |= {tab.rate.name: offer[tab.rate.name], tab.rate.asked: offer[tab.rate.asked]}
    job = done(page, clicked(tab, tab.rate._made, values))
    new = Experiment(page.home.logs / "kathleen 1-48k")
    assert job.steps == ("preprocess",) and "--like=" in job.displays[0]
    assert _reused(new) == _reused(old)
    assert {soundfile.info(path).samplerate for path in new.gt_wavs.iterdir()} == {48000}
    written = {path: path.stat().st_mtime_ns for path in _derived(new)}
    _extract_again(page, tab.form.facts(new.name))
    assert {path: path.stat().st_mtime_ns for path in _derived(new)} == written


def _reused(experiment: Experiment) -> list[dict]:
    return [
        contents(folder)
        for folder in (experiment.wavs_16k, experiment.f0_hz, experiment.f0_coarse, experiment.content("v2"))
    ]


def _extract_again(page, facts) -> None:
    """What the next steps of the new experiment do, with its own form."""
    for step in steps_of(Order(facts.form, EXTRACTION), page.home, "cpu", facts):
        run = {"extract_f0": extract_f0, "extract_content": extract_content}[step.name]
        run(config.settle(step.commands[0].options), silent)
