"""Epoch after epoch: batches through the step, numbers to the log, checkpoints to disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from infer.jobs.events import Metric, Report
from infer.jobs.events import Progress as ProgressEvent
from infer.lib.models.synthesizer import Draws
from infer.stages.train.batch import Batch
from infer.stages.train.board import scalar_values
from infer.stages.train.draws import DrawKey, make_draws
from infer.stages.train.graphs import GraphedStep, graphs_wanted
from infer.stages.train.logs import TrainLog, epoch_line, loss_line
from infer.stages.train.saves import Saver
from infer.stages.train.state import Training
from infer.stages.train.step import RVCS_AIM, Aim, StepResult, train_step
from infer.stages.train.stop import Clock, NotFinite, Stopped, StopSignal
from infer.stages.train.tally import Tally

CHECK_EVERY = 10  # steps between looks at the device's numbers; each look waits for the device

Step = Callable[..., StepResult]  # step(batch, draws, measure_norms=..., warm_up=...)
MakeStep = Callable[[Training], Step]


@dataclass(frozen=True)
class Surroundings:
    """What the loop reports to and is stopped by."""

    report: Report
    log: TrainLog
    saver: Saver
    signal: StopSignal
    clock: Clock


class Loop:
    """Trains until the last epoch, a stop, or the time limit. `ended_early` tells of the latter."""

    def __init__(
        self,
        training: Training,
        batches: Iterator[Batch],
        per_epoch: int,
        around: Surroundings,
        step: Step,
    ):
        self.training, self.batches, self.per_epoch, self.around = training, batches, per_epoch, around
        self.tally = Tally(training.device)
        self.step = step
        self.ended_early = False
        self.last_losses: dict[str, float] = {}
        options = training.plan.options
        self.log_interval = options.log_interval or training.plan.config.train.log_interval

    def run(self) -> None:
        """Raises Stopped after a signal and NotFinite after losses that are no numbers."""
        options, progress = self.training.plan.options, self.training.progress
        self._tell_progress(progress.epoch + 1, progress.batch)  # where speed is measured from
        while progress.epoch < options.total_epoch and not self.ended_early:
            self._epoch(progress.epoch + 1)

    def _epoch(self, epoch: int) -> None:
        training, around = self.training, self.around
        began_s = around.clock.elapsed_s
        training.set_rate(training.learning_rate(epoch))
        for number in range(training.progress.batch, self.per_epoch):
            self._one_step(epoch, number)
        training.progress.epoch, training.progress.batch = epoch, 0
        self._check()
        self._close_epoch(epoch, around.clock.elapsed_s - began_s)

    def _one_step(self, epoch: int, number: int) -> None:
        training = self.training
        batch = next(self.batches)
        draws = make_draws(batch, DrawKey(training.plan.options.seed, epoch, number), training.plan.spec)
        shown = training.progress.step % self.log_interval == 0
        warm_up = training.progress.step < training.plan.options.warmup_d
        result = self.step(batch, draws, measure_norms=shown, warm_up=warm_up)
        self.tally.add(result.losses)
        if shown:
            self._show(epoch, number, batch, result)
        training.progress.step += 1
        training.progress.batch = number + 1
        if number + 1 < self.per_epoch:
            self._tell_progress(epoch, number + 1)
        due = training.progress.step % CHECK_EVERY == 0 or self._alone_and_stopped()
        if due and number + 1 < self.per_epoch:  # the end of an epoch has its own look
            self._check()

    def _tell_progress(self, epoch: int, steps: int) -> None:
        """`steps` of `epoch` are done. Reports are thinned by whoever writes them."""
        item = f"epoch {epoch}, step {steps} of {self.per_epoch}"
        total = self.training.plan.options.total_epoch
        self.around.report(ProgressEvent(epoch - 1, total, item, steps / self.per_epoch))

    def _alone_and_stopped(self) -> bool:
        """One process may stop at any step; several must agree, at a step that all of them look at."""
        return self.around.signal.received and self.training.nets.team.size == 1

    def _check(self) -> None:
        """Ends the run if the losses are lost or a stop was asked for, on any process."""
        training, around = self.training, self.around
        team, precision = training.nets.team, training.settings.precision
        looked_at = self.tally.worst_streak, around.signal.received, precision.scale_is_lost
        streak, stopped, lost = team.largest([float(value) for value in looked_at], training.device)
        if streak > precision.steps_forgiven or lost:
            raise NotFinite(
                f"the losses are no longer numbers (step {training.progress.step}, {int(streak)} in a row, "
                f"{precision.name}); the last checkpoint is kept",
                "look for damaged clips, or go on from it with --precision=fp32 or bf16",
            )
        if stopped:
            around.saver.save_on_stop()
            raise Stopped(
                f"training was stopped in epoch {training.progress.epoch + 1} after step "
                f"{training.progress.step} and is saved",
                "run the same command again to go on",
            )

    def _show(self, epoch: int, number: int, batch: Batch, result: StepResult) -> None:
        training, around = self.training, self.around
        means = training.nets.team.mean(_row(result)).tolist()
        self.last_losses = dict(zip(Tally.NAMES, means, strict=True))
        step, rate = training.progress.step, training.rate
        around.log.say(f"Train Epoch: {epoch} [{100 * number / self.per_epoch:.0f}%]")
        around.log.say(str([step, rate]))
        around.log.say(loss_line(self.last_losses))
        around.report(Metric(step, epoch, {**self.last_losses, "learning_rate": rate}))
        around.saver.show_step(step, scalar_values(result.losses, rate), batch, result)

    def _close_epoch(self, epoch: int, seconds: float) -> None:
        training, around = self.training, self.around
        team, options = training.nets.team, training.plan.options
        means = dict(zip(Tally.NAMES, team.mean(self.tally.take_means()).tolist(), strict=True))
        self.last_losses = means
        step = training.progress.step
        around.log.say(epoch_line(epoch, seconds))
        values = {**means, "epoch_s": seconds, "steps_per_s": self.per_epoch / max(seconds, 1e-9)}
        around.report(Metric(step, epoch, values))
        around.report(ProgressEvent(epoch, options.total_epoch, f"epoch {epoch}"))
        over = bool(team.largest([float(around.clock.over)], training.device)[0])
        self.ended_early = over and epoch < options.total_epoch
        if epoch % options.save_every_epoch == 0 or epoch == options.total_epoch or self.ended_early:
            around.saver.save()


def _row(result: StepResult) -> torch.Tensor:
    losses = result.losses
    return torch.stack((losses.disc, losses.gen, losses.fm, losses.mel, losses.kl))


def stepper(training: Training, aim: Aim = RVCS_AIM) -> Step:
    """RVC's step, recorded where that is possible."""

    def plain(batch: Batch, draws: Draws, **how: bool) -> StepResult:
        return train_step(training.nets, training.optimizers, batch, draws, training.settings, aim=aim, **how)

    return recorded(plain, training)


def recorded(plain: Step, training: Training) -> Step:
    """The step as CUDA graphs, or the step itself where they are not wanted."""
    if graphs_wanted(training.plan.options, training.device, training.nets.team.size):
        return GraphedStep(plain, training.settings.mel)
    return plain
