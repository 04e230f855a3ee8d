"""The queue of a lane: jobs of all processes, in the order of their creation."""

import os
from pathlib import Path

from infer.jobs.job_folder import ALLOWED, JobFolder
from infer.lib.errors import BadInput


def job_folders(root: Path) -> list[JobFolder]:
    """Every folder that may be a job, oldest first: the names begin with the time of creation."""
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and entry.name[:1] != ".")
    except OSError:
        return []  # no job was ever started
    return [JobFolder(root / name) for name in names]


class Lane:
    """`before(id)` counts the jobs of the lane that must end first. A dead supervisor blocks nobody."""

    def __init__(self, root: Path, name: str, allowed: tuple[str, ...] = ALLOWED):
        self._root, self._name, self._allowed = root, name, allowed
        self._passed: set[str] = set()  # ended, damaged, or of another lane: never in the way again

    def before(self, job_id: str) -> int:
        earlier = [folder for folder in job_folders(self._root) if folder.id < job_id]
        return sum(self._in_the_way(folder) for folder in earlier if folder.id not in self._passed)

    def _in_the_way(self, folder: JobFolder) -> bool:
        try:
            plan = folder.read_plan(self._allowed)
        except BadInput:
            return False  # damaged, or still being written: whoever comes late waits
        state = folder.condition(plan.created_s)
        waiting = plan.lane == self._name and state.state in ("queued", "running")
        if plan.lane != self._name or state.ended:
            self._passed.add(folder.id)
        return waiting
