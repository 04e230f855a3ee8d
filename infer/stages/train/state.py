"""The nets, their optimizers and how far they have come: from scratch, from a base, or from a checkpoint."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from infer.jobs.experiment import LATEST_STEP
from infer.lib.checkpoint import (
    TrainingCheckpoint,
    load_base,
    load_matching,
    map_optimizer,
    named_shapes,
    voice_from_training,
    write_voice,
)
from infer.lib.checkpoint_layout import NOISE_KEY, noise_scale_of
from infer.lib.encoder_choice import which_for
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.mel import MelSettings
from infer.lib.models.discriminators import MultiPeriodDiscriminator
from infer.lib.models.synthesizer import Synthesizer
from infer.lib.voice_header import read_header
from infer.stages.train.distributed import Team
from infer.stages.train.graphs import graphs_wanted
from infer.stages.train.optimizers import Optimizers, adamw, set_rate, stored_state
from infer.stages.train.pairs import Pair, write_pair
from infer.stages.train.plan import Plan, spec_record
from infer.stages.train.precision import Precision
from infer.stages.train.step import Networks, StepSettings

SPEAKER_TABLE = "emb_g.weight"
RVCS = "RVC's HuBERT"


@dataclass
class Progress:
    """How far training is. `batch`: batches already done of the epoch after `epoch` (0 at an epoch's end)."""

    epoch: int = 0
    step: int = 0
    batch: int = 0


@dataclass
class Training:
    """Everything that changes in a run."""

    plan: Plan
    nets: Networks
    optimizers: Optimizers
    settings: StepSettings
    progress: Progress
    notes: list[str] = field(default_factory=list)  # what was loaded, for the log
    rate: float = 0.0  # learning rate of the latest step, for the log

    @property
    def device(self) -> torch.device:
        return self.settings.precision.device

    def learning_rate(self, epoch: int) -> float:
        """ExponentialLR in closed form, so a resumed run needs no scheduler state. Epochs count from 1."""
        train = self.plan.config.train
        return train.learning_rate * train.lr_decay ** (epoch - 1)

    def set_rate(self, rate: float) -> None:
        for optimizer in (self.optimizers.generator, self.optimizers.discriminator):
            set_rate(optimizer, rate)
        self.rate = rate

    def save(self) -> int:
        """Writes the pair of checkpoints; returns the number in their names."""
        number = LATEST_STEP if self.plan.options.latest_only else self.progress.step
        nets, optimizers = self.nets, self.optimizers
        pair = Pair(
            number,
            self._checkpoint(nets.generator, optimizers.generator, self._records()),
            self._checkpoint(nets.discriminator, optimizers.discriminator, {}),
        )
        write_pair(self.plan.experiment, pair)
        return number

    def save_voice(self, name: str) -> Path:
        """Writes the voice as it is now to `<weights>/<name>.pth`."""
        plan = self.plan
        voice = voice_from_training(
            TrainingCheckpoint(_on_cpu(self.nets.generator), self.progress.epoch),
            plan.spec,
            f"{self.progress.epoch}epoch",
            plan.settings.encoder,
            fill_unvoiced=bool(plan.settings.fill_unvoiced),
            extra=plan.notes,
        )
        path = plan.options.weights / f"{name}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_voice(path, voice)
        return path

    def _checkpoint(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, extra: dict
    ) -> TrainingCheckpoint:
        progress = self.progress
        return TrainingCheckpoint(
            model=_on_cpu(module),
            iteration=progress.epoch,
            optimizer=stored_state(optimizer),
            learning_rate=self.plan.config.train.learning_rate,
            extra={"step": progress.step, "batch": progress.batch, **extra},
        )

    def _records(self) -> dict:
        """Ours, beside RVC's four entries. There is no random state: every draw comes from a key."""
        plan = self.plan
        return {
            "spec": spec_record(plan.spec),
            "encoder": plan.settings.encoder,
            "fill_unvoiced": bool(plan.settings.fill_unvoiced),
            **plan.notes,
            **self.epoch_record(),
            "heldout": [clip.item.stem for clip in plan.heldout] if plan.spared else [],
            "scaler": self.settings.precision.scaler.state_dict(),
        }

    def epoch_record(self) -> dict:
        """What decides the batches of an epoch."""
        options = self.plan.options
        return {
            "seed": options.seed,
            "batch_size": options.batch_size * self.nets.team.size,
            "clips": len(self.plan.clips),
        }


def build(plan: Plan, pair: Pair | None, team: Team, device: torch.device) -> Training:
    """Fresh nets of the plan's seed, then what `pair` or the pretrained bases hold."""
    options = plan.options
    torch.manual_seed(options.seed)
    generator, discriminator = Synthesizer(plan.spec), MultiPeriodDiscriminator(plan.spec.version)
    notes: list[str] = []
    if pair:
        notes += _load_pair(generator, discriminator, pair)
    else:
        notes += _load_bases(generator, discriminator, plan)
    plan = replace(plan, notes={**plan.notes, **_noise(plan, pair)})
    generator.gradient_checkpointing = options.gradient_checkpointing
    generator.to(device).train()
    discriminator.to(device).train()
    train = plan.config.train
    recorded = graphs_wanted(options, device, team.size)
    optimizers = Optimizers(*(adamw(net, train, recorded) for net in (generator, discriminator)))
    precision = Precision(options.precision, device)
    settings = StepSettings(
        mel=MelSettings.of(plan.config.data),
        segment_frames=plan.spec.segment_frames,
        precision=precision,
        c_mel=train.c_mel,
        c_kl=train.c_kl,
    )
    training = Training(
        plan, Networks(generator, discriminator, team), optimizers, settings, Progress(), notes
    )
    if pair:
        _load_optimizers(training, pair)
    return training


def check_continues(pair: Pair, plan: Plan, other: str = "") -> None:
    """Raises BadInput when the checkpoint is of another rate, version, pitch guidance or encoder.

    `other` is the experiment it comes from, if that is not the plan's own.
    """
    where = f"the checkpoint G_{pair.number}.pth of experiment {other or plan.experiment.name}"
    hint = "choose the same as before, or use a new experiment name"
    recorded = pair.generator.extra.get("spec")
    if recorded:
        now = spec_record(plan.spec)
        for name, words in (
            ("sample_rate", "sample rate"),
            ("version", "version"),
            ("use_f0", "pitch guidance"),
        ):
            if recorded.get(name) != now[name]:
                raise BadInput(f"{where} has {words} {recorded.get(name)}, not {now[name]}", hint)
    before, now = pair.generator.extra.get("encoder"), plan.settings.encoder
    if "encoder" in pair.generator.extra and not _same_encoder(before, now):
        before, now = (name or RVCS for name in (before, now))
        raise BadInput(f"{where} was trained on content of {before}, but the clips have {now}", hint)


def _same_encoder(one: str | None, two: str | None) -> bool:
    """RVC's own experiments (None) belong to the hubert family, whatever its fingerprint."""
    if one is None or two is None:
        return (one or two or "hubert:").startswith("hubert:")
    return one == two


def _load_pair(generator: nn.Module, discriminator: nn.Module, pair: Pair) -> list[str]:
    """Raises BadInput when a net differs in more than its number of speakers."""
    notes = []
    for module, checkpoint, name in (
        (generator, pair.generator, f"G_{pair.number}.pth"),
        (discriminator, pair.discriminator, f"D_{pair.number}.pth"),
    ):
        own = module.state_dict()
        fresh = load_matching(module, checkpoint.model)
        surplus = [key for key in checkpoint.model if key not in own]
        odd = [key for key in (*fresh, *surplus) if key != SPEAKER_TABLE]
        if odd:
            raise BadInput(
                f"the checkpoint {name} is of another sample rate, version or pitch guidance than the one "
                f"to train ({len(odd)} tensors differ, such as {odd[0]})",
                "choose the same as before, or use a new experiment name",
            )
        if fresh:
            notes.append(f"{name} has another number of speakers; the speaker table starts afresh")
    return notes


def _load_bases(generator: nn.Module, discriminator: nn.Module, plan: Plan) -> list[str]:
    """Both may be given, one, or none: what is not starts afresh."""
    notes = []
    for module, text, what in (
        (generator, plan.options.pretrain_g, "generator"),
        (discriminator, plan.options.pretrain_d, "discriminator"),
    ):
        if not text:
            continue
        path = Path(text)
        if not path.is_file():
            raise MissingFile(
                f"the pretrained {what} {path} does not exist",
                "download it with tools/download_assets.py, or leave the field empty to train from scratch",
            )
        _check_content(path, plan)
        load_base(path, module)
        notes.append(f"loaded pretrained {path}")
    return notes


def _noise(plan: Plan, pair: Pair | None) -> dict[str, float]:
    """The note of the noise that suits the base, as it suits the voices from it; {} where none is told."""
    base = plan.options.pretrain_g
    told = pair.generator.extra if pair else read_header(Path(base)).extra if base else {}
    scale = noise_scale_of(told)
    return {} if scale is None else {NOISE_KEY: scale}


def _check_content(path: Path, plan: Plan) -> None:
    """Raises BadInput for a base that records another content encoder than that of the clips."""
    before, now = read_header(path).encoder, plan.settings.encoder
    if before and not _same_encoder(before, now):
        raise BadInput(
            f"the base {path} was trained on content of {before}, but the clips have {now or RVCS}",
            f"choose another base, or extract the content again with --encoder={which_for(before)}",
        )


def _load_optimizers(training: Training, pair: Pair) -> None:
    """Moments, progress and the loss scale of a checkpoint. RVC's files lack what is ours."""
    nets, optimizers, extra = training.nets, training.optimizers, pair.generator.extra
    for module, optimizer, checkpoint in (
        (nets.generator, optimizers.generator, pair.generator),
        (nets.discriminator, optimizers.discriminator, pair.discriminator),
    ):
        try:
            mapped, fresh = map_optimizer(checkpoint.optimizer, named_shapes(module))
        except BadCheckpoint as error:
            training.notes.append(f"the optimizer starts afresh: {error}")
            continue
        if mapped:
            mapped["param_groups"] = optimizer.state_dict()["param_groups"]  # ours: rate, betas, fused
            optimizer.load_state_dict(mapped)
        if fresh:
            training.notes.append(
                f"{len(fresh)} of the optimizer's {len(named_shapes(module))} entries start afresh"
            )
    if extra.get("scaler") and training.settings.precision.scaler.is_enabled():
        training.settings.precision.scaler.load_state_dict(extra["scaler"])
    unchanged = all(extra.get(name) == value for name, value in training.epoch_record().items())
    training.progress = Progress(
        epoch=pair.generator.iteration,
        step=int(extra.get("step", 0)),
        batch=int(extra.get("batch", 0)) if unchanged else 0,  # another epoch now: from its start
    )


def _on_cpu(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
