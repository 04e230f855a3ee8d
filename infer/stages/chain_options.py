"""What the whole way from recordings to a voice is asked to do. Light: imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
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
        help="pretrained generator; auto: RVC's, else the starter's, where they fit; starter; none",
        aliases=("-pg", "--pretrainG"),
    )
    pretrain_d: str = option(
        "auto",
        help="pretrained discriminator, likewise; auto: none for a G from scratch",
        aliases=("-pd", "--pretrainD"),
    )
    f0_method: str = option(AUTO, help="pitch method", choices=(AUTO, *METHODS), aliases=("--f0method",))
    fill_unvoiced: bool = option(False, help="draw lines through unvoiced frames, as RVC 2.3 does")
    encoder: str = option("auto", help="content encoder: auto, hubert, starter, or a path")
    slice_s: float = option(3.7, help="length of a clip in seconds", aliases=("--per",))
    like: str = option(
        "", help="an experiment of the same recordings at another rate: take over its cuts, pitch and content"
    )
    processes: int = option(0, help="processes for slicing and pitch; 0: as many as there is room for")
    assets: Path | None = option(None, help="folder of the models")

    def __post_init__(self):
        super().__post_init__()
        self.preprocessing(self.experiment)  # slice_s, speaker_id and processes are refused here

    def preprocessing(self, experiment: Path) -> PreprocessOptions:
        """What the first stage is asked to do, if there are recordings to slice."""
        return PreprocessOptions(
            trainset=self.trainset or Path(),
            experiment=experiment,
            sample_rate=self.rate,
            workers=self.processes,
            slice_s=self.slice_s,
            speaker_id=self.speaker_id,
            like=self.like,
        )
