"""Trains the base: the training stage with a longer breath.

    python -m tools.starter.train_base --experiment=base --alone=yes --time-limit-s=500 ...
    python -m tools.starter.train_base --experiment=base --pretrain-g=alone/G.pth --time-limit-s=1200 ...

A generator and a discriminator that both know nothing teach each other little. So the generator first
learns alone, from the distance of its spectrograms at several resolutions (as in Yamamoto et al. 2020); then
the pair trains as a voice does. A share of the clips is spoken from their content, through the prior's mean
and the reversed flow, so that what a conversion does is learnt itself (as in Tan et al. 2022). With
`--content-weight` the content encoder judges too whether the same is said; the pair may then speak every
n-th clip as another speaker (`--swap-every`), judged by its content and the discriminator alone. The learning
rate falls with the time (a cosine), so that the last run of several ends at its lowest point.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

import config
from infer.jobs.command import option
from infer.jobs.events import Report
from infer.jobs.stage import stage_main
from infer.lib.errors import BadInput
from infer.lib.mel import MelSettings, mel_spectrogram
from infer.lib.models.synthesizer import Draws
from infer.lib.starter_files import ENCODER_FILE, FOLDER
from infer.stages.train import losses as formulas
from infer.stages.train import run as stage
from infer.stages.train.batch import Batch
from infer.stages.train.loop import Step, recorded, stepper
from infer.stages.train.losses import KlStats, Losses
from infer.stages.train.options import TrainOptions
from infer.stages.train.state import RVCS, Training
from infer.stages.train.step import RVCS_AIM, Aim, StepResult, Windows, detached, forward
from tools.starter.content_distance import ContentDistance

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
    content_weight: float = option(0.0, help="of the distance of contents in the generator's loss; 0: none")
    encoder: Path = option(
        config.ASSETS / FOLDER / ENCODER_FILE, help="that made the clips' content, for --content-weight"
    )
    swap_every: int = option(0, help="every n-th clip of a batch is spoken as another speaker; 0: none")
    swap_to: str = option("0-1", help="numbers of the speakers for --swap-every, joined by dashes")

    def __post_init__(self):
        super().__post_init__()
        if len(self.gpu_list) > 1:
            raise ValueError("the base trains on one GPU: leave --gpus away")
        if not 0 <= self.prior_share <= 1:
            raise ValueError(f"prior_share is {self.prior_share}, but must be 0..1")
        if not (math.isfinite(self.content_weight) and self.content_weight >= 0):
            raise ValueError(f"content_weight is {self.content_weight}, but must not be negative")
        if self.swap_every and (self.swap_every < 2 or self.batch_size % self.swap_every):
            raise ValueError(
                f"swap_every is {self.swap_every}, but must be 0, or 2 and more and divide batch_size "
                f"({self.batch_size})"
            )
        if self.swap_every and not self.content_weight:
            raise ValueError("what others speak is judged by its content: give --content-weight")
        if self.swap_every and self.alone:
            raise ValueError("alone, nothing would make swapped clips sound natural: leave --swap-every away")
        self.swap_speakers  # noqa: B018 - a bad list is refused here

    @property
    def swap_speakers(self) -> tuple[int, ...]:
        """Speakers that a swapped clip may be spoken by."""
        parts = self.swap_to.split("-")
        if not all(part.isdecimal() for part in parts):
            raise ValueError(
                f"swap_to is {self.swap_to!r}, but must be numbers joined by dashes, such as 0-1"
            )
        return tuple(int(part) for part in parts)


def run(options: BaseOptions, report: Report) -> dict:
    """As `infer.stages.train.run`, with the rates of these options."""
    if options.alone and options.precision == "fp16":  # its small gradients would need a loss scale
        raise BadInput(
            "the generator alone does not train in fp16", "add --precision=bf16 or --precision=fp32"
        )
    began = time.monotonic()

    def make_step(training: Training) -> Step:
        _check_swap(options, training)
        aim = aim_of(options, training)
        if options.alone:
            step = recorded(partial(alone_step, training, aim=aim), training)
        else:
            step = stepper(training, aim)
        step = _with_prior(step, options)
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


def aim_of(options: BaseOptions, training: Training) -> Aim:
    """What the options add to RVC's losses. Raises BadInput for another encoder than that of the clips."""
    if not options.content_weight:
        return RVCS_AIM
    settings = training.settings
    distance = ContentDistance(options.encoder, settings.mel.sample_rate, settings.precision)
    made_with = training.plan.settings.encoder
    if distance.name != made_with:
        raise BadInput(
            f"the clips have content of {made_with or RVCS}, but {options.encoder} is {distance.name}",
            "name its file with --encoder=",
        )

    def more(windows: Windows) -> torch.Tensor:
        return options.content_weight * distance(windows).mean()

    rows = partial(_not_swapped, options.swap_every) if options.swap_every else RVCS_AIM.true_rows
    return Aim(rows, more)


def _check_swap(options: BaseOptions, training: Training) -> None:
    """Raises BadInput for speakers to swap to who have no clip."""
    known = {clip.item.speaker_id for clip in training.plan.clips}
    strange = [number for number in options.swap_speakers if number not in known]
    if options.swap_every and strange:
        raise BadInput(f"no clip is of speaker {strange[0]}", "name others with --swap-to=")


def _not_swapped(every: int, rows: torch.Tensor) -> torch.Tensor:
    """All but every n-th of the rows, which are the same ones in each step: a recording needs that.

    Clips lie by their length, so the shortest of each n are swapped; a clip's neighbours change.
    """
    return rows.unflatten(0, (-1, every))[:, :-1].flatten(0, 1)


def _with_prior(step: Step, options: BaseOptions) -> Step:
    """The step, with a new choice each time of the clips that are spoken from the prior, and as whom."""
    share, every = options.prior_share, options.swap_every
    if not share and not every:
        return step
    rng = np.random.default_rng(options.seed)

    def stepped(batch: Batch, draws: Draws, **how: bool) -> StepResult:
        chosen = rng.random(len(batch.frames)) < share
        if every:
            chosen[every - 1 :: every] = True
            drawn = torch.from_numpy(rng.integers(len(options.swap_speakers), size=len(chosen)))
            draws = replace(draws, spoken_as=_swapped(batch.speaker_ids, drawn, options))
        return step(
            batch, replace(draws, from_prior=torch.from_numpy(chosen).to(batch.content.device)), **how
        )

    return stepped


def _with_rate(step: Step, training: Training, rate: Callable[[int], float]) -> Step:
    counted = itertools.count()

    def stepped(batch: Batch, draws: Draws, **how: bool) -> StepResult:
        training.set_rate(rate(next(counted)))
        return step(batch, draws, **how)

    return stepped


def _swapped(own: torch.Tensor, drawn: torch.Tensor, options: BaseOptions) -> torch.Tensor:
    """Speakers [B] with every n-th replaced by the drawn ones [B], or the next where that is their own."""
    table = torch.tensor(options.swap_speakers).to(own)
    drawn = drawn.to(own)
    others = torch.where(table[drawn] == own, table[(drawn + 1) % len(table)], table[drawn])
    every = options.swap_every
    places = torch.arange(len(own), device=own.device)
    return torch.where(places % every == every - 1, others, own)


def alone_step(
    training: Training,
    batch: Batch,
    draws: Draws,
    *,
    measure_norms: bool = False,
    warm_up: bool = False,
    aim: Aim = RVCS_AIM,
) -> StepResult:
    """One update of the generator by spectrograms and KL; what the aim adds is told as `gen`."""
    settings, optimizer = training.settings, training.optimizers.generator
    output, windows = forward(training.nets, batch, draws, settings)
    optimizer.zero_grad(set_to_none=True)
    with settings.precision.exact():
        stats = KlStats(output.z_p, output.m_p, output.logs_p, output.logs_q, output.spec_mask)
        true, made = (aim.true_rows(mels) for mels in (windows.true_mel, windows.made_mel))
        mel = formulas.mel_loss(true, made, settings.c_mel)
        finer = spectral_distance(aim.true_rows(windows.true), aim.true_rows(windows.made), settings.mel)
        kl = settings.c_kl * formulas.kl_loss(stats)
        more = aim.more(windows) if aim.more else torch.zeros_like(mel)
        (mel + finer + kl + more).backward()
    optimizer.step()
    none, nones = torch.zeros_like(mel), mel.new_zeros(len(training.nets.discriminator.discriminators))
    losses = Losses(none, more.detach(), finer.detach(), mel.detach(), kl.detach(), nones, nones, nones)
    return StepResult(losses, detached(output), detached(windows))


def spectral_distance(true_waves: torch.Tensor, made_waves: torch.Tensor, mel: MelSettings) -> torch.Tensor:
    """Weighted sum over the resolutions of mean |log-mel true - made| of waves [B, 1, N]."""
    total = 0.0
    for window, bands in RESOLUTIONS:
        kind = replace(mel, n_fft=window, win=window, hop=window // 4, n_mels=bands)
        true, made = (mel_spectrogram(x.squeeze(1), kind) for x in (true_waves, made_waves))
        total = total + formulas.mel_loss(true, made, RESOLUTION_WEIGHT)
    return total


def main(argv: list[str] | None = None) -> int:
    return stage_main(BaseOptions, "tools.starter.train_base", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
