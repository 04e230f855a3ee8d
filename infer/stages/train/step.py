"""One optimisation step: the discriminator learns to tell, then the generator learns to be believed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import get_total_norm

from infer.lib.mel import MelSettings, linear_to_mel, mel_spectrogram
from infer.lib.models.discriminators import MultiPeriodDiscriminator
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer, TrainOutput, cut_windows
from infer.stages.train import losses as formulas
from infer.stages.train.batch import Batch
from infer.stages.train.distributed import Team
from infer.stages.train.losses import KlStats, Losses
from infer.stages.train.optimizers import Optimizers
from infer.stages.train.precision import Precision


class Networks:
    """Both nets, bare and as called in training (wrapped when several processes train together)."""

    def __init__(
        self, generator: Synthesizer, discriminator: MultiPeriodDiscriminator, team: Team | None = None
    ):
        team = team or Team()
        self.generator, self.discriminator = generator, discriminator
        self.shared_generator: nn.Module = team.wrap(generator)
        self.shared_discriminator: nn.Module = team.wrap(discriminator)
        self.team = team


@dataclass(frozen=True)
class StepSettings:
    """What a step needs besides nets and data."""

    mel: MelSettings
    segment_frames: int
    precision: Precision
    c_mel: float = 45.0
    c_kl: float = 1.0


@dataclass(frozen=True)
class Windows:
    """The pieces of each clip that are compared: waves [B, 1, N], log mels [B, M, T]."""

    true: torch.Tensor
    made: torch.Tensor
    true_mel: torch.Tensor
    made_mel: torch.Tensor


@dataclass(frozen=True)
class StepResult:
    """Losses, and what the networks made on the way (for pictures and for tests)."""

    losses: Losses
    output: TrainOutput
    windows: Windows


def _all_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows


@dataclass(frozen=True)
class Aim:
    """What a recipe asks of the generator otherwise than RVC. Both work within a recorded step."""

    true_rows: Callable[[torch.Tensor], torch.Tensor] = _all_rows  # [B, ...] -> those made to equal the truth
    more: Callable[[Windows], torch.Tensor] | None = None  # a further loss


RVCS_AIM = Aim()


def train_step(
    nets: Networks,
    optimizers: Optimizers,
    batch: Batch,
    draws: Draws | None,
    settings: StepSettings,
    *,
    measure_norms: bool = False,
    warm_up: bool = False,
    aim: Aim = RVCS_AIM,
) -> StepResult:
    """One update of both nets; the gradients stay in `.grad`. Nothing here waits for the device.

    In a `warm_up` step only the discriminator learns: one that starts afresh has nothing to teach a good
    generator yet. All losses are measured as ever; what the aim adds is told as part of the mel loss.
    """
    with torch.set_grad_enabled(not warm_up):
        output, windows = forward(nets, batch, draws, settings)
    norms: dict[str, torch.Tensor] = {}
    real_parts, fake_parts = _discriminator_phase(nets, optimizers, windows, settings)
    if measure_norms:
        norms["d"] = _gradient_norm(nets.discriminator)
    nets.discriminator.requires_grad_(False)
    with torch.set_grad_enabled(not warm_up):
        parts = _generator_phase(nets, optimizers, (output, windows), settings, aim)
    nets.discriminator.requires_grad_(True)
    if measure_norms and not warm_up:
        norms["g"] = _gradient_norm(nets.generator)
    settings.precision.scaler.update()
    losses = Losses(
        disc=real_parts.sum() + fake_parts.sum(),
        disc_real_parts=real_parts,
        disc_fake_parts=fake_parts,
        norms=norms,
        **parts,
    )
    return StepResult(losses, detached(output), detached(windows))


def forward(
    nets: Networks, batch: Batch, draws: Draws | None, settings: StepSettings
) -> tuple[TrainOutput, Windows]:
    """The generator's pass, and the windows of truth and result."""
    mel, length = settings.mel, settings.segment_frames
    spectrogram = batch.spectrogram(mel)
    pitch = None if batch.f0_hz is None else Pitch(batch.f0_coarse, batch.f0_hz)
    with settings.precision.autocast():
        output = nets.shared_generator(
            batch.content,
            batch.lengths,
            pitch,
            spectrogram,
            batch.lengths,
            speaker_ids=batch.speaker_ids,
            draws=draws,
        )
    made = output.audio.float()
    with settings.precision.exact():
        windows = Windows(
            true=cut_windows(batch.audio.unsqueeze(1), output.starts * mel.hop, length * mel.hop),
            made=made,
            true_mel=linear_to_mel(cut_windows(spectrogram, output.starts, length), mel),
            made_mel=mel_spectrogram(made.squeeze(1), mel),
        )
    return output, windows


def _discriminator_phase(
    nets: Networks, optimizers: Optimizers, windows: Windows, settings: StepSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """True and made windows in one pass; returns each discriminator's two losses [D]."""
    scaler = settings.precision.scaler
    optimizers.discriminator.zero_grad(set_to_none=True)
    with settings.precision.autocast():
        scores, _ = nets.shared_discriminator(torch.cat((windows.true, windows.made.detach())))
    with settings.precision.exact():
        real, fake = zip(*(score.chunk(2) for score in scores), strict=True)
        real_parts, fake_parts = formulas.discriminator_parts(real, fake)
    scaler.scale(real_parts.sum() + fake_parts.sum()).backward()
    scaler.step(optimizers.discriminator)
    return real_parts.detach(), fake_parts.detach()


def _generator_phase(
    nets: Networks,
    optimizers: Optimizers,
    made: tuple[TrainOutput, Windows],
    settings: StepSettings,
    aim: Aim,
) -> dict[str, torch.Tensor]:
    """Against the updated discriminator, which only passes gradients on; returns detached losses.

    The bare discriminator is called: the wrapped one would wait for gradients of its own. The true
    windows pass it without a graph, which saves their whole backward pass.
    """
    output, windows = made
    scaler, judge = settings.precision.scaler, nets.discriminator
    optimizers.generator.zero_grad(set_to_none=True)
    with settings.precision.autocast():
        with torch.no_grad():
            _, real_maps = judge(windows.true)
        fake_scores, fake_maps = judge(windows.made)
    with settings.precision.exact():
        gen_parts = formulas.generator_parts(fake_scores)
        terms = {
            "gen": gen_parts.sum(),
            "fm": formulas.feature_loss(_rows_of(real_maps, aim), _rows_of(fake_maps, aim)),
            "mel": formulas.mel_loss(
                aim.true_rows(windows.true_mel), aim.true_rows(windows.made_mel), settings.c_mel
            ),
            "kl": settings.c_kl * _kl(output, nets.team),
        }
        if aim.more:
            terms["mel"] = terms["mel"] + aim.more(windows)
        total = terms["gen"] + terms["fm"] + terms["mel"] + terms["kl"]
    if torch.is_grad_enabled():  # not so while the discriminator warms up
        scaler.scale(total).backward()
        scaler.step(optimizers.generator)
    return {"gen_parts": gen_parts.detach(), **{name: term.detach() for name, term in terms.items()}}


def _rows_of(maps: formulas.Maps, aim: Aim) -> formulas.Maps:
    return [[aim.true_rows(part) for part in own] for own in maps]


def _kl(output: TrainOutput, team: Team) -> torch.Tensor:
    stats = KlStats(output.z_p, output.m_p, output.logs_p, output.logs_q, output.spec_mask)
    return formulas.kl_loss(stats, team.mean(output.spec_mask.float().sum()))


def detached(record):
    """The same record without the graph that made its tensors."""
    return type(record)(*(value.detach() for value in vars(record).values()))


@torch.no_grad()
def _gradient_norm(module: nn.Module) -> torch.Tensor:
    """L2 norm over all gradients. Call it after the optimizer's step, which takes the loss scale away."""
    return get_total_norm([parameter.grad for parameter in module.parameters() if parameter.grad is not None])
