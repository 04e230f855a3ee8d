"""`infer-web.py` as it is, but for the discriminator of a training: the real one has seventy million weights.

python -m tests.e2e.tiny_page FLAGS OF infer-web.py
"""

import runpy
import sys
from dataclasses import replace
from unittest.mock import patch

from infer.jobs.command import Command
from infer.jobs.detached import JobStore
from infer.jobs.job_folder import ALLOWED
from infer.jobs.runner import Step
from infer.lib.files import REPO

TRAIN, TINY_TRAIN = "infer.stages.train", "tests.stages.train.tiny"


class TinyJobs(JobStore):
    """Starts the training stage with the tiny discriminator."""

    def __init__(self, root):
        super().__init__(root, (*ALLOWED, "tests.stages.train."))

    def start(self, title, steps, **settings):
        return super().start(title, [_tiny(step) for step in steps], **settings)


def _tiny(step: Step) -> Step:
    commands = [
        Command(TINY_TRAIN, command.options) if command.module == TRAIN else command
        for command in step.commands
    ]
    return replace(step, commands=commands)


if __name__ == "__main__":
    with patch("infer.jobs.detached.JobStore", TinyJobs):
        sys.argv[0] = "infer-web.py"
        runpy.run_path(str(REPO / "infer-web.py"), run_name="__main__")
