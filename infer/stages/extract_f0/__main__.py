"""`python -m infer.stages.extract_f0`: the pitch curve of every clip of an experiment."""

import sys

import config
from infer.jobs.stage import stage_main
from infer.stages.extract_f0.options import ExtractF0Options


def main(argv=None) -> int:
    return stage_main(ExtractF0Options, "infer.stages.extract_f0.run", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
