"""What a job view says, in every language, and which job it chooses."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from infer.jobs.detached import Job
from infer.jobs.progress import JobProgress
from infer.lib.errors import BadInput
from infer.web.i18n import FOLDER, LANGUAGES
from infer.web.job_texts import Moment, duration, head_html
from infer.web.job_view import JobView

JOB = Job(
    id="1",
    title='<b>"안나"</b>',
    experiment=Path("/logs/anna"),
    lane="compute",
    state="running",
    ahead=0,
    steps=("preprocess", "train"),
    step=1,
    displays=("python -m a", "python -m b"),
    created_s=0.0,
    started_s=0.0,
    ended_s=None,
    reason="",
)
TRAINING = JobProgress("train", 11, 200, "", 0.25, 3700.0, epoch=12, total_epochs=200, lines=("one", "two"))


def text(job: Job, progress: JobProgress = TRAINING, language: str = "en", **moment) -> str:
    """What a person reads."""
    html = head_html(job, progress, language, Moment(moment.pop("now_s", 60.0), **moment))
    return re.sub(r"<[^>]+>", "\n", html)


def test_titles_are_text_and_never_markup():
    html = head_html(JOB, TRAINING, "en", Moment(60.0, elsewhere="<script>"))
    assert "<b>" not in html and "<script>" not in html
    assert "&lt;b&gt;&quot;안나&quot;&lt;/b&gt;" in html


def test_the_steps_in_a_title_are_said_in_the_language_of_the_page():
    job = replace(JOB, title="안나: 1: preprocess, index")
    shown = text(job, language="ko", elsewhere="bob: train_all")
    assert "안나: 1: 녹음 자르기, 특징 인덱스" in shown and "bob: 원클릭 학습" in shown
    assert "bob: remix" in text(JOB, elsewhere="bob: remix")


def test_a_running_training_tells_step_epoch_and_time():
    shown = text(JOB)
    for part in (
        "Step 2 of 2: Training",
        "epoch 12 of 200 (25%)",
        "about 1 h 2 min left",
        "Running for 1 min",
    ):
        assert part in shown
    html = head_html(JOB, TRAINING, "en", Moment(60.0))
    assert 'aria-valuenow="6"' in html and "width:5.6%" in html


def test_a_stage_of_a_chain_within_a_command_is_named_by_its_own_name():
    shown = text(replace(JOB, steps=("train_all",), step=0), JobProgress("extract_f0", 3, 9, "a.wav"))
    assert "Pitch extraction · 3 of 9 · a.wav" in shown


def test_every_other_state_says_what_matters():
    assert "Waiting its turn; jobs before it: 2" in text(
        replace(JOB, state="queued", ahead=2, started_s=None)
    )
    assert "Took 2 min" in text(replace(JOB, state="done", ended_s=120.0))
    failed = text(replace(JOB, state="failed", ended_s=1.0, reason="a.wav is empty"))
    assert "a.wav is empty" in failed and "epoch 11 of 200" in failed  # complete epochs only
    assert "Resume goes on" in text(replace(JOB, state="interrupted"))
    assert "stopping" in text(replace(JOB, stopping=True)) and "left" not in text(replace(JOB, stopping=True))
    assert "Running now: bob" in text(replace(JOB, state="stopped"), elsewhere="bob")


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_no_english_is_left(language):
    for state in ("queued", "running", "done", "failed", "stopped", "interrupted"):
        job = replace(JOB, title="", state=state, ahead=1, ended_s=30.0, reason="")
        shown = text(job, replace(TRAINING, step="train"), language, elsewhere="x").replace("x", "")
        assert not re.findall(r"[A-Za-z]{2,}", shown), shown


def test_all_languages_have_the_same_keys_and_placeholders():
    read = {code: json.loads((FOLDER / code / "job.json").read_text(encoding="utf-8")) for code in LANGUAGES}
    for code, texts in read.items():
        assert texts.keys() == read["en"].keys(), code
        for key, value in texts.items():
            wanted = sorted(re.findall(r"{\w+}", read["en"][key]))
            assert sorted(re.findall(r"{\w+}", value)) == wanted, (code, key)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds, expected):
    assert duration(seconds, "en") == expected


# ---- which job -----------------------------------------------------------------------------------


class Store:
    """Jobs as given, the newest first."""

    def __init__(self, *jobs: Job):
        self.list = list(jobs)

    def jobs(self, experiment=None):
        return [job for job in self.list if experiment in (None, job.experiment)]

    def job(self, job_id):
        for job in self.list:
            if job.id == job_id:
                return job
        raise BadInput("no job")

    def progress(self, job_id):
        return TRAINING


def made(name: str, state: str, experiment: str = "", **changes) -> Job:
    return replace(JOB, id=name, title=name, state=state, experiment=Path(experiment or name), **changes)


def view_of(*jobs: Job, lane: str | None = None) -> JobView:
    return JobView(SimpleNamespace(jobs=Store(*jobs), second=None), "test", lane)


@pytest.mark.parametrize(
    ("jobs", "experiment", "expected"),
    [
        ([], None, None),
        ([made("b", "done"), made("a", "done")], None, "b"),
        ([made("b", "queued"), made("a", "running")], None, "a"),  # what runs, before what waits
        ([made("b", "queued"), made("a", "running")], "b", "b"),  # unless it was chosen
        ([made("b", "running"), made("a", "stopped")], "a", "a"),  # it can be resumed
        ([made("b", "running"), made("a", "done")], "a", "b"),
        ([made("b", "running")], "new", "b"),
        ([made("b", "done")], "new", None),
        ([made("b", "interrupted")], "new", "b"),  # a cut off job is offered after a restart
    ],
)
def test_the_job_that_matters_is_shown(jobs, experiment, expected):
    job = view_of(*jobs).newest(Path(experiment) if experiment else None)
    assert (job.id if job else None) == expected


def test_a_view_of_one_lane_sees_nothing_else():
    jobs = [made("train", "running"), made("load", "done", lane="network")]
    assert view_of(*jobs, lane="network").newest(None).id == "load"


# ---- updates -------------------------------------------------------------------------------------


def names(updates: list) -> set[str]:
    keys = ("block", "head", "stop", "resume", "commands", "log")
    return {key for key, update in zip(keys, updates, strict=False) if update != gr.skip()}


def test_what_has_not_changed_is_not_sent_again(monkeypatch):
    view = view_of(made("a", "running"))
    monkeypatch.setattr("infer.web.job_view.time.time", lambda: 60.0)
    first = view.render("a", "en")
    assert names(first) == {"block", "head", "stop", "resume", "commands", "log"}
    assert names(view.render("a", "en", first[-1])) == set()
    monkeypatch.setattr("infer.web.job_view.time.time", lambda: 600.0)
    assert names(view.render("a", "en", first[-1])) == {"head"}


@pytest.mark.parametrize(
    ("state", "stop", "resume"),
    [("running", True, False), ("queued", True, False), ("done", False, False), ("interrupted", False, True)],
)
def test_buttons_fit_the_state(state, stop, resume):
    _, _, stopping, resuming, *_ = view_of(made("a", state)).render("a", "en")
    assert (stopping["visible"], resuming["visible"]) == (stop, resume)


def test_no_job_and_a_job_that_was_cleared_away_hide_the_block():
    for job_id in (None, "gone"):
        assert view_of().render(job_id, "en")[0]["visible"] is False
