"""What a training run is asked to do. Light: imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infer.jobs.command import option
from infer.lib.files import REPO
from infer.lib.models.spec import VERSIONS, rate_label, sample_rate_of

PRECISIONS = ("auto", "fp32", "fp16", "bf16")


@dataclass(frozen=True)
class TrainOptions:
    """Train a voice from the prepared clips of an experiment; run again to go on."""

    precision_for: ClassVar[str] = "training"

    experiment: Path = option(help="experiment name, or its folder", aliases=("-e", "--experiment-dir"))
    sample_rate: str = option("40k", help="32k, 40k or 48k (or Hz)", aliases=("-sr",))
    version: str = option("v2", help="network version", choices=VERSIONS, aliases=("-v",))
    use_f0: bool = option(True, help="pitch guidance", aliases=("-f0", "--if-f0"))
    total_epoch: int = option(20, help="train up to this epoch", aliases=("-te",))
    save_every_epoch: int = option(5, help="epochs between checkpoints", aliases=("-se",))
    batch_size: int = option(8, help="clips in a batch, per GPU", aliases=("-bs",))
    pretrain_g: str = option(
        "", help="pretrained generator; empty: from scratch", aliases=("-pg", "--pretrainG")
    )
    pretrain_d: str = option(
        "", help="pretrained discriminator; empty: from scratch", aliases=("-pd", "--pretrainD")
    )
    warmup_d: int = option(
        0, help="first steps in which only the discriminator learns, for a base that comes without one"
    )
    gpus: str = option(
        "", help="GPU numbers, e.g. 0-1: one process each; empty: the one of --device", aliases=("-g",)
    )
    latest_only: bool = option(False, help="keep only the newest checkpoint", aliases=("-l", "--if-latest"))
    cache_in_gpu: bool = option(
        False, help="keep the whole training set in GPU memory", aliases=("-c", "--if-cache-data-in-gpu")
    )
    save_every_weights: bool = option(False, help="a voice file at every checkpoint too", aliases=("-sw",))
    device: str = option("auto", help="auto, cpu, or cuda:0, cuda:1 and so on")
    precision: str = option("auto", help="of the networks; losses are always fp32", choices=PRECISIONS)
    tf32: bool = option(False, help="let fp32 products use TF32 tensor cores")
    gradient_checkpointing: bool = option(False, help="less GPU memory, about a third slower")
    cuda_graphs: str = option(
        "auto",
        help="record a step once for each length and replay it: faster; auto: on one GPU with 16 GB or more",
        choices=("auto", "yes", "no"),
    )
    workers: int = option(0, help="processes that load clips when training on a GPU")
    speaker_id: int = option(0, help="speaker of the clips for which none was recorded")
    continue_from: str = option(
        "", help="begin with the newest checkpoints of this experiment, unless there are own ones"
    )
    weights: Path = option(REPO / "weights", help="folder of the finished voices")
    config: Path | None = option(None, help="hyper-parameter file instead of the standard one")
    seed: int = option(1234, help="seed of the initial weights and of every random draw")
    log_interval: int = option(0, help="steps between log lines; 0: as the hyper-parameters say")
    time_limit_s: float = option(0.0, help="stop at the first epoch end after this many seconds; 0: never")

    def __post_init__(self):
        object.__setattr__(self, "sample_rate", rate_label(sample_rate_of(self.sample_rate)))
        for name in ("total_epoch", "save_every_epoch", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("workers", "log_interval", "time_limit_s", "speaker_id", "seed", "warmup_d"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, but must not be negative")
        for name, allowed in (("version", VERSIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(allowed)}"
                )
        self.gpu_list  # noqa: B018 - a bad list is refused here

    @property
    def rate(self) -> int:
        """Hz."""
        return sample_rate_of(self.sample_rate)

    @property
    def gpu_list(self) -> tuple[int, ...]:
        """Numbers of the GPUs to use, one process each."""
        parts = [part for part in self.gpus.split("-") if part]
        if not all(part.isdecimal() for part in parts):
            raise ValueError(f"gpus is {self.gpus!r}, but must be numbers joined by dashes, such as 0-1")
        return tuple(int(part) for part in parts)
