"""`python -m tools.cmd.train_all`: a folder of recordings to a finished voice with its index."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started as a file, which hides the project's modules: once more as a module
    home = str(Path(__file__).resolve().parents[2])
    again = [sys.executable, "-P", "-m", "tools.cmd.train_all", *sys.argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, "PYTHONPATH": home}).returncode)

import config
from infer.jobs.command import option
from infer.jobs.stage import stage_main
from infer.lib.f0 import AUTO, METHODS
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.train.options import TrainOptions


@dataclass(frozen=True)
class TrainAllOptions(TrainOptions):
    """Preprocess, pitch, content, index and training in one go; stops at the first failure.

    Run it again to go on: finished work is kept, new and changed recordings are picked up.
    """

    trainset: Path | None = option(
        None, help="folder of recordings (default: train on the clips that are there)"
    )
    pretrain_g: str = option(
        "auto",
        help="pretrained generator; auto: RVC's, if it is installed and fits; none: from scratch",
        aliases=("-pg", "--pretrainG"),
    )
    pretrain_d: str = option(
        "auto", help="pretrained discriminator, likewise", aliases=("-pd", "--pretrainD")
    )
    f0_method: str = option(AUTO, help="pitch method", choices=(AUTO, *METHODS), aliases=("--f0method",))
    fill_unvoiced: bool = option(False, help="draw lines through unvoiced frames, as RVC 2.3 does")
    encoder: str = option("auto", help="content encoder: auto, hubert, starter, or a path")
    slice_s: float = option(3.7, help="length of a clip in seconds", aliases=("--per",))
    assets: Path | None = option(None, help="folder of the models")

    def __post_init__(self):
        super().__post_init__()
        self.preprocessing(self.experiment)  # slice_s and speaker_id are refused here

    def preprocessing(self, experiment: Path) -> PreprocessOptions:
        """What the first stage is asked to do, if there are recordings to slice."""
        return PreprocessOptions(
            trainset=self.trainset or Path(),
            experiment=experiment,
            sample_rate=self.rate,
            slice_s=self.slice_s,
            speaker_id=self.speaker_id,
        )


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
