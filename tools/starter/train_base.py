"""Trains the base: the training stage with a longer breath.

    python -m tools.starter.train_base --experiment=base --alone=yes --time-limit-s=500 ...
    python -m tools.starter.train_base --experiment=base --pretrain-g=alone/G.pth --time-limit-s=1200 ...

A generator and a discriminator that both know nothing teach each other little. So the generator first
learns alone, from the distance of its spectrograms at several resolutions (as in Yamamoto et al. 2020); then
the pair trains as a voice does. A share of the clips is spoken from their content, through the prior's mean
and the reversed flow, so that what a conversion does is learnt itself (as in Tan et al. 2022). The learning
rate falls with the time (a cosine), so that the last run of several ends at its lowest point.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

import config
from infer.jobs.command import option
from infer.jobs.events import Report
from infer.jobs.stage import stage_main
from infer.lib.errors import BadInput
from infer.lib.mel import MelSettings, mel_spectrogram
from infer.lib.models.synthesizer import Draws
from infer.stages.train import losses as formulas
from infer.stages.train import run as stage
from infer.stages.train.batch import Batch
from infer.stages.train.loop import Step, recorded, stepper
from infer.stages.train.losses import KlStats, Losses
from infer.stages.train.options import TrainOptions
from infer.stages.train.state import Training
from infer.stages.train.step import StepResult, Windows, detached, forward

# Window and bands of each resolution beside the network's own; a window moves by its quarter.
RESOLUTIONS = ((256, 32), (512, 64), (1024, 96), (4096, 128))
RESOLUTION_WEIGHT = 15.0  # of each; the network's own has c_mel (45)
WARM_UP = 200  # steps


@dataclass(frozen=True)
class BaseOptions(TrainOptions):
    """Train the base from the prepared clips of its speakers."""

    alone: bool = option(False, help="the generator alone, without a discriminator")
    learning_rate: float = option(2e-4, help="learning rate at the beginning of this run")
    last_learning_rate: float = option(1e-4, help="learning rate at its time limit")
    prior_share: float = option(
        0.5, help="of the clips, 0..1: spoken from the content, not from the recording"
    )

    def __post_init__(self):
        super().__post_init__()
        if len(self.gpu_list) > 1:
            raise ValueError("the base trains on one GPU: leave --gpus away")
        if not 0 <= self.prior_share <= 1:
            raise ValueError(f"prior_share is {self.prior_share}, but must be 0..1")


def run(options: BaseOptions, report: Report) -> dict:
    """As `infer.stages.train.run`, with the rates of these options."""
    if options.alone and options.precision == "fp16":  # its small gradients would need a loss scale
        raise BadInput(
            "the generator alone does not train in fp16", "add --precision=bf16 or --precision=fp32"
        )
    began = time.monotonic()

    def make_step(training: Training) -> Step:
        step = recorded(partial(alone_step, training), training) if options.alone else stepper(training)
        step = _with_prior(step, options.prior_share, options.seed)
        return _with_rate(step, training, lambda n: rate_at(options, time.monotonic() - began, n))

    return stage.run(options, report, make_step)


def rate_at(options: BaseOptions, seconds: float, steps: int) -> float:
    """A half cosine over the time limit from `learning_rate` to `last_learning_rate`.

    The first steps of a run climb to it, as Adam's moments are not yet known.
    """
    done = min(seconds / options.time_limit_s, 1.0) if options.time_limit_s else 0.0
    height = 0.5 * (1 + math.cos(math.pi * done))
    rate = options.last_learning_rate + (options.learning_rate - options.last_learning_rate) * height
    return rate * min(1.0, (steps + 1) / WARM_UP)


def _with_prior(step: Step, share: float, seed: int) -> Step:
    """The step, with a new choice of the clips that are spoken from the prior each time."""
    if not share:
        return step
    rng = np.random.default_rng(seed)

    def stepped(batch: Batch, draws: Draws, **how: bool) -> StepResult:
        chosen = torch.from_numpy(rng.random(len(batch.frames)) < share).to(batch.content.device)
        return step(batch, replace(draws, from_prior=chosen), **how)

    return stepped


def _with_rate(step: Step, training: Training, rate: Callable[[int], float]) -> Step:
    counted = itertools.count()

    def stepped(batch: Batch, draws: Draws, **how: bool) -> StepResult:
        training.set_rate(rate(next(counted)))
        return step(batch, draws, **how)

    return stepped


def alone_step(
    training: Training, batch: Batch, draws: Draws, measure_norms: bool = False, warm_up: bool = False
) -> StepResult:
    """One update of the generator by spectrograms and KL. The discriminator's losses are 0."""
    settings, optimizer = training.settings, training.optimizers.generator
    output, windows = forward(training.nets, batch, draws, settings)
    optimizer.zero_grad(set_to_none=True)
    with settings.precision.exact():
        stats = KlStats(output.z_p, output.m_p, output.logs_p, output.logs_q, output.spec_mask)
        mel = formulas.mel_loss(windows.true_mel, windows.made_mel, settings.c_mel)
        finer = spectral_distance(windows, settings.mel)
        kl = settings.c_kl * formulas.kl_loss(stats)
        (mel + finer + kl).backward()
    optimizer.step()
    none, nones = torch.zeros_like(mel), mel.new_zeros(len(training.nets.discriminator.discriminators))
    losses = Losses(none, none, finer.detach(), mel.detach(), kl.detach(), nones, nones, nones)
    return StepResult(losses, detached(output), detached(windows))


def spectral_distance(windows: Windows, mel: MelSettings) -> torch.Tensor:
    """Weighted sum over the resolutions of mean |log-mel true - made|."""
    total = 0.0
    for window, bands in RESOLUTIONS:
        kind = replace(mel, n_fft=window, win=window, hop=window // 4, n_mels=bands)
        true, made = (mel_spectrogram(x.squeeze(1), kind) for x in (windows.true, windows.made))
        total = total + formulas.mel_loss(true, made, RESOLUTION_WEIGHT)
    return total


def main(argv: list[str] | None = None) -> int:
    return stage_main(BaseOptions, "tools.starter.train_base", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
