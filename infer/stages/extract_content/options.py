"""What the user chooses for content extraction."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.jobs.shard import Shard
from infer.lib.models.spec import VERSIONS


@dataclass(frozen=True)
class ExtractContentOptions:
    """Write the content features (what is said) of every clip of an experiment."""

    experiment: Path = option(help="name below logs, or a folder", aliases=("-e", "--experiment-dir"))
    version: str = option("v2", help="v1: 256 values a frame, v2: 768", choices=VERSIONS)
    encoder: str = option("auto", help="auto, hubert, starter, or the path of a HuBERT file or folder")
    device: str = option("auto", help="auto, cpu, cuda:0, ...")
    precision: str = option("fp32", help="of the matrix products", choices=("auto", "fp32", "fp16", "bf16"))
    shard: str = option("0/1", help="i/n: only every n-th clip, from the i-th on (one process per device)")
    assets: Path | None = option(None, help="folder of the models")

    def __post_init__(self):
        Shard.parse(self.shard)
