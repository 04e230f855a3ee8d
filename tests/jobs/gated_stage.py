"""A stage for tests of detached jobs: works until it is let go, saves when it is asked to stop."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.jobs.events import Finished, Log, Metric, Progress, Started
from infer.jobs.stage import stage_main
from infer.lib.errors import BadInput


@dataclass(frozen=True)
class GatedOptions:
    """Counts up to `count`, the second half only after `<folder>/go` exists."""

    folder: Path = option(help="where it leaves pid, child and saved, and looks for go")
    count: int = option(4, help="items")
    fail: str = option("", help="the reason to fail with, at the end")
    child: bool = option(False, help="start a child that does not end by itself")
    pace_s: float = option(0.0, help="seconds for each item")


def run(options, report):
    options.folder.mkdir(parents=True, exist_ok=True)
    _leave(options.folder / "nice", os.nice(0) if os.name != "nt" else 0)
    signal.signal(signal.SIGTERM, lambda *_: (_leave(options.folder / "saved", 1), sys.exit(3)))
    if options.child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        _leave(options.folder / "child", child.pid)
    report(Started("gated", options.count))
    report(Log(f"works in {Path.cwd()}"))
    _leave(options.folder / "pid", os.getpid())
    for number in range(1, options.count + 1):
        while 2 * number > options.count and not (options.folder / "go").exists():
            time.sleep(0.02)
        time.sleep(options.pace_s)
        report(Progress(number, options.count, f"노래 {number}"))
        report(Metric(number, number, {"loss_mel": 20.0 - number, "epoch_s": 1.0}))
    if options.fail:
        raise BadInput(options.fail)
    report(Finished("gated", {"items": options.count}))


def _leave(path: Path, value: int) -> None:
    """Whole or absent, since tests wait for it."""
    temporary = path.with_suffix(".new")
    temporary.write_text(str(value))
    temporary.replace(path)


def main(argv=None):
    return stage_main(GatedOptions, "tests.jobs.gated_stage", argv)


if __name__ == "__main__":
    sys.exit(main())
