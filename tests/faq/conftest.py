"""A page over a user's folders with difficult names, and one training run that the questions share.

Everything is real: stages run as jobs of their own. Only the discriminator is small (see
tests/stages/train/tiny.py), since the real one has seventy million weights.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio.context import LocalContext

from infer.jobs.detached import Job
from infer.jobs.experiment import Experiment
from infer.lib.retrieval import index_file_names
from infer.vc.options import ConvertOptions
from infer.web.engine import Engine
from infer.web.i18n import LANGUAGES
from infer.web.machine import Machine
from infer.web.page import Page
from infer.web.tabs.convert_single import SingleTab
from infer.web.tabs.convert_voice import VoicePicker
from infer.web.tabs.help import entries
from infer.web.tabs.train import TrainTab
from infer.web.tabs.train_outcome import Outcome, outcome_of
from infer.web.train_form import TrainForm
from infer.web.train_steps import ALL
from infer.web.voices import VoiceList
from infer.web.wish import Wish
from tests.e2e.tiny_page import TinyJobs
from tests.stages.train.tiny import tiny_config
from tests.web.pages import AUDIO, SPEECH, make_home

PATIENCE_S = 180.0  # of a busy machine
KOREAN = "ko"
PM = ConvertOptions(f0_method="pm")
RATE = 48000  # of the recordings
INDEX_LISTS = range(1, 200)  # the index of a few seconds has as many lists as these at most


@pytest.fixture(autouse=True)
def help_answers_it(request):
    """The Help tab has an answer to the question of each test here, in every language."""
    anchor = re.match(r"test_(q\d+)_", request.node.name.replace("_q0", "_q"))[1]
    for language in LANGUAGES:
        (entry,) = (entry for entry in entries(language) if entry.anchor == anchor)
        assert len(entry.question) > 5 and len(entry.answer) > 80, (anchor, language)


def make_page(root: Path) -> Page:
    """The services of a page over new folders below `root`."""
    home = make_home(root / "나의 voice's folder")
    return Page(home, TinyJobs(home.jobs), VoiceList(home), Engine(home, root / "results"), Machine(home))


@pytest.fixture
def page(tmp_path) -> Page:
    return make_page(tmp_path)


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Handlers called meanwhile answer a browser of this language."""
    token = LocalContext.request.set(SimpleNamespace(headers={"accept-language": language}))
    try:
        yield
    finally:
        LocalContext.request.reset(token)


def until(condition: Callable[[], Any], found: Callable[[], Any] = lambda: None) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain; found {found()}"
        time.sleep(0.05)
    return value


def ended(page: Page, job_id: str, *states: str) -> Job:
    """The job once it is in one of the states (by default: no longer at work)."""
    states = states or ("done", "failed", "stopped", "interrupted")
    until(lambda: page.jobs.job(job_id).state in states, lambda: page.jobs.progress(job_id))
    return page.jobs.job(job_id)


def done(page: Page, job_id: str) -> Job:
    job = ended(page, job_id)
    assert job.state == "done", (job.reason, page.jobs.progress(job_id).lines)
    return job


def shown(update: Any) -> Any:
    """The value of an update, whether it is one or the value itself."""
    return update.get("value") if isinstance(update, dict) else update


def tiny_file(folder: Path) -> Path:
    path = folder / "tiny.json"
    path.write_text(json.dumps(tiny_config()), encoding="utf-8")
    return path


def tiny_form(page: Page, **values: Any) -> TrainForm:
    """A form that trains small nets on the shipped encoder's features."""
    plain = {"f0_method": "pm", "encoder": "starter", "processes": 1, "batch_size": 2, "total_epoch": 2}
    plain |= {"save_every_epoch": 1, "config": str(tiny_file(page.home.root))}
    return TrainForm(**plain | values)


# panels --------------------------------------------------------------------------------------------


def convert_tab(page: Page) -> tuple[VoicePicker, SingleTab]:
    """The Convert tab of an opened page."""
    with gr.Blocks(), gr.Tab():
        page.add_watchers()
        picker = VoicePicker(page)
        picker.build()
        single = SingleTab(page, picker)
        single.build()
        picker.wire()
        single.wire()
    return picker, single


def train_tab(page: Page) -> TrainTab:
    with gr.Blocks():
        page.add_watchers()
        with gr.Tab():
            tab = TrainTab(page)
            tab.build()
            tab.wire()
    return tab


def train_values(tab: TrainTab, form: TrainForm, confirmed: bool = True) -> dict:
    """What the browser sends with a click on the Train tab."""
    values = {part: getattr(form, name) for name, part in tab.form.fields.items()}
    values |= dict.fromkeys((*tab.compare.offered, tab.compare.own))
    return values | {tab.form.picker: form.experiment, tab.form.confirm: confirmed, tab.run.seen: ""}


def clicked(tab: TrainTab, handler: Callable[[dict], dict], values: dict) -> str:
    """The id of the job that a button of the Train tab starts."""
    return handler(values)[tab.run.job]


def convert_values(single: SingleTab, **chosen: Any) -> dict:
    """What the browser sends with a click on Convert; `chosen` by the names of ConvertOptions."""
    known = asdict(PM) | chosen
    values = {part: known[name] for name, part in single.controls.by_field.items()}
    values |= {single.controls.index_list: chosen.get("index", "auto"), single.controls.index_box: ""}
    values |= {single.audio: str(chosen.get("audio", SPEECH)), single.path: "", single.wish: Wish()}
    return values | {single.picker.voice: chosen["voice"], single.picker.speaker: 0}


def silent_progress(*_args: Any, **_named: Any) -> None:
    """Stands for the bar of a browser."""


# recordings and results -------------------------------------------------------------------------------


def samples(path: Path | str) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="session")
def speech(tmp_path_factory) -> Path:
    """A second of speech."""
    path = tmp_path_factory.mktemp("speech") / "말소리 'a'.wav"
    audio, rate = soundfile.read(SPEECH)
    soundfile.write(path, audio[rate : 2 * rate], rate)
    return path


def write_recordings(folder: Path) -> None:
    """Three good recordings, and four that nothing can be made of."""
    folder.mkdir(parents=True)
    for path in sorted((AUDIO / "target").iterdir())[:3]:
        shutil.copy(path, folder)
    soundfile.write(folder / "blip.wav", 0.1 * np.sin(np.arange(int(0.05 * RATE)) / 20), RATE)
    soundfile.write(folder / "no samples.wav", np.zeros(0), RATE)
    soundfile.write(folder / "silence.wav", np.zeros(2 * RATE), RATE)
    (folder / "empty.wav").touch()


@dataclass
class OneClick:
    """One-click training whose index failed at first, and the retry of what was left."""

    page: Page
    form: TrainForm
    failed: Job
    outcomes: dict[str, Outcome]  # by language, after the failure
    retried: Job
    began_training: bool  # before the index was there
    experiment: Experiment = field(init=False)

    def __post_init__(self):
        self.experiment = Experiment(self.page.home.logs / self.form.experiment)

    @property
    def voice(self) -> Path:
        return self.page.home.weights / f"{self.form.experiment}.pth"

    def outcome(self, language: str) -> Outcome:
        tab = train_tab(self.page)
        return outcome_of(self.retried, tab.form.facts(self.form.experiment), self.page.home, language)


@pytest.fixture(scope="session")
def one_click(tmp_path_factory) -> OneClick:
    page = make_page(tmp_path_factory.mktemp("one click"))
    recordings = page.home.root / "내 recordings"
    write_recordings(recordings)
    form = tiny_form(page, experiment="kathleen 1", trainset=str(recordings), save_every_weights=True)
    experiment = Experiment(page.home.logs / form.experiment)
    names = [index_file_names(lists, form.experiment, "v2").added for lists in INDEX_LISTS]
    for name in names:  # a folder stands where the index is to be written
        (experiment.root / name).mkdir(parents=True)
    tab = train_tab(page)
    values = train_values(tab, form)
    failed = ended(page, clicked(tab, tab.run._starter(ALL), values))
    began = bool(experiment.generator_files())
    outcomes = {
        language: outcome_of(failed, tab.form.facts(form.experiment), page.home, language)
        for language in LANGUAGES
    }
    for name in names:
        (experiment.root / name).rmdir()
    retried = done(page, clicked(tab, tab.run._retried, values))
    return OneClick(page, form, failed, outcomes, retried, began)
