"""`python -m infer.stages.train`: train a voice from the prepared clips of an experiment."""

import sys

import config
from infer.jobs.stage import stage_main
from infer.stages.train.launch import rank_report, settle_for_rank
from infer.stages.train.options import TrainOptions


def main(argv: list[str] | None = None) -> int:
    return stage_main(
        TrainOptions,
        "infer.stages.train.run",
        argv,
        settle=settle_for_rank(config.settle),
        report=rank_report(),
    )


if __name__ == "__main__":
    sys.exit(main())
