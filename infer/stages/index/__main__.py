"""`python -m infer.stages.index`: the retrieval index of an experiment."""

import sys

import config
from infer.jobs.stage import stage_main
from infer.stages.index.options import IndexOptions


def main(argv=None) -> int:
    return stage_main(IndexOptions, "infer.stages.index.run", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
