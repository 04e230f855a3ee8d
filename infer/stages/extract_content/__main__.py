"""`python -m infer.stages.extract_content`: content features for every clip of an experiment."""

import sys

import config
from infer.jobs.stage import stage_main
from infer.stages.extract_content.options import ExtractContentOptions


def main(argv=None) -> int:
    return stage_main(ExtractContentOptions, "infer.stages.extract_content.run", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
