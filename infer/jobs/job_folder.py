"""The folder of one detached job: what is to run, how far it is, and what it said.

    job.json       the plan, written once by whoever starts the job
    state.json     queued, running, done, failed or stopped; written by the job's supervisor
    progress.json  the last progress, at most once a second
    events.jsonl   what the stages reported
    stop           exists once somebody asked the job to stop
    alive.lock     held by the supervisor as long as it lives
    supervisor.log its own errors, if any

Every file is whole or absent. A folder that cannot be understood is no job.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from infer.jobs.command import Command, display
from infer.jobs.lock import is_held
from infer.jobs.runner import Step
from infer.lib.errors import BadInput
from infer.lib.files import safe_name, write_text

# Only the project's own commands: a folder on disk must not be a way to run anything else.
ALLOWED = ("infer.stages.", "tools.")
ENDED = ("done", "failed", "stopped")
START_GRACE_S = 15.0  # a supervisor that was just started may not hold its lock yet
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_PATIENCE = 20 if os.name == "nt" else 0


@dataclass(frozen=True)
class StoredCommand:
    """A command as it lies on disk: runs and shows exactly as the one it was made from."""

    module: str
    arguments: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]

    def display(self) -> str:
        return display(self.argv)


@dataclass(frozen=True)
class Plan:
    """What a job runs, and where: `folder` is the working folder of its commands."""

    id: str
    title: str
    lane: str
    experiment: Path | None
    created_s: float
    folder: Path
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class State:
    """How a job stands. `pid` is 0 until its supervisor has begun; `summary` holds one entry a step."""

    state: str = "queued"
    pid: int = 0
    step: int = 0
    started_s: float | None = None
    ended_s: float | None = None
    reason: str = ""
    summary: dict = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class JobFolder:
    """Paths of a job, and its small files."""

    def __init__(self, path: Path | str):
        self.path = Path(path)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def plan_file(self) -> Path:
        return self.path / "job.json"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def progress_file(self) -> Path:
        return self.path / "progress.json"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def stop_file(self) -> Path:
        return self.path / "stop"

    @property
    def lock_file(self) -> Path:
        return self.path / "alive.lock"

    @property
    def log_file(self) -> Path:
        return self.path / "supervisor.log"

    def lane_file(self, lane: str) -> Path:
        """Held by the one job of a lane that runs; shared by all jobs of a store."""
        return self.path.parent / f"{safe_name(lane, 'lane')}.lane"

    def write_plan(self, plan: Plan) -> None:
        values = asdict(plan) | {
            "folder": str(plan.folder),
            "experiment": str(plan.experiment) if plan.experiment else None,
            "steps": [_step_values(step) for step in plan.steps],
        }
        write_json(self.plan_file, values)

    def read_plan(self, allowed: Sequence[str] = ALLOWED) -> Plan:
        """Raises BadInput for a damaged plan, and for one that runs what is not allowed."""
        try:
            values = json.loads(self.plan_file.read_bytes())
            experiment = values.pop("experiment")
            return Plan(
                **values
                | {
                    "id": self.id,
                    "title": str(values["title"]),
                    "created_s": float(values["created_s"]),
                    "folder": Path(values["folder"]),
                    "experiment": Path(experiment) if experiment else None,
                    "steps": tuple(_step(step, allowed) for step in values["steps"]),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{self.plan_file} cannot be used ({error})", "delete that folder") from error

    def read_state(self) -> State:
        """The initial state where none was written yet."""
        try:
            return State(**json.loads(self.state_file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return State()

    def write_state(self, state: State) -> None:
        write_json(self.state_file, asdict(state))

    def condition(self, created_s: float) -> State:
        """How the job really stands: "interrupted" if it has not ended, yet nobody works on it."""
        state = self.read_state()
        if state.ended or is_held(self.lock_file):
            return state
        if state.pid == 0 and abs(time.time() - created_s) < START_GRACE_S:
            return state
        state = self.read_state()  # it may have ended between the two looks
        return state if state.ended else replace(state, state="interrupted")


def as_steps(steps: Sequence[Step], allowed: Sequence[str] = ALLOWED) -> tuple[Step, ...]:
    """The steps with commands that can be stored. Raises BadInput for a command that is not allowed."""
    return tuple(
        Step(step.name, [_stored(command, allowed) for command in step.commands], step.log) for step in steps
    )


def write_json(path: Path, values: Any) -> None:
    """ASCII, so that names which are no valid text survive too. Raises OSError in the end."""
    text = json.dumps(values, ensure_ascii=True)
    for _ in range(_PATIENCE):
        with contextlib.suppress(PermissionError):  # Windows, while somebody reads the file
            write_text(path, text)
            return
        time.sleep(0.05)
    write_text(path, text)


def _stored(command: Command | StoredCommand, allowed: Sequence[str]) -> StoredCommand:
    if getattr(command, "prefix", ()):
        raise BadInput(f"{command.module} cannot be started through another program here")
    return _checked(StoredCommand(command.module, tuple(command.arguments)), allowed)


def _checked(command: StoredCommand, allowed: Sequence[str]) -> StoredCommand:
    if not (_MODULE.fullmatch(command.module) and command.module.startswith(tuple(allowed))):
        raise BadInput(f"{command.module!r} is no command of this program")
    return command


def _step_values(step: Step) -> dict:
    commands = [{"module": c.module, "arguments": list(c.arguments)} for c in step.commands]
    return {"name": step.name, "log": str(step.log) if step.log else None, "commands": commands}


def _step(values: dict, allowed: Sequence[str]) -> Step:
    commands = [
        _checked(StoredCommand(str(c["module"]), tuple(str(word) for word in c["arguments"])), allowed)
        for c in values["commands"]
    ]
    return Step(str(values["name"]), commands, Path(values["log"]) if values["log"] else None)
