"""The mean of several states of one network, which can be better than each of them.

    python -m tools.starter.average one.safetensors two.safetensors --output=encoder.safetensors
    python -m tools.starter.average logs/one/G_2333333.pth logs/two/G_2333333.pth --output=G.pth

For states that go back to one ancestor: their weights then lie in one basin (Wortsman et al. 2022). Runs of a
base that differ in their `--seed` so share one training (Lin et al. 2020, local SGD). Encoder files may be
packed or not, checkpoints are G_*.pth or D_*.pth; all else is taken from the first file.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from infer.jobs.command import option
from infer.jobs.events import Finished, Log, Report
from infer.jobs.stage import stage_main
from infer.lib import checkpoint
from infer.lib.checkpoint_kinds import KIND_WORDS
from infer.lib.errors import BadInput
from tools.starter import learner
from tools.starter.phones import inventory

STAGE = "average"
CHECKPOINTS = ("generator", "discriminator")
ALIKE = ("spec", "encoder", "fill_unvoiced")  # records of a checkpoint that decide what its weights mean
KIN = "average states of one training"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class AverageOptions:
    """Average the weights of encoders, or of checkpoints of a training."""

    files: tuple[Path, ...] = option(help="states of one network", positional=True)
    output: Path = option(help="file for their mean")

    def __post_init__(self):
        if len(set(self.files)) < max(2, len(self.files)):
            raise ValueError("give two files or more, each once")


def run(options: AverageOptions, report: Report) -> dict:
    """Writes the mean; returns the number of its tensors. Raises BadInput for files that differ in kind."""
    kinds = {checkpoint.kind_of(path): path for path in options.files}
    averages = {"starter": average_encoders, **dict.fromkeys(CHECKPOINTS, average_checkpoints)}
    for kind, path in kinds.items():
        if kind not in averages:
            raise BadInput(f"{path} is {KIND_WORDS[kind]}", "give encoder files, or G_*.pth or D_*.pth")
    if len(kinds) > 1:
        one, other, *_ = kinds.values()
        raise BadInput(f"{one} and {other} are of different kinds", "give files of one")
    if options.output.is_dir():
        raise BadInput(f"the output {options.output} is a folder", "name a file in it")
    count = averages[kinds.popitem()[0]](options.files, options.output)
    report(Log(f"{options.output}: mean of {len(options.files)} files, {count} tensors"))
    report(Finished(STAGE, {"tensors": count}))
    return {"tensors": count}


def average_encoders(paths: Sequence[Path], output: Path) -> int:
    """Network and phone heads in fp16, as training writes them, under the name of the first file."""
    phones = inventory(paths[0])
    for path in paths[1:]:
        if inventory(path) != phones:
            raise BadInput(f"{path} knows other phones than {paths[0]}", KIN)
    mean = mean_of(paths, learner.tensors_of)
    learner.write(output, mean, phones, checkpoint.read_metadata(paths[0]).get("name", learner.NAME))
    return len(mean)


def average_checkpoints(paths: Sequence[Path], output: Path) -> int:
    """The network alone: an optimizer's moments would be those of no run."""
    first = replace(checkpoint.read_training(paths[0]), optimizer={})

    def read(path: Path) -> Tensors:
        found = checkpoint.read_training(path)
        for name in ALIKE:
            if found.extra.get(name) != first.extra.get(name):
                raise BadInput(f"{path} records another {name} than {paths[0]}", KIN)
        return found.model

    mean = mean_of(paths, read)
    checkpoint.write_training(output, replace(first, model=mean))
    return len(mean)


def mean_of(paths: Sequence[Path], read: Callable[[Path], Tensors]) -> Tensors:
    """Tensor by tensor, in fp32, one file in memory at a time. Raises BadInput for other names or shapes."""
    mean: Tensors = {name: tensor.float() / len(paths) for name, tensor in read(paths[0]).items()}
    for path in paths[1:]:
        other = read(path)
        if {name: tensor.shape for name, tensor in other.items()} != {k: v.shape for k, v in mean.items()}:
            raise BadInput(f"{path} holds another network than {paths[0]}", KIN)
        for name, tensor in other.items():
            mean[name] += tensor.float() / len(paths)
    return mean


def main(argv: list[str] | None = None) -> int:
    return stage_main(AverageOptions, "tools.starter.average", argv)


if __name__ == "__main__":
    sys.exit(main())
