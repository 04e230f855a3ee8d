"""What preprocessing is asked to do. Light: imports no numeric library."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.lib.models.spec import N_SPEAKERS, sample_rate_of

# The training loader takes clips of 0.76 s to 6.75 s, and the last window of a piece may be 0.3 s longer.
SLICE_S_RANGE = (1.0, 6.4)
MAX_SPEAKER_ID = N_SPEAKERS - 1


@dataclass(frozen=True)
class PreprocessOptions:
    """Slice a folder of recordings into training clips; run again to pick up changes.

    Subfolders named 0, 1, 2 ... hold the recordings of these speakers; a name may follow: `1 anna`, `2_bob`.
    """

    trainset: Path = option(help="folder of recordings", aliases=("--trainset-dir",))
    experiment: Path = option(help="experiment name, or its folder", aliases=("-e", "--experiment-dir"))
    sample_rate: str | int = option(40000, help="32k, 40k, 48k, or Hz", aliases=("-sr",))
    workers: int = option(0, help="processes; 0: as many as this machine has room for")
    slice_s: float = option(3.7, help="length of a clip in seconds", aliases=("--per",))
    speaker_id: int = option(
        0, help="speaker of recordings outside numbered subfolders", aliases=("--spk-id",)
    )
    like: str = option(
        "", help="an experiment of the same recordings at another rate: take over its cuts, pitch and content"
    )

    def __post_init__(self):
        object.__setattr__(self, "sample_rate", sample_rate_of(self.sample_rate))
        low, high = SLICE_S_RANGE
        if not low <= self.slice_s <= high:
            raise ValueError(f"slice_s is {self.slice_s}, but must lie between {low} and {high} seconds")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}, but must not be negative")
        if not 0 <= self.speaker_id <= MAX_SPEAKER_ID:
            raise ValueError(f"speaker_id is {self.speaker_id}, but must lie between 0 and {MAX_SPEAKER_ID}")
