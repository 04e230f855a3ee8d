"""What the user chooses for the index."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.lib.models.spec import VERSIONS


@dataclass(frozen=True)
class IndexOptions:
    """Build the retrieval index of an experiment from its content features."""

    experiment: Path = option(help="name below logs, or a folder", aliases=("-e", "--experiment-dir"))
    version: str = option(
        "auto", help="v1, v2, or auto: what the experiment was extracted with", choices=("auto", *VERSIONS)
    )
    workers: int = option(0, help="threads; 0: as many as this machine has to give")

    def __post_init__(self):
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it cannot be negative")
