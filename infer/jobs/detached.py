"""Jobs that outlive the page: a closed browser or a killed server stops no training.

Each job is a folder (see job_folder.py) and a supervisor process of its own (see supervise.py).
Whoever opens the store later, in this process or another, sees all jobs and may stop or resume them.
"""

import contextlib
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import path as os_path
from pathlib import Path

from infer.jobs.console import follow_on_console
from infer.jobs.events import Metric
from infer.jobs.experiment import Experiment
from infer.jobs.job_folder import ALLOWED, JobFolder, Plan, State, as_steps
from infer.jobs.lane import job_folders
from infer.jobs.lock import alone
from infer.jobs.metrics import MetricReader
from infer.jobs.processes import detached, variables
from infer.jobs.progress import JobProgress, ProgressReader
from infer.jobs.runner import Step
from infer.lib.errors import BadInput
from infer.lib.files import REPO, safe_name

LIVING = ("queued", "running")
KEEP = 50
FRESH_S = 0.2  # many sessions ask each second: they share one look at the disk
_ID = re.compile(r"[0-9]{16}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Job:
    """A job as it stands. `state`: queued, running, done, failed, stopped or interrupted.

    "interrupted" has not ended, yet nobody works on it: a power cut, or a killed supervisor.
    `ahead` jobs must end before a queued one begins; `step` is the index of the running step.
    `displays` are the command lines, one for each command; `summary` holds one entry for each step.
    """

    id: str
    title: str
    experiment: Path | None
    lane: str
    state: str
    ahead: int
    steps: tuple[str, ...]
    step: int
    displays: tuple[str, ...]
    created_s: float
    started_s: float | None
    ended_s: float | None
    reason: str
    stopping: bool = False  # somebody asked it to stop, and it has not ended yet
    summary: dict = field(default_factory=dict)

    @property
    def living(self) -> bool:
        return self.state in LIVING


class JobStore:
    """All jobs below `root`. Safe to share between threads; several processes may have the same root.

    `allowed`: what the modules of commands begin with; others are refused.
    """

    def __init__(self, root: Path, allowed: Sequence[str] = ALLOWED):
        self.root, self._allowed = Path(root).absolute(), tuple(allowed)
        self._lock = threading.Lock()
        self._plans: dict[str, Plan] = {}
        self._ended: dict[str, Job] = {}
        self._progress: dict[str, ProgressReader] = {}
        self._metrics: dict[Path, MetricReader] = {}
        self._supervisors: list[subprocess.Popen] = []
        self._seen: tuple[float, list[Job]] = (-FRESH_S, [])

    def start(
        self, title: str, steps: Sequence[Step], *, lane: str = "compute", experiment: Path | None = None
    ) -> str:
        """Puts a job into the queue of its lane and returns its id.

        Raises BadInput if the experiment has a living job, or a command is not one of this program.
        """
        stored, lane = as_steps(steps, self._allowed), safe_name(lane, "lane")
        root = Experiment(experiment).root if experiment else None
        return self._start(title, stored, lane, root, Path.cwd())

    def resume(self, job_id: str) -> str:
        """The same steps as a new job; finished work is kept by the steps themselves."""
        job, plan = self.job(job_id), self._plan(job_id)
        if job.living:
            raise BadInput(f'"{job.title}" is still {job.state}', "stop it first, or wait until it ends")
        return self._start(plan.title, plan.steps, plan.lane, plan.experiment, plan.folder)

    def stop(self, job_id: str) -> None:
        """Asks a job to stop. A queued one ends at once; a running one saves what it can first."""
        if self.job(job_id).living:
            self._folder(job_id).stop_file.touch()
        self._forget()

    def jobs(self, experiment: Path | None = None) -> list[Job]:
        """Every job that can be understood, the newest first; those of one experiment, if given."""
        jobs = self._all()
        if experiment is None:
            return list(jobs)
        root = _comparable(Experiment(experiment).root)
        return [job for job in jobs if job.experiment and _comparable(job.experiment) == root]

    def job(self, job_id: str) -> Job:
        found = next((job for job in self._all() if job.id == job_id), None)
        if found is None:
            raise BadInput(f"there is no job {job_id!r}", "it may have been cleared away; start it again")
        return found

    def signature(self) -> str:
        """Changes whenever a job begins, ends, or changes its state."""
        return " ".join(f"{job.id}:{job.state}:{job.ahead}:{job.step}" for job in self._all())

    def progress(self, job_id: str) -> JobProgress:
        """How far a job is, and its last sentences. Reads only what is new."""
        job = self.job(job_id)
        with self._lock:
            folder = self._folder(job_id)
            reader = self._progress.setdefault(job_id, ProgressReader(folder))
        return reader.read(job.steps, job.state)

    def metrics(self, experiment: Path) -> list[Metric]:
        """Measured values of all runs of an experiment by step; steps that were repeated count once."""
        file = Experiment(experiment).events_file
        with self._lock:
            reader = self._metrics.setdefault(file, MetricReader(file))
        return reader.read()

    def prune(self, keep: int = KEEP) -> None:
        """Removes the folders of the oldest jobs that have ended."""
        for job in [job for job in self._all() if not job.living][keep:]:
            shutil.rmtree(self._folder(job.id).path, ignore_errors=True)
            with self._lock:
                self._plans.pop(job.id, None)
                self._ended.pop(job.id, None)
                self._progress.pop(job.id, None)
        self._forget()

    def console(self) -> None:
        """Prints command lines and sentences of jobs to this process's console from now on."""
        follow_on_console(self)

    def folder(self, job_id: str) -> JobFolder:
        """Where a job lies. Raises BadInput for what is no id."""
        return self._folder(job_id)

    # ---------------------------------------------------------------------------------------------

    def _start(
        self, title: str, steps: tuple[Step, ...], lane: str, experiment: Path | None, folder: Path
    ) -> str:
        self.root.mkdir(parents=True, exist_ok=True)
        with alone(self.root / "start.lock", "the list of jobs"):
            self._forget()
            self._refuse_second(experiment)
            plan = Plan(self._new_id(), title, lane, experiment, time.time(), folder, steps)
            job = self._folder(plan.id)
            job.path.mkdir()
            job.write_plan(plan)
            self._spawn(job, plan)
        self.prune()
        return plan.id

    def _refuse_second(self, experiment: Path | None) -> None:
        living = [job for job in self.jobs(experiment) if job.living] if experiment else []
        if living:
            raise BadInput(
                f'"{living[0].title}" is {living[0].state} on the experiment {experiment.name} already',
                "wait until it ends, or stop it first",
            )

    def _new_id(self) -> str:
        """Greater than every id there is, even if the clock was set back."""
        newest = max(
            (folder.id for folder in job_folders(self.root) if _ID.fullmatch(folder.id)), default="0"
        )
        number = max(time.time_ns() // 1000, int(newest.partition("-")[0]) + 1)
        return f"{number:016d}-{secrets.token_hex(2)}"

    def _spawn(self, job: JobFolder, plan: Plan) -> None:
        allow = [] if self._allowed == ALLOWED else [f"--allow={word}" for word in self._allowed]
        argv = [sys.executable, "-m", "infer.jobs.supervise", *allow, "--", str(job.path)]
        with job.log_file.open("ab") as log:
            process = subprocess.Popen(
                argv,
                cwd=plan.folder if plan.folder.is_dir() else REPO,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=variables(),
                **detached(),
            )
        with self._lock:
            self._supervisors.append(process)

    def _all(self) -> list[Job]:
        with self._lock:
            seen_s, jobs = self._seen
            if time.monotonic() - seen_s < FRESH_S:
                return jobs
            self._supervisors = [process for process in self._supervisors if process.poll() is None]
            jobs = self._look()
            self._seen = (time.monotonic(), jobs)
            return jobs

    def _forget(self) -> None:
        with self._lock:
            self._seen = (-FRESH_S, [])

    def _look(self) -> list[Job]:
        jobs: list[Job] = []
        living: dict[str, int] = {}
        for folder in job_folders(self.root):
            with contextlib.suppress(BadInput):  # damaged, or another program's
                job = self._ended.get(folder.id) or self._look_at(folder, living)
                jobs.append(job)
                living[job.lane] = living.get(job.lane, 0) + job.living
        return jobs[::-1]

    def _look_at(self, folder: JobFolder, living: dict[str, int]) -> Job:
        plan = self._plan(folder.id)
        state = folder.condition(plan.created_s)
        job = _job(plan, state, living.get(plan.lane, 0), folder.stop_file.exists())
        if state.ended:
            self._ended[folder.id] = job  # it will never change
        return job

    def _plan(self, job_id: str) -> Plan:
        folder = self._folder(job_id)
        if job_id not in self._plans:
            self._plans[job_id] = folder.read_plan(self._allowed)
        return self._plans[job_id]

    def _folder(self, job_id: str) -> JobFolder:
        if not _ID.fullmatch(str(job_id)):
            raise BadInput(f"{job_id!r} is no job")
        return JobFolder(self.root / job_id)


def _job(plan: Plan, state: State, ahead: int, asked_to_stop: bool) -> Job:
    living = state.state in LIVING
    return Job(
        id=plan.id,
        title=plan.title,
        experiment=plan.experiment,
        lane=plan.lane,
        state=state.state,
        ahead=ahead if state.state == "queued" else 0,
        steps=tuple(step.name for step in plan.steps),
        step=state.step,
        displays=tuple(command.display() for step in plan.steps for command in step.commands),
        created_s=plan.created_s,
        started_s=state.started_s,
        ended_s=state.ended_s,
        reason=state.reason,
        stopping=asked_to_stop and living,
        summary=state.summary,
    )


def _comparable(path: Path) -> str:
    return os_path.normcase(str(path))
