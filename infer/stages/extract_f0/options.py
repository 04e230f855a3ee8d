"""What the user chooses for pitch extraction."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.jobs.shard import Shard
from infer.lib.f0 import AUTO, METHODS


@dataclass(frozen=True)
class ExtractF0Options:
    """Find the pitch curve of every clip of an experiment."""

    experiment: Path = option(help="name below logs, or a folder", aliases=("-e", "--experiment-dir"))
    method: str = option(
        AUTO,
        help="pitch method; auto is rmvpe if its file is installed, else fcpe",
        choices=(AUTO, *METHODS),
    )
    device: str = option("auto", help="auto, cpu, cuda:0, ... (crepe, rmvpe and fcpe use it)")
    shard: str = option("0/1", help="i/n: only every n-th clip, from the i-th on (one process per device)")
    workers: int = option(0, help="processes for pm, harvest and dio; 0: as many as the machine bears")
    fill_unvoiced: bool = option(False, help="draw lines through unvoiced frames, as RVC 2.3 does")
    assets: Path | None = option(None, help="folder of the models")

    def __post_init__(self):
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be 0 or more")
        Shard.parse(self.shard)
