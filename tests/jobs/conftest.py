"""A store of jobs that run toy stages, in a folder with a difficult name; nothing is left running."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infer.jobs.command import Command
from infer.jobs.detached import JobStore
from infer.jobs.job_folder import JobFolder
from infer.jobs.runner import Step
from tests.jobs.gated_stage import GatedOptions

ALLOWED = ("tests.jobs.",)
PATIENCE_S = 60.0  # of a busy machine


class Jobs:
    """`store` and what tests do with it. Files of a job named x lie in `root / x`."""

    def __init__(self, root: Path):
        self.root = root
        self.store = JobStore(root / ".jobs", ALLOWED)

    def step(self, name: str, **options) -> Step:
        command = Command("tests.jobs.gated_stage", GatedOptions(self.root / name, **options))
        return Step(name, [command], log=self.root / f"{name}.log")

    def start(self, name: str, lane: str = "compute", experiment: str = "", **options) -> str:
        folder = self.root / experiment if experiment else None
        return self.store.start(name, [self.step(name, **options)], lane=lane, experiment=folder)

    def let_go(self, *names: str) -> None:
        for name in names:
            (self.root / name).mkdir(exist_ok=True)
            (self.root / name / "go").touch()

    def left(self, name: str, what: str) -> int:
        """The number that the stage `name` leaves in `what`, once it is there."""
        path = self.root / name / what
        until(path.is_file)
        return int(path.read_text())

    def wait(self, job_id: str, *states: str):
        """The job, as soon as it is in one of the states."""
        until(lambda: self.store.job(job_id).state in states, lambda: self.store.job(job_id))
        return self.store.job(job_id)

    def supervisor(self, job_id: str) -> int:
        folder = JobFolder(self.store.root / job_id)
        until(lambda: folder.read_state().pid)
        return folder.read_state().pid


@pytest.fixture
def jobs(tmp_path):
    root = tmp_path / '나의 it\'s "quoted" folder'
    root.mkdir()
    jobs = Jobs(root)
    yield jobs
    for job in jobs.store.jobs():
        if job.living:
            jobs.store.stop(job.id)
    until(lambda: not any(job.living for job in jobs.store.jobs()))
    for path in root.glob("*/pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def until(condition: Callable[[], object], found: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain; found {found()}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """False for what has ended, even if nobody has fetched its exit code yet."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
