"""From a training checkpoint to a voice: what the network is, which encoder, under which notes."""

from dataclasses import dataclass
from pathlib import Path

from infer.jobs.experiment import Experiment
from infer.jobs.set_notes import set_notes
from infer.lib.checkpoint import (
    TrainingCheckpoint,
    VoiceFile,
    read_training,
    spec_from_tensors,
    voice_from_training,
)
from infer.lib.checkpoint_kinds import other_kind
from infer.lib.checkpoint_layout import VOICE_NOTES
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.models.spec import ModelSpec, read_config
from infer.stages.ckpt.options import AUTO, ExtractOptions


@dataclass(frozen=True)
class Found:
    """The checkpoint that was used."""

    path: Path
    epoch: int
    name: str  # what to call the voice unless told: the experiment's name, else the file's


def voice_of_checkpoint(options: ExtractOptions) -> tuple[VoiceFile, Found]:
    """The voice in the checkpoint that `options` name. Raises RvcError."""
    path = checkpoint_path(options.checkpoint)
    checkpoint = read_training(path)
    if "enc_p.emb_phone.weight" not in checkpoint.model:
        raise other_kind(path, "discriminator", "voice")
    experiment = Experiment(path.absolute().parent)
    spec = spec_of(checkpoint, experiment)
    _check_choices(spec, options, path)
    settings = experiment.read_settings()
    fill = checkpoint.extra.get("fill_unvoiced")
    voice = voice_from_training(
        checkpoint,
        spec,
        options.info or f"{checkpoint.iteration}epoch",
        options.encoder or checkpoint.extra.get("encoder") or settings.encoder,
        fill_unvoiced=bool(settings.fill_unvoiced if fill is None else fill),
        extra=_extra(options, checkpoint, experiment, spec.use_f0),
        source=path,
    )
    in_experiment = experiment.config_file.is_file() or experiment.settings_file.is_file()
    return voice, Found(path, checkpoint.iteration, experiment.name if in_experiment else path.stem)


def _extra(
    options: ExtractOptions, checkpoint: TrainingCheckpoint, experiment: Experiment, use_f0: bool
) -> dict:
    """What the checkpoint records of its training set, else the experiment; its noise; the terms."""
    recorded = {key: checkpoint.extra[key] for key in VOICE_NOTES if key in checkpoint.extra}
    terms = {key: text for key in ("author", "licence") if (text := getattr(options, key))}
    return {**set_notes(experiment, use_f0), **recorded, **terms}


def checkpoint_path(given: Path) -> Path:
    """`given` itself, or the newest generator checkpoint in the experiment folder `given`."""
    if not given.is_dir():
        return given
    files = Experiment(given).generator_files()
    if not files:
        raise MissingFile(f"{given} holds no G_*.pth", "train the experiment first")
    return files[0]


def spec_of(checkpoint: TrainingCheckpoint, experiment: Experiment) -> ModelSpec:
    """What was trained: as our checkpoints say, else by the tensors and the configuration beside them."""
    recorded = checkpoint.extra.get("spec")
    if recorded is not None:
        try:
            return ModelSpec(**recorded)
        except (TypeError, ValueError) as error:
            raise BadCheckpoint("the checkpoint's record of its network is damaged", str(error)) from error
    if experiment.config_file.is_file():
        try:
            return spec_from_tensors(checkpoint.model, read_config(experiment.config_file))
        except BadInput:
            # The configuration of an experiment may be stale: RVC keeps it when the rate changes.
            return spec_from_tensors(checkpoint.model)
    return spec_from_tensors(checkpoint.model)


def _check_choices(spec: ModelSpec, options: ExtractOptions, path: Path) -> None:
    """A choice that contradicts the checkpoint would make a voice that sounds wrong: refused."""
    for what, asked, is_really in (
        ("sample rate", options.sample_rate, spec.rate_label),
        ("version", options.version, spec.version),
        ("pitch guidance", options.use_f0, "yes" if spec.use_f0 else "no"),
    ):
        if asked not in (AUTO, is_really):
            raise BadInput(f"{path} has {what} {is_really}, not {asked}", "leave it at auto")
