"""The Train tab by its handlers: controls as in RVC, restoring, refusing, reporting, hearing epochs."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from infer.jobs.detached import Job
from infer.jobs.events import Metric
from infer.lib.errors import RvcError
from infer.lib.models.spec import standard_config
from infer.web.i18n import LANGUAGES, say
from infer.web.machine import Device, Facts
from infer.web.page import Page
from infer.web.tabs.train import TrainTab
from infer.web.tabs.train_chart import best_html
from infer.web.tabs.train_compare import Candidate, newest, sentences
from infer.web.tabs.train_form_panel import resume_text, train_label
from infer.web.tabs.train_layout import default_processes, rates_for
from infer.web.tabs.train_outcome import outcome_of
from infer.web.tabs.train_report import MOST_ROWS, report_html, worst_first
from infer.web.tabs.train_reuse import at_other_rate, keep
from infer.web.train_facts import ExperimentFacts, facts_of
from infer.web.train_form import FIRST_EXPERIMENT, TrainForm, experiment_of, load_form, save_form
from infer.web.train_steps import ALL, INDEX, PREPROCESS, TRAIN, TooLittle
from tests.stages.train.tiny import make_experiment
from tests.web.pages import AUDIO, demo_voices, make_home

PATIENCE_S = 120
REPORT = {
    "recordings": 3,
    "clips": 40,
    "usable_minutes": 12.5,
    "recorded_minutes": 14.0,
    "speakers": 1,
    "clips_left_out": {"too short": 3, "silent": 1},
    "failed": {"<b>bad</b>.wav": "it holds only silence"},
    "clipped": 0.0002,
    "noise_floor_db": -58.2,
    "pitch_hz": {"low": 90.4, "median": 121.6, "high": 201.0},
    "files": [
        {
            "name": "fine.wav",
            "clips": 30,
            "seconds": 300,
            "usable_s": 290,
            "clipped": 0.0,
            "noise_floor_db": -60,
        },
        {
            "name": "hot.wav",
            "clips": 10,
            "seconds": 90,
            "usable_s": 80,
            "clipped": 0.02,
            "noise_floor_db": -60,
        },
        {"name": "empty.wav", "clips": 0, "seconds": 9, "usable_s": 0, "error": "it holds only silence"},
    ],
}


class FakeJobs:
    """A store that starts nothing; `jobs` are the newest first."""

    def __init__(self):
        self.listed: list[Job] = []
        self.started: list[tuple] = []
        self.stopped: list[str] = []

    def start(self, title, steps, *, lane="compute", experiment=None):
        self.started.append((title, [step.name for step in steps], experiment))
        return "1"

    def stop(self, job_id):
        self.stopped.append(job_id)

    def jobs(self, experiment=None):
        return [job for job in self.listed if experiment in (None, job.experiment)]

    def metrics(self, experiment):
        return []


@pytest.fixture
def page(tmp_path):
    page = Page.of(make_home(tmp_path))
    page.jobs = FakeJobs()
    page.machine = SimpleNamespace(facts=lambda wait=False: Facts(works=True))
    return page


@pytest.fixture
def tab(page):
    return built(page)


def built(page: Page) -> TrainTab:
    with gr.Blocks():
        page.add_watchers()
        with gr.Tab():
            tab = TrainTab(page)
            tab.build()
            tab.wire()
    return tab


def values_of(tab: TrainTab, form: TrainForm, **more: Any) -> dict:
    """What the browser sends."""
    values = {part: getattr(form, name) for name, part in tab.form.fields.items()}
    values |= dict.fromkeys((tab.compare.chosen, tab.compare.sentence, tab.compare.own))
    values |= {tab.form.picker: form.experiment, tab.form.confirm: False, tab.run.seen: ""}
    return values | more


def value(update: Any) -> Any:
    return update.get("value") if isinstance(update, dict) else update


def job(experiment: Path, state: str = "done", steps: tuple[str, ...] = ALL, step: int = 0, **more) -> Job:
    plain = {"title": "t", "lane": "compute", "ahead": 0, "displays": (), "created_s": 0.0, "reason": ""}
    return Job(
        id="7",
        experiment=experiment,
        state=state,
        steps=steps,
        step=step,
        started_s=0.0,
        ended_s=None,
        **plain | more,
    )


# controls -------------------------------------------------------------------------------------------


def test_controls_have_the_ranges_and_defaults_of_rvc(tab):
    fields = tab.form.fields
    ranges = {
        "save_every_epoch": (1, 50, 5),
        "total_epoch": (2, 1200, 20),
        "batch_size": (1, 40, 8),
        "speaker_id": (0, 108, 0),
    }
    for name, (low, high, start) in ranges.items():
        control = fields[name]
        assert (control.minimum, control.maximum, control.value) == (low, high, start), name
    assert fields["processes"].value == default_processes() >= 1
    assert fields["sample_rate"].value == "40k" and fields["version"].value == "v2"
    assert fields["use_f0"].value is True
    assert not any(fields[name].value for name in ("latest_only", "cache_in_gpu", "save_every_weights"))


def test_every_value_of_the_form_has_a_control(tab):
    assert set(tab.form.fields) == set(TrainForm.__dataclass_fields__) - {"experiment"}


def test_choices_are_values_not_labels(tab):
    for name in ("sample_rate", "version", "f0_method", "precision", "cuda_graphs"):
        for shown, sent in tab.form.fields[name].choices:
            assert shown == sent and sent.isascii()


def test_v1_has_no_32k_unless_the_experiment_is_one(tab):
    assert rates_for("v2") == ["40k", "48k", "32k"]
    assert (rates_for("v1"), rates_for("v1", "32k")) == (["40k", "48k"], ["40k", "48k", "32k"])
    changed = tab.form.model_changed(values_of(tab, TrainForm("x", sample_rate="32k", version="v1")))
    assert changed[tab.form.fields["sample_rate"]]["value"] == "40k"


# choosing an experiment -------------------------------------------------------------------------------


def test_an_existing_experiment_restores_the_whole_form(page, tab):
    experiment = make_experiment(page.home.logs)
    saved = TrainForm(experiment.name, total_epoch=55, batch_size=3, use_f0=False, trainset="/mine", seed=9)
    save_form(experiment, saved)
    shown = tab.form.chosen(values_of(tab, TrainForm(experiment.name)))
    assert {name: value(shown[part]) for name, part in tab.form.fields.items()} == {
        name: getattr(saved, name) for name in tab.form.fields
    }
    assert "6" in value(shown[tab.form.status])


def test_a_new_name_keeps_the_choices_but_not_what_belongs_to_another_experiment(page, tab):
    old = page.home.logs / "old" / "recordings"
    form = TrainForm("new", total_epoch=55, trainset=str(old), like="old", continue_from="old")
    shown = tab.form.chosen(values_of(tab, form))
    names = ("total_epoch", "trainset", "like", "continue_from")
    assert [value(shown[tab.form.fields[name]]) for name in names] == [55, "", "", ""]


def test_an_experiment_never_takes_the_recordings_of_the_one_chosen_before(page, tab):
    others, typed = page.home.logs / "other" / "recordings", "/my recordings"
    own = experiment_of(page.home, "uploaded").recordings
    own.mkdir(parents=True)
    experiment_of(page.home, "rvcs").root.mkdir()
    cases = (
        ("uploaded", others, own),
        ("uploaded", typed, own),
        ("rvcs", others, ""),
        ("rvcs", typed, typed),
    )
    for name, before, after in cases:
        shown = tab.form.chosen(values_of(tab, TrainForm(name, trainset=str(before))))
        assert value(shown[tab.form.fields["trainset"]]) == str(after)


def test_recordings_that_were_uploaded_before_the_name_was_typed_go_with_it(page, tab):
    for name, started in (("mi-test", False), ("begun", True)):
        old = experiment_of(page.home, name)
        (old.recordings / "0").mkdir(parents=True)
        (old.recordings / "0" / "a.wav").touch()
        if started:
            save_form(old, TrainForm(name))
        shown = tab.form.chosen(values_of(tab, TrainForm(f"new {name}", trainset=str(old.recordings))))
        new = experiment_of(page.home, f"new {name}")
        assert value(shown[tab.form.fields["trainset"]]) == ("" if started else str(new.recordings))
        assert (old if started else new).recordings.joinpath("0", "a.wav").is_file()
        assert old.root.exists() == started


def test_a_name_that_is_none_is_told_beside_it(tab):
    shown = tab.form.chosen(values_of(tab, TrainForm("../x")))
    assert "rvc-bad" in value(shown[tab.form.status])


def test_an_opened_page_shows_the_experiment_at_work(page, tab):
    for name in ("first", "second"):
        folder = page.home.logs / name
        folder.mkdir()
        save_form(experiment_of(page.home, name), TrainForm(name, total_epoch=99))
        page.jobs.listed.append(job(folder, "running" if name == "second" else "done"))
    shown = tab.attached(values_of(tab, TrainForm("")))
    assert value(shown[tab.form.picker]) == "second"
    assert value(shown[tab.form.fields["total_epoch"]]) == 99


def test_notes_wait_for_a_page_that_is_being_opened(tab):
    # Gradio takes an empty dict for a missing value; skip() is what leaves all outputs alone.
    assert tab.form.annotated(values_of(tab, TrainForm(""))) == gr.skip()


def test_without_any_job_the_page_proposes_rvcs_name(tab):
    shown = tab.attached(values_of(tab, TrainForm("")))
    assert value(shown[tab.form.picker]) == FIRST_EXPERIMENT


@pytest.mark.parametrize(
    ("epoch", "text"),
    [(3, "Resume from epoch 4 of 20"), (20, "All 20 epochs"), (None, "newest checkpoint")],
)
def test_training_says_where_it_goes_on(page, epoch, text):
    known = ExperimentFacts(experiment_of(page.home, "x"), exists=True, checkpoints=1, epoch=epoch)
    assert text in resume_text(TrainForm(), known, "en")
    label = train_label(TrainForm(), known, "en")
    assert label == ("Train model" if epoch == 20 else resume_text(TrainForm(), known, "en"))


def test_the_gpus_of_the_machine_fill_a_new_form_alone(page, tab):
    gpus = [Device(f"cuda:{n}", f"GPU {n}", "9.0", 24.0, 20.0 - n, True, n < 2) for n in range(3)]
    page.machine = SimpleNamespace(facts=lambda wait=False: Facts(works=True, devices=tuple(gpus)))
    page.engine._chosen = "auto"
    assert "cuda:1 GPU 1" in tab.form.ask_machine()
    shown = tab.form.machine_known(values_of(tab, TrainForm("new")))
    assert value(shown[tab.form.fields["train_gpus"]]) == "0-1"
    assert value(shown[tab.form.fields["batch_size"]]) == 9  # half of the 19 GiB that are free on GPU 1
    save_form(experiment_of(page.home, "old"), TrainForm("old"))
    shown = tab.form.machine_known(values_of(tab, TrainForm("old")))
    assert tab.form.fields["train_gpus"] not in shown


# starting and stopping ----------------------------------------------------------------------------------


def test_a_start_keeps_the_form_and_hands_over_the_steps(page, tab):
    experiment = make_experiment(page.home.logs)
    form = TrainForm(experiment.name, total_epoch=33, f0_method="pm", encoder="starter")
    assert tab.run._starter((INDEX,))(values_of(tab, form)) == {tab.run.job: "1"}
    assert page.jobs.started == [(f"{experiment.name}: index", ["index"], experiment.root)]
    assert load_form(experiment) == form


def test_nothing_is_left_behind_by_a_refused_start(page, tab):
    with pytest.raises(RvcError, match="no such folder"):
        tab.run._starter((PREPROCESS,))(values_of(tab, TrainForm("x", trainset="/no such folder")))
    assert not (page.home.logs / "x").exists() and not page.jobs.started


def test_too_little_data_shows_the_box_it_speaks_of(page, tab, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", told.append)
    values = values_of(tab, TrainForm("x", trainset=str(AUDIO / "target"), encoder="starter"))
    assert tab.run._starter(ALL)(values) == {tab.form.confirm: gr.update(visible=True)}
    assert "seconds" in told[0] and not page.jobs.started
    assert issubclass(TooLittle, RvcError)
    tab.run._starter(ALL)(values | {tab.form.confirm: True})
    assert page.jobs.started[0][1] == list(ALL)


def test_a_stop_button_is_seen_only_while_its_work_runs(page, tab):
    experiment = make_experiment(page.home.logs)
    values = values_of(tab, TrainForm(experiment.name))
    for steps, expected in (((PREPROCESS,), 0), (("extract_f0",), 1), (ALL, 2), ((INDEX,), 2)):
        page.jobs.listed = [job(experiment.root, "running", steps)]
        shown = tab.run.state(values)
        visible = [shown[button]["visible"] for button in tab.run.stops]
        assert visible == [number == expected for number in range(3)]
        assert not any(shown[button]["interactive"] for button in tab.run.starts)
    tab.run._stopped(experiment.name)
    assert page.jobs.stopped == ["7"]


def test_a_look_changes_only_what_changed(page, tab):
    experiment = make_experiment(page.home.logs)
    values = values_of(tab, TrainForm(experiment.name))
    first = tab.run.look(values)
    assert first.keys() == set(tab.run.outputs) and value(first[tab.run.seen])
    again = tab.run.look(values | {tab.run.seen: first[tab.run.seen]})
    assert list(again) == [tab.run.seen]
    page.jobs.listed = [job(experiment.root, "running")]
    assert len(tab.run.look(values | {tab.run.seen: first[tab.run.seen]})) > 1
    assert list(tab.run.look(values | {tab.form.picker: None})) == [tab.run.seen]


# outcome ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_names_its_step_and_offers_it_again(page, language):
    known = ExperimentFacts(experiment_of(page.home, "x"), exists=True)
    failed = job(known.experiment.root, "failed", ALL, step=2, reason="<it> broke")
    outcome = outcome_of(failed, known, page.home, language)
    assert "rvc-bad" in outcome.html and say(language, "job.step.extract_content") in outcome.html
    assert "&lt;it&gt; broke" in outcome.html
    assert outcome.retry == ALL[2:]


def test_success_tells_both_files_and_a_missing_index_is_offered(page):
    home, experiment = page.home, experiment_of(page.home, "x")
    voice, index = home.weights / "x.pth", experiment.root / "added_x.index"
    known = ExperimentFacts(experiment, exists=True, clips=6, voice=voice, index=index)
    done = job(experiment.root)
    both = outcome_of(done, known, home, "en")
    assert "rvc-good" in both.html and "x.pth" in both.html and "added_x.index" in both.html
    for finished in (job(experiment.root, steps=(TRAIN,)), None):
        outcome = outcome_of(finished, replace(known, index=None), home, "en")
        assert outcome.wants_index and "rvc-fair" in outcome.html
    assert outcome_of(job(experiment.root, "stopped"), known, home, "en").html == ""


# report -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_tells_all_in_the_language_of_the_page(language):
    html = report_html(REPORT, language)
    for text in ("12.5", "0.02 %", "-58.2 dB", "90 – 122 – 201 Hz", "&lt;b&gt;bad&lt;/b&gt;.wav"):
        assert text in html
    assert say(language, "train.verdict.10_50") in html and "rvc-good" in html
    assert f"3 × {say(language, 'train.reason.too_short')}" in html
    assert "<b>bad" not in html


def test_the_worst_recording_comes_first():
    assert [entry["name"] for entry in worst_first(REPORT["files"])] == ["empty.wav", "hot.wav", "fine.wav"]


@pytest.mark.parametrize(
    "report", [None, {}, {"usable_minutes": None, "files": ["?"], "pitch_hz": {"low": None}}]
)
def test_a_report_of_another_kind_breaks_nothing(report):
    assert isinstance(report_html(report, "en"), str)


def test_a_long_table_is_cut():
    files = [{"name": f"{n}.wav", "clips": 1} for n in range(MOST_ROWS + 5)]
    html = report_html({"usable_minutes": 1, "files": files}, "en")
    assert html.count("<tr>") == MOST_ROWS + 1 and "5 more" in html


def test_the_suggestion_goes_into_the_form(page, tab):
    experiment = make_experiment(page.home.logs)
    experiment.report_file.write_text('{"usable_minutes": 20, "noise_floor_db": -60, "clipped": 0}')
    shown = tab.form.advised(values_of(tab, TrainForm(experiment.name)))
    assert shown[tab.form.fields["total_epoch"]] == 200
    assert 1 <= shown[tab.form.fields["batch_size"]] <= 4  # no GPU here


# reuse --------------------------------------------------------------------------------------------------


def test_uploads_are_kept_once_and_never_overwrite(tmp_path):
    for name, content in (("a/x.wav", b"1"), ("b/x.wav", b"2"), ("c/y.wav", b"1")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    folder = tmp_path / "recordings" / "0"
    assert keep([tmp_path / "a/x.wav", tmp_path / "b/x.wav", tmp_path / "c/y.wav"], folder) == 2
    assert keep([tmp_path / "b/x.wav"], folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["x (2).wav", "x.wav"]


def test_an_upload_becomes_the_training_set(page, tab):
    clip = next((AUDIO / "target").glob("*.flac"))
    form = tab.form
    values = {form.upload: [str(clip)], form.picker: "x", form.fields["trainset"]: ""}
    shown = tab.upload._uploaded(values | {form.fields["speaker_id"]: 2})
    folder = experiment_of(page.home, "x").recordings
    assert shown[form.fields["trainset"]] == str(folder)
    assert (folder / "2" / clip.name).read_bytes() == clip.read_bytes()
    with pytest.raises(RvcError, match="/mine"):
        tab.upload._uploaded(values | {form.fields["trainset"]: "/mine", form.fields["speaker_id"]: 0})


def test_another_rate_is_refused_and_a_new_experiment_offered(page, tab):
    experiment = make_experiment(page.home.logs)
    rate = tab.form.fields["sample_rate"]
    shown = tab.rate._rate_asked({tab.form.picker: experiment.name, rate: "48k"})
    assert shown[rate] == "40k" and shown[tab.rate.group]["visible"]
    assert shown[tab.rate.name] == f"{experiment.name}-48k"
    assert "48k" in shown[tab.rate.reason]
    same = tab.rate._rate_asked({tab.form.picker: experiment.name, rate: "40k"})
    assert not same[tab.rate.group]["visible"]


def test_the_new_experiment_takes_over_what_the_old_one_was_made_of(page):
    other = experiment_of(page.home, "old")
    save_form(other, TrainForm("old", trainset="/mine"))
    form = at_other_rate(TrainForm("old", total_epoch=50), other, "new", "48k")
    expected = ("new", "48k", "old", "/mine", 50)
    assert (form.experiment, form.sample_rate, form.like, form.trainset, form.total_epoch) == expected


# epochs and losses ----------------------------------------------------------------------------------------


def test_the_newest_epochs_are_chosen_as_voices_where_there_are_some():
    voices = [Candidate(f"x_e{n}_s{n}", Path("x")) for n in range(6)]
    checkpoints = [Candidate(f"G_{n}.pth", Path("x"), is_checkpoint=True) for n in range(3)]
    assert newest([*voices, *checkpoints]) == [f"x_e{n}_s{n}" for n in range(2, 6)]
    assert newest([Candidate("x", Path("x")), *checkpoints]) == ["G_0.pth", "G_1.pth", "G_2.pth", "x"]


def test_sentences_begin_with_clips_that_are_not_trained_on(page):
    experiment = make_experiment(page.home.logs)
    items = experiment.training_items("v2", True)
    experiment.write_filelist([item for item in items if item.stem != "0_4"])
    assert sentences(experiment)[0] == "0_4" and len(sentences(experiment)) == 6


def test_epochs_are_heard_through_the_engine(page, tab):
    experiment = make_experiment(page.home.logs)
    for name in ("e1_s1", "e2_s2"):
        (page.home.weights / f"{experiment.name}_{name}.pth").touch()
    calls = []

    def convert(source, voice, index=None):
        calls.append((source, voice.name))
        return SimpleNamespace(path=source)

    page.engine = SimpleNamespace(convert=convert)
    chosen = [f"{experiment.name}_e1_s1", f"{experiment.name}_e2_s2", "gone"]
    values = {tab.form.picker: experiment.name, tab.compare.chosen: chosen, tab.compare.sentence: "0_1"}
    shown = tab.compare.rendered(values | {tab.compare.own: None}, progress=lambda *_, **__: None)
    assert calls == [(experiment.gt_wav("0_1"), f"{name}.pth") for name in chosen[:2]]
    assert [item["label"] for item in shown["value"]["items"]] == chosen[:2]
    for wrong in ({tab.compare.chosen: []}, {tab.compare.sentence: "../../x"}):
        with pytest.raises(RvcError):
            tab.compare.rendered(values | {tab.compare.own: None} | wrong)


def test_the_curves_are_named_in_the_language_of_the_page(page, tab, monkeypatch):
    monkeypatch.setattr("infer.web.tabs.train_chart.language_of", lambda: "ko")
    _, losses, _, held_out = tab.chart.draw("singer", [Metric(1, 1, {"loss_mel": 20.0})])
    for plot in (losses, held_out):
        assert (plot["x_title"], plot["y_title"]) == ("학습 스텝", "손실")


def test_the_best_epoch_is_marked():
    metrics = [Metric(n, n, {"heldout_mel": loss}) for n, loss in ((1, 30.0), (2, 22.5), (3, 25.0))]
    assert "epoch 2" in best_html(metrics, "en", True) and "22.50" in best_html(metrics, "en", True)
    assert best_html([*metrics, Metric(4, 4, {"heldout_mel": "nan"})], "en", False).count("epoch 2") == 1
    assert best_html([], "en", True) == ""


# the real thing -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_recordings_are_processed_by_a_job_that_is_not_the_page(tmp_path):
    page = Page.of(make_home(tmp_path))
    tab = built(page)
    form = TrainForm("내 목소리", trainset=str(AUDIO / "target"), processes=1)
    started = tab.run._starter((PREPROCESS,))(values_of(tab, form))[tab.run.job]
    deadline = time.monotonic() + PATIENCE_S
    while page.jobs.job(started).living and time.monotonic() < deadline:
        time.sleep(0.2)
    assert page.jobs.job(started).state == "done", page.jobs.job(started).reason
    experiment = experiment_of(page.home, form.experiment)
    known = facts_of(page.home, experiment)
    assert known.clips == len(list((AUDIO / "target").glob("*.flac"))) and known.sample_rate == "40k"
    shown = tab.run.look(values_of(tab, form))
    assert "rvc-verdict rvc-bad" in value(shown[tab.run.report])
    assert shown[tab.form.confirm]["visible"]


def test_a_base_that_the_hyper_parameter_file_leaves_unused_is_told(page, tab, tmp_path):
    demo_voices(page.home.assets)
    form = tab.form.with_bases(TrainForm("new", encoder="starter"))
    standard = standard_config("v2", 40000)
    told = {}
    for name, change in (("same", {}), ("other", {"hidden_channels": 96})):
        config = replace(standard, model=standard.model | change)
        (tmp_path / name).write_text(config.to_json(), encoding="utf-8")
        noted = tab.form.annotated(values_of(tab, replace(form, config=str(tmp_path / name))))
        told[name] = noted[tab.form.bases_note]["value"]
    missing = tab.form.annotated(values_of(tab, replace(form, config=str(tmp_path / "none"))))
    assert "from scratch" in told["other"]
    assert "starter base" in told["same"] and told["same"] == missing[tab.form.bases_note]["value"]
    own = replace(form, pretrain_g="/mine/G.pth", config=str(tmp_path / "other"))
    assert "other sizes" not in tab.form.annotated(values_of(tab, own))[tab.form.bases_note]["value"]


def test_the_starter_base_is_told_and_rvcs_models_are_offered(page, tab):
    demo_voices(page.home.assets)
    form = tab.form.with_bases(TrainForm("new", encoder="starter"))
    assert form.pretrain_g == "assets/starter/base_v2_40k_f0.safetensors" and form.pretrain_d == ""
    noted = tab.form.noted(form, tab.form.facts("new"))
    assert "starter base" in noted[tab.form.bases_note]["value"]
    box, text = (noted[part] for part in tab.form.better.outputs)
    assert box["visible"] and "pretrained_v2_40k" in text
