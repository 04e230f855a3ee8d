"""`python -m tools.cmd.train_all`: a folder of recordings to a finished voice with its index."""

import os
import subprocess
import sys
from pathlib import Path

if not __package__:  # started as a file, which hides the project's modules: once more as a module
    home = str(Path(__file__).resolve().parents[2])
    again = [sys.executable, "-P", "-m", "tools.cmd.train_all", *sys.argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, "PYTHONPATH": home}).returncode)

import config
from infer.jobs.stage import stage_main
from infer.stages.chain_options import TrainAllOptions


def main(argv: list[str] | None = None) -> int:
    return stage_main(
        TrainAllOptions,
        "tools.cmd.train_chain",
        argv,
        settle=config.settle,
        prog="python -m tools.cmd.train_all",
    )


if __name__ == "__main__":
    sys.exit(main())
