"""The text people paste into a report: enough to help, nothing about who they are."""

import getpass
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infer.jobs.detached import Job
from infer.web.diagnostics import diagnostics, telling, without_private
from infer.web.home import Home
from infer.web.machine import Facts, Finding

ROOT = Path("/opt/tools/rvc page")
HOME = Home(
    ROOT, ROOT / "assets", Path("/data/내 로그"), ROOT / "weights", output=ROOT / "opt", settings=dict
)
TRAINSET = "/media/Grüße an alle/it's mine"
FACTS = Facts(
    works=True,
    findings=(
        Finding("system", "Python", "3.12.1"),
        Finding("libraries", "faiss-cpu", "does not load (OSError)", "install it"),
    ),
)


def job(state: str, **changes) -> Job:
    values = {
        "id": "1",
        "title": "singer",
        "experiment": HOME.logs / "singer",
        "lane": "compute",
        "state": state,
        "ahead": 0,
        "steps": ("preprocess", "train"),
        "step": 0,
        "displays": (f"/usr/bin/python3 -m infer.stages.preprocess '--trainset={TRAINSET[:-7]}its mine'",),
        "created_s": 0.0,
        "started_s": None,
        "ended_s": None,
        "reason": f"the folder {HOME.logs}/singer is full",
    }
    return Job(**values | changes)


def test_machine_job_reason_and_last_lines_are_told():
    asked = []

    def lines(job_id):
        asked.append(job_id)
        return [f"line {number}" for number in range(100)]

    text = diagnostics(FACTS, HOME, "cuda:1", [job("failed", id="7")], lines)
    assert text.startswith("device in use: cuda:1\nsystem:\n  Python: 3.12.1\nlibraries:\n  faiss-cpu:")
    assert "-> install it" in text
    assert "last job: failed, step 1 of 2 (preprocess, train)\nreason: the folder LOGS/singer is full" in text
    assert asked == ["7"]
    assert "line 99" in text
    assert "line 59" not in text


def test_the_folder_of_recordings_is_not_told():
    private = "/media/secret stuff/내 녹음"
    command = f"python -m infer.stages.preprocess '--trainset={private}' --device=cuda:0"
    told = f"$ {command}\nthe folder {private}/take 1 holds no recordings"
    text = without_private(told, HOME, [command])
    assert "secret" not in text
    assert text.endswith("the folder <trainset>/take 1 holds no recordings")
    assert "--device=cuda:0" in text


def test_the_programs_own_folders_stay_readable():
    command = f"{sys.executable} -m tools.download_assets '--assets={ROOT}/assets' -- rmvpe"
    assert (
        without_private(command, HOME, [command])
        == "python -m tools.download_assets '--assets=./assets' -- rmvpe"
    )


def test_known_folders_become_words(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    text = without_private(f"{ROOT}/assets {HOME.logs}/x /home/somebody/song.wav", HOME)
    assert text == "./assets LOGS/x ~/song.wav"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("/home/anna/x.wav", "/home/USER/x.wav"),
        ("/Users/anna", "/Users/USER"),
        ("/home/anna is full", "/home/USER is full"),
        (r"C:\Users\Anna Lee\x", r"C:\Users\USER\x"),
        (r"'C:\\Users\\anna\\x'", r"'C:\\Users\\USER\\x'"),
        ("d:/users/anna/x", "d:/users/USER/x"),
    ],
)
def test_homes_of_others_lose_their_name(told, expected):
    assert without_private(told, HOME) == expected


def test_the_users_name_is_nowhere(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "Minji")
    text = without_private("/mnt/minji/x, host-minji, Minji_voice, minjing", HOME)
    assert text == "/mnt/USER/x, host-USER, USER_voice, minjing"


def test_windows_paths_are_recognised_in_every_spelling():
    home = replace(HOME, root=Path("C:\\rvc\\go"))
    assert without_private("C:\\rvc\\go\\a C:\\\\rvc\\\\go\\\\a C:/rvc/go/a", home) == ".\\a .\\\\a ./a"


def test_the_newest_failure_is_told_else_the_newest_job():
    done, failed, cut = job("done"), job("failed"), job("interrupted")
    assert telling([done, failed, cut]) is failed
    assert telling([done, cut, failed]) is cut
    assert telling([done]) is done
    assert telling([]) is None
    assert "last job" not in diagnostics(FACTS, HOME, "cpu")


def test_a_doctor_without_an_answer_is_told():
    assert "doctor: it did not answer" in diagnostics(Facts(False, failure="it did not answer"), HOME, "cpu")
