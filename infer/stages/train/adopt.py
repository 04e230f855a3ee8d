"""Beginning an experiment with the nets of another one: `--continue-from`."""

import contextlib
from dataclasses import replace

from infer.jobs.experiment import LATEST_STEP, Experiment
from infer.lib.checkpoint import TrainingCheckpoint, spec_from_tensors
from infer.lib.errors import BadInput, MissingFile
from infer.stages.train.options import TrainOptions
from infer.stages.train.pairs import Pair, newest_pair
from infer.stages.train.plan import spec_record

# What a checkpoint says about the clips it was trained on; they are others now.
_OF_THE_CLIPS = ("heldout", "batch", "clips", "median_hz", "speaker_names")


def adopted_pair(options: TrainOptions, experiment: Experiment) -> tuple[Pair, list[str]]:
    """The newest checkpoints of the other experiment, as this one may go on with them.

    Raises MissingFile or BadInput if there are none, or nothing would be left to train.
    """
    other = Experiment.find(options.continue_from)
    if other.root.resolve() == experiment.root.resolve():
        raise BadInput(f"experiment {other.name} cannot continue from itself", "just train it again")
    if not other.root.is_dir():
        raise MissingFile(f"there is no experiment {other.root}", "check --continue-from")
    pair, complaints = newest_pair(other)
    if pair is None:
        raise MissingFile(f"{other.root} holds no G_*.pth and D_*.pth", "train that experiment first")
    epoch = pair.generator.iteration
    if options.total_epoch <= epoch:
        raise BadInput(
            f"experiment {other.name} is at epoch {epoch} of {options.total_epoch} already",
            "epochs count on: choose a larger --total-epoch",
        )
    number = LATEST_STEP if options.latest_only else pair.number
    generator = _without_clips(pair.generator, _origin(pair.generator, other))
    return Pair(number, generator, _without_clips(pair.discriminator, {})), complaints


def _without_clips(checkpoint: TrainingCheckpoint, more: dict) -> TrainingCheckpoint:
    kept = {key: value for key, value in checkpoint.extra.items() if key not in _OF_THE_CLIPS}
    return replace(checkpoint, extra={**kept, **more})


def _origin(generator: TrainingCheckpoint, other: Experiment) -> dict:
    """What is known of the network and its encoder beside RVC's entries: RVC's own files do not tell."""
    known = {}
    if "spec" not in generator.extra:
        with contextlib.suppress(BadInput):  # no standard network: tensors are compared when they are loaded
            known["spec"] = spec_record(spec_from_tensors(generator.model))
    if "encoder" not in generator.extra:
        known["encoder"] = other.read_settings().encoder
    return known
