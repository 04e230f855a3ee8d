"""Which commands lead from recordings to a voice: single steps, and all of them in order.

The page and `train_all` share these, so what is clicked is what is typed. Light: imports no torch.
"""

from dataclasses import fields

from infer.jobs.command import Command
from infer.jobs.events import Report
from infer.jobs.experiment import Experiment
from infer.jobs.runner import Step
from infer.lib.encoder_choice import encoder_family
from infer.lib.f0 import preferred_method
from infer.lib.files import safe_name
from infer.stages.bases import assets_of, bases, warmup_d
from infer.stages.chain_options import TrainAllOptions
from infer.stages.extract_content.options import ExtractContentOptions
from infer.stages.extract_f0.options import ExtractF0Options
from infer.stages.index.options import IndexOptions
from infer.stages.train.options import TrainOptions


def whole_chain(options: TrainAllOptions, experiment: Experiment, report: Report) -> list[Step]:
    """Every step in order, decided before the first one runs.

    The index comes before training, so that every saved epoch can be heard with it. Raises MissingFile
    when the content encoder that was asked for is not there.
    """
    encoder = encoder_family(options.encoder, assets_of(options))
    return [
        *preparation(options, experiment),
        index_step(options, experiment),
        training_step(options, experiment, report, encoder),
    ]


def preparation(options: TrainAllOptions, experiment: Experiment) -> list[Step]:
    """Slicing (unless no folder was given), pitch (for voices with pitch), content."""
    slicing = [preprocess_step(options, experiment)] if options.trainset else []
    return [*slicing, *extraction(options, experiment)]


def extraction(options: TrainAllOptions, experiment: Experiment) -> list[Step]:
    """RVC's step 2b: pitch (for voices with pitch) and content."""
    pitch = [pitch_step(options, experiment)] if options.use_f0 else []
    return [*pitch, content_step(options, experiment)]


def preprocess_step(options: TrainAllOptions, experiment: Experiment) -> Step:
    """RVC's step 2a: the recordings of `options.trainset` become clips."""
    return _step("preprocess", experiment, [options.preprocessing(experiment.root)])


def pitch_step(options: TrainAllOptions, experiment: Experiment) -> Step:
    method = preferred_method(options.f0_method, assets_of(options))
    choices = [
        ExtractF0Options(
            experiment=experiment.root,
            method=method,
            device=device,
            shard=shard,
            workers=options.processes,
            fill_unvoiced=options.fill_unvoiced,
            assets=options.assets,
        )
        for device, shard in _shards(options)
    ]
    return _step("extract_f0", experiment, choices)


def content_step(options: TrainAllOptions, experiment: Experiment) -> Step:
    choices = [
        ExtractContentOptions(
            experiment=experiment.root,
            version=options.version,
            encoder=options.encoder,
            device=device,
            shard=shard,
            assets=options.assets,
        )
        for device, shard in _shards(options)
    ]
    return _step("extract_content", experiment, choices)


def index_step(options: TrainAllOptions, experiment: Experiment) -> Step:
    return _step("index", experiment, [IndexOptions(experiment=experiment.root, version=options.version)])


def training_step(
    options: TrainAllOptions, experiment: Experiment, report: Report, encoder: str | None = None
) -> Step:
    """Training; `encoder` (hubert or starter) where the clips are yet to be encoded, see `bases`."""
    values = {field.name: getattr(options, field.name) for field in fields(TrainOptions)}
    chosen = bases(options, experiment, report, encoder)
    values |= {"experiment": experiment.root, **chosen, "warmup_d": warmup_d(options, chosen)}
    return _step("train", experiment, [TrainOptions(**values)])


def _shards(options: TrainAllOptions) -> list[tuple[str, str]]:
    """(device, "i/n"): one process for each GPU, or one on the device."""
    devices = [f"cuda:{gpu}" for gpu in options.gpu_list] if options.device != "cpu" else []
    devices = devices or [options.device]
    return [(device, f"{number}/{len(devices)}") for number, device in enumerate(devices)]


def _step(name: str, experiment: Experiment, choices: list) -> Step:
    safe_name(experiment.name, "experiment name")
    commands = [Command(f"infer.stages.{name}", choice) for choice in choices]
    return Step(name, commands, log=experiment.root / f"{name}.log")
