"""The training stage: checks, builds or continues, trains, and leaves a voice."""

import contextlib
from collections.abc import Iterator

import torch

from infer.jobs.events import Finished, Report, Started, silent
from infer.jobs.experiment import Experiment
from infer.jobs.lock import alone
from infer.lib.errors import MissingFile, NoDevice
from infer.stages.train import launch
from infer.stages.train.adopt import adopted_pair
from infer.stages.train.batch import Batch
from infer.stages.train.board import Board
from infer.stages.train.cache import DeviceCache
from infer.stages.train.data import stream
from infer.stages.train.distributed import Team
from infer.stages.train.logs import DONE, TrainLog, hyper_parameters, open_log
from infer.stages.train.loop import Loop, MakeStep, Surroundings, stepper
from infer.stages.train.options import TrainOptions
from infer.stages.train.pairs import newest_pair, recover, write_pair
from infer.stages.train.plan import Plan, make_plan, write_files
from infer.stages.train.sampler import BucketSampler, EndlessBatches
from infer.stages.train.saves import Saver
from infer.stages.train.state import Training, build, check_continues
from infer.stages.train.stop import Clock, StopSignal


def run(options: TrainOptions, report: Report, make_step: MakeStep | None = None) -> dict:
    """Trains up to `total_epoch`. Raises RvcError for what the user can mend; see the exit codes.

    `make_step` says what a step is: RVC's, or that of a recipe for a base.
    """
    if launch.needs_launch(options):
        launch.launch(options)
        return {}
    team = Team.of_environment()
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with team.joined(device), StopSignal().watched() as signal, _sole_run(options, team):
        return _run(
            options, report if team.leads else silent, team, device, signal, make_step=make_step or stepper
        )


def _sole_run(options: TrainOptions, team: Team) -> contextlib.AbstractContextManager:
    """The processes of one run share the lock that their leader holds."""
    experiment = Experiment.find(options.experiment)
    if not experiment.root.is_dir():
        raise MissingFile(f"there is no experiment {experiment.root}", "run preprocess first")
    if not team.leads:
        return contextlib.nullcontext()
    return alone(experiment.lock_file, f"experiment {experiment.name}")


def _run(
    options: TrainOptions,
    report: Report,
    team: Team,
    device: torch.device,
    signal: StopSignal,
    *,
    make_step: MakeStep,
) -> dict:
    experiment = Experiment.find(options.experiment)
    report(Started("train", options.total_epoch))
    if team.leads:
        recover(experiment)
    team.wait()
    pair, complaints = newest_pair(experiment)
    adopted = pair is None and bool(options.continue_from)
    if adopted:
        pair, complaints = adopted_pair(options, experiment)
    earlier = pair.generator.extra.get("heldout", []) if pair else []
    plan = make_plan(options, experiment, earlier, report)
    if pair:
        check_continues(pair, plan, options.continue_from if adopted else "")
    if team.leads:
        write_files(plan)
    with open_log(experiment, report, team.leads) as log, _arithmetic(options):
        log.note(hyper_parameters(options, plan.config, experiment))
        training = build(plan, pair, team, device)
        if adopted:
            log.say(f"continues from experiment {options.continue_from}, epoch {pair.generator.iteration}")
            if team.leads:  # the nets fit: from now on this experiment stands on its own
                write_pair(experiment, pair)
        del pair  # its tensors are copied; a gigabyte
        for note in [*complaints, *training.notes, *_describe(training)]:
            log.say(note)
        return _train(training, log, report, signal, make_step)


def _train(
    training: Training, log: TrainLog, report: Report, signal: StopSignal, make_step: MakeStep
) -> dict:
    plan, team = training.plan, training.nets.team
    lengths = [clip.bucket_length for clip in plan.clips]
    sampler = BucketSampler(lengths, plan.options.batch_size, team.size, team.rank)
    _settle_progress(training, len(sampler), log)
    board = _board(plan, log) if team.leads else Board()
    saver = Saver(training, board, log, report)
    with contextlib.closing(board):
        loop = None
        if training.progress.epoch < plan.options.total_epoch:
            around = Surroundings(report, log, saver, signal, Clock(plan.options.time_limit_s))
            loop = Loop(training, _batches(training, sampler), len(sampler), around, make_step(training))
            _run_loop(loop, training)
        else:
            log.say(f"epoch {training.progress.epoch} of {plan.options.total_epoch} is reached already")
        return _finish(training, saver, log, report, loop)


def _run_loop(loop: Loop, training: Training) -> None:
    try:
        loop.run()
    except torch.OutOfMemoryError as error:
        raise NoDevice(
            f"{training.device} ran out of memory; the last checkpoint is kept",
            f"run again with a smaller --batch-size than {training.plan.options.batch_size}, "
            "or with --gradient-checkpointing=yes",
        ) from error


def _finish(training: Training, saver: Saver, log: TrainLog, report: Report, loop: Loop | None) -> dict:
    """The final voice, and the sentence that says how it ended."""
    voice = saver.save_final_voice()
    early = loop is not None and loop.ended_early
    if early:
        log.say("The time limit is reached: training is saved; run the same command again to go on.")
    else:
        log.say(DONE)
    summary = {
        "epoch": training.progress.epoch,
        "step": training.progress.step,
        "voice": str(voice),
        "complete": not early,
        **({name: round(value, 4) for name, value in loop.last_losses.items()} if loop else {}),
    }
    report(Finished("train", summary))
    return summary


def _settle_progress(training: Training, per_epoch: int, log: TrainLog) -> None:
    """Says where training goes on."""
    progress = training.progress
    if progress.epoch == 0 and progress.step == 0:
        return
    if progress.step == 0:  # RVC's checkpoints do not count steps
        progress.step = progress.epoch * per_epoch
    log.say(f"Resuming from epoch {progress.epoch + 1}, step {progress.step}")


def _batches(training: Training, sampler: BucketSampler) -> Iterator[Batch]:
    options, plan = training.plan.options, training.plan
    progress = training.progress
    batches = EndlessBatches(sampler, progress.epoch + 1, options.total_epoch, progress.batch)
    on_gpu = training.device.type == "cuda"
    workers = options.workers if on_gpu else 0  # on a CPU the nets need every core
    if options.cache_in_gpu and on_gpu:
        return DeviceCache(plan.clips, plan.config.data, training.device, workers).stream(batches)
    return stream(plan.clips, plan.config.data, batches, training.device, workers)


def _describe(training: Training) -> list[str]:
    plan, team, precision = training.plan, training.nets.team, training.settings.precision
    seconds = sum(clip.frames for clip in plan.clips) / 100
    lines = [
        f"training on {len(plan.clips)} clips ({seconds / 60:.1f} minutes) in {precision.name} "
        f"on {training.device}: {plan.options.batch_size} clips in a batch, processes {team.size}"
    ]
    if plan.spared:
        lines.append("held out and not trained on: " + ", ".join(clip.item.stem for clip in plan.heldout))
    else:
        lines.append(
            f"too few clips to hold any out: samples are of the training clip {plan.heldout[0].item.stem}"
        )
    return lines


def _board(plan: Plan, log: TrainLog) -> Board:
    board = Board.open(plan.experiment)
    if board is None:
        log.say("tensorboard is not installed: no curves and samples are written (pip install tensorboard)")
    return board or Board()


@contextlib.contextmanager
def _arithmetic(options: TrainOptions) -> Iterator[None]:
    """fp32 means fp32: TF32 only where it was asked for. Shapes repeat, so cuDNN may search for the best."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = options.tf32
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
