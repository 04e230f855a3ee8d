"""G and D checkpoints, written and read as one: a kill at any moment leaves a pair that fits.

Both files are written in full under staging names, then renamed, G first. So after a kill
- both staged (D perhaps half written): nothing was renamed, the staged files are thrown away;
- only D staged: G was renamed just before, so D is whole, and renaming it completes the save.
"""

from dataclasses import dataclass

from infer.jobs.experiment import LATEST_STEP, Experiment
from infer.lib.checkpoint import TrainingCheckpoint, read_training, write_training
from infer.lib.errors import BadCheckpoint
from infer.lib.files import remove_leftovers

STAGED = ".new"


@dataclass(frozen=True)
class Pair:
    """Both nets at one moment. `number` is the one in the file names."""

    number: int
    generator: TrainingCheckpoint
    discriminator: TrainingCheckpoint


def write_pair(experiment: Experiment, pair: Pair) -> None:
    """Writes both files, replacing a pair of the same number only when both are complete."""
    targets = _targets(experiment, pair.number)
    for target, checkpoint in zip(targets, (pair.generator, pair.discriminator), strict=True):
        write_training(_staged(target), checkpoint)
    for target in targets:
        _staged(target).replace(target)


def recover(experiment: Experiment) -> None:
    """Completes or discards a save that was interrupted."""
    remove_leftovers(experiment.root, STAGED)
    for staged in experiment.root.glob(f".D_*.pth{STAGED}"):
        other = staged.with_name(".G_" + staged.name.removeprefix(".D_"))
        if other.exists():
            staged.unlink()  # first: a kill right here must not make it look complete
        else:
            staged.replace(staged.with_name(staged.name.removeprefix(".").removesuffix(STAGED)))
    for staged in experiment.root.glob(f".G_*.pth{STAGED}"):
        staged.unlink()


def newest_pair(experiment: Experiment) -> tuple[Pair | None, list[str]]:
    """The pair of the latest epoch, and why newer ones were passed over.

    Raises BadCheckpoint when checkpoints exist but none can be used: starting afresh would bury them.
    """
    complaints: list[str] = []
    numbers = sorted(experiment.checkpoints(), reverse=True)
    best = None
    for number in numbers:
        try:
            pair = _read_pair(experiment, number)
        except BadCheckpoint as error:
            complaints.append(str(error))
            continue
        best = pair if best is None else max(best, pair, key=_progress)
        if number != LATEST_STEP:  # the fixed number says nothing about its age: compare with one more
            break
    if best is None and (numbers or experiment.generator_files()):
        reason = "; ".join(complaints) or "the discriminator's files (D_*.pth) are missing"
        raise BadCheckpoint(
            f"no checkpoint in {experiment.root} can be continued ({reason})",
            "move the G_ and D_ files away to start again",
        )
    return best, complaints


def _progress(pair: Pair) -> tuple[int, int]:
    return pair.generator.iteration, int(pair.generator.extra.get("step", 0))


def _read_pair(experiment: Experiment, number: int) -> Pair:
    paths = _targets(experiment, number)
    pair = Pair(number, *(read_training(path) for path in paths))
    moments = [(net.iteration, net.extra.get("step")) for net in (pair.generator, pair.discriminator)]
    if moments[0] != moments[1]:
        raise BadCheckpoint(f"{paths[0].name} and {paths[1].name} are not of the same moment")
    return pair


def _targets(experiment: Experiment, number: int):
    return experiment.generator_checkpoint(number), experiment.discriminator_checkpoint(number)


def _staged(target):
    return target.with_name(f".{target.name}{STAGED}")
