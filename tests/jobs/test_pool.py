import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infer.jobs.pool import outcomes
from infer.lib.errors import RvcError
from infer.lib.files import REPO

KILLED_PARENT = """\
import os, signal, sys, time
from tests.jobs.test_pool import note_and_sleep
from infer.jobs.pool import outcomes
if __name__ == "__main__":
    list(outcomes(note_and_sleep, [sys.argv[1]] * 2, workers=2))
"""


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


def vanish(number: int) -> int:
    os._exit(9)


def note_and_sleep(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_its_outcome(workers):
    assert sorted(outcomes(double, [1, 2, 3], workers)) == [(1, 2), (2, 4), (3, 6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_work_raises_is_raised(workers):
    with pytest.raises(ValueError, match="not 1"):
        list(outcomes(refuse, [1], workers))


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(RvcError, match="ended from outside.*--workers=1"):
        list(outcomes(vanish, [1, 2], 2))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_workers_end_with_their_parent(tmp_path):
    script, notes = tmp_path / "run.py", tmp_path / "notes"
    notes.mkdir()
    script.write_text(KILLED_PARENT)
    parent = subprocess.Popen([sys.executable, script, notes], env={**os.environ, "PYTHONPATH": str(REPO)})
    _until(lambda: len(list(notes.iterdir())) == 2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    workers = [int(path.name) for path in notes.iterdir()]
    _until(lambda: not any(_alive(worker) for worker in workers))
    assert len(workers) == 2 and not any(_alive(worker) for worker in workers)


def _until(reached) -> None:
    deadline = time.monotonic() + 60
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"
