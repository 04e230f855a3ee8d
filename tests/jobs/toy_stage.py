"""A stage for tests of the main() and the runner: counts, fails or hangs as told."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.jobs.events import Finished, Progress, Started
from infer.jobs.stage import stage_main
from infer.lib.errors import BadInput


@dataclass(frozen=True)
class ToyOptions:
    """A toy."""

    fail: str = option("", help="how to fail", choices=("", "expected", "bug", "disk"))
    count: int = option(2, help="items")
    hang: Path | None = option(None, help="start a child that never ends and write its process id here")


def run(options, report):
    report(Started("toy", options.count))
    print("a library prints", end="")
    if options.fail == "expected":
        raise BadInput("a.wav is empty", "record it again")
    if options.fail == "disk":
        raise OSError(28, "No space left on device", "x.wav")
    if options.fail == "bug":
        raise KeyError("oops")
    if options.hang:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        options.hang.write_text(str(child.pid))
        time.sleep(600)
    for done in range(options.count):
        report(Progress(done + 1, options.count, f"item {done}"))
    report(Finished("toy", {"items": options.count}))


def main(argv=None):
    return stage_main(ToyOptions, "tests.jobs.toy_stage", argv)


if __name__ == "__main__":
    sys.exit(main())
