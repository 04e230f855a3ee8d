"""`python -m infer.stages.preprocess`: slice a folder of recordings into training clips."""

import sys

import config
from infer.jobs.stage import stage_main
from infer.stages.preprocess.options import PreprocessOptions


def main(argv=None) -> int:
    return stage_main(PreprocessOptions, "infer.stages.preprocess.run", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
