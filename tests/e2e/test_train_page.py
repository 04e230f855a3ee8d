"""The Train tab by clicking, in two browsers: recordings to a voice that is heard, stop, reload, power cut.

One server and one experiment; the tests tell its life in their order.
"""

import json
import os
import re
import signal
from pathlib import Path

import pytest
import soundfile

from infer.jobs.experiment import Experiment
from infer.jobs.job_folder import JobFolder
from infer.lib.checkpoint import read_training
from tests.e2e.browser import (
    Server,
    bubbles,
    choose,
    converted,
    needs_browser,
    open_page,
    tab,
    type_into,
)
from tests.e2e.tiny_page import TinyJobs
from tests.jobs.conftest import until
from tests.stages.train.tiny import tiny_config
from tests.web.pages import AUDIO

pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name == "nt", reason="SIGKILL"),
]
CONVERT, TRAIN = 0, 1
NAME, VOICE = "나의 singer", "나의 singer.pth"
RECORDINGS = sorted((AUDIO / "target").iterdir())[:2]
MANY = 1200  # epochs: no machine comes to their end meanwhile
CHAIN_MS = 600_000  # five processes one after another, on a busy machine


class Life:
    """The server, its folders, and the jobs as they lie there."""

    def __init__(self, root: Path):
        self.server = Server(root, ("-m", "tests.e2e.tiny_page"))
        self.root, self.experiment = root, Experiment(root / "logs" / NAME)
        self.jobs = TinyJobs(root / "logs" / ".jobs")
        self.config = root / "tiny.json"
        root.mkdir()
        self.config.write_text(json.dumps(tiny_config()), encoding="utf-8")

    def end(self) -> None:
        self.server.stop()
        for job in self.jobs.jobs():
            if job.living:
                self.jobs.stop(job.id)


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    life = Life(tmp_path_factory.mktemp("train") / "나의 it's")
    life.server.start()
    yield life
    life.end()


@pytest.fixture(scope="module")
def mine(browser, life):
    """The browser that clicks."""
    page = open_page(browser, life.server.url)
    yield page
    assert page.mistakes == []


@pytest.fixture(scope="module")
def other(browser, life):
    """A Korean browser that only looks on."""
    page = open_page(browser, life.server.url, "ko-KR")
    yield page
    assert page.mistakes == []


def says(page, elem_id: str, text: str, timeout: float | None = None) -> None:
    page.locator(f"#{elem_id}", has_text=text).wait_for(timeout=timeout)


def training(page) -> None:
    """The job's head tells an epoch, and a bar how far it is."""
    page.locator("#train-job-head [data-state=running]", has_text=f"{MANY}").wait_for()
    page.locator("#train-job-head [role=progressbar]").wait_for(state="attached")


def saved(life: Life) -> int:
    """The epoch of the newest checkpoint."""
    newest = life.experiment.checkpoints()[-1]
    return read_training(life.experiment.generator_checkpoint(newest)).iteration


def resumed_at(life: Life) -> int:
    """The epoch that the newest job began with."""

    def told() -> list[str]:
        lines = life.jobs.progress(life.jobs.jobs()[0].id).lines
        return re.findall(r"Resuming from epoch (\d+)", "\n".join(lines))

    until(told)
    return int(told()[0])


def settled(page) -> None:
    """The page is opened and its form has come."""
    page.wait_for_function("document.querySelector('#train-experiment input')?.value")


def pick(page, name: str, told: str) -> None:
    """Another experiment, new or not; `told` is what its status then says."""
    box = page.locator("#train-experiment input")
    box.fill(name)
    box.press("Enter")
    says(page, "train-status", told)


def test_recordings_become_a_voice_in_both_browsers(life, mine, other):
    for page in (mine, other):
        tab(page, TRAIN)
        settled(page)
    pick(mine, NAME, NAME)
    mine.locator("#train-upload input[type=file]").set_input_files(RECORDINGS)
    says(mine, "train-upload-note", "2 new recordings")
    mine.locator("#train-method").get_by_text("pm", exact=True).click()
    type_into(mine, "train-epochs", "2")
    type_into(mine, "train-batch", "2")
    mine.locator("#train-extra button").first.click()
    type_into(mine, "train-config", str(life.config))
    mine.locator("#train-everything").click()
    mine.locator("#train-confirm input").check()  # seven seconds are asked about
    mine.locator("#train-everything").click()
    says(mine, "train-job-head", f"{NAME}: One-click training")
    says(other, "train-job-head", "진행 중")
    mine.locator("#train-outcome .rvc-good").wait_for(timeout=CHAIN_MS)
    assert VOICE in mine.locator("#train-outcome").inner_text()
    assert life.experiment.index_files()
    assert bubbles(mine) == bubbles(other) == []
    for page in (mine, other):
        tab(page, CONVERT)
        choose(page, "rvc-voice", VOICE)  # listed without a click on refresh


def test_the_new_voice_converts_a_recording_for_the_player(mine):
    mine.locator("#rvc-source input[type=file]").set_input_files(RECORDINGS[0])
    mine.locator("#rvc-single-f0_method").get_by_text("pm", exact=True).click()
    mine.locator("#rvc-source #duration", has_text="0:03").wait_for()
    converted(mine)
    with mine.expect_download() as download:
        mine.locator("#rvc-download").click()
    audio, rate = soundfile.read(download.value.path())
    assert len(audio) / rate > 2.5 and abs(audio).max() > 1e-3
    mine.locator("#rvc-output #duration", has_text="0:03").wait_for()  # the player has it too
    assert bubbles(mine) == []


def test_training_is_seen_after_a_reload_stopped_and_resumed(life, mine, other):
    for page in (mine, other):
        tab(page, TRAIN)
    pick(other, NAME, "40k")
    type_into(mine, "train-epochs", str(MANY))
    says(mine, "train-status", f"Resume from epoch 3 of {MANY}")
    mine.locator("#train-start").click()
    for page in (mine, other):
        training(page)
    mine.reload()
    tab(mine, TRAIN)
    training(mine)
    mine.locator("#train-chart").wait_for()
    assert mine.locator("#train-experiment input").input_value() == NAME
    mine.locator("#train-job-stop").click()
    says(mine, "train-job-head", "stopped")
    says(other, "train-job-head", "중지됨")
    kept = saved(life)
    assert 2 <= kept < MANY
    other.locator("#train-job-resume").click()
    for page in (mine, other):
        training(page)
    assert resumed_at(life) == kept + 1


def test_after_a_power_cut_the_page_comes_back_and_offers_to_resume(life, mine, other):
    job = life.jobs.jobs()[0]
    life.server.kill()
    os.kill(JobFolder(life.jobs.root / job.id).read_state().pid, signal.SIGKILL)
    mine.locator("#rvc-closed").wait_for()
    life.server.start()
    mine.locator("#rvc-closed").wait_for(state="detached")
    tab(mine, TRAIN)
    says(mine, "train-job-head", "interrupted")
    kept = saved(life)
    mine.locator("#train-job-resume").click()
    training(mine)
    assert resumed_at(life) == kept + 1
    mine.locator("#train-stop-train").click()
    says(mine, "train-job-head", "stopped")
    assert bubbles(mine) == []
