"""The chain behind `train_all`: which commands it runs, and in what order."""

from dataclasses import fields
from pathlib import Path

from infer.jobs.command import Command
from infer.jobs.events import Finished, Log, Report
from infer.jobs.experiment import Experiment
from infer.jobs.runner import Runner, Step, stopped_by_signals
from infer.lib.errors import MissingFile
from infer.lib.f0 import preferred_method
from infer.lib.files import safe_name
from infer.stages.extract_content.options import ExtractContentOptions
from infer.stages.extract_f0.options import ExtractF0Options
from infer.stages.index.options import IndexOptions
from infer.stages.train.options import TrainOptions
from tools.cmd.train_all import TrainAllOptions

STAGE = "train_all"


def run(options: TrainAllOptions, report: Report) -> dict:
    """Runs the chain; returns where voice and index are. Raises StageFailed with the stage's reason."""
    experiment = Experiment.find(options.experiment)
    if options.trainset is None and not experiment.root.is_dir():
        raise MissingFile(
            f"there is no experiment {experiment.root}",
            "name a folder of recordings with --trainset to begin it",
        )
    with stopped_by_signals(Runner(report, experiment.events_file)) as runner:
        for step in preparation(options, experiment):
            runner.run_step(step)
        # The index comes before training, so that every saved epoch can be heard with it.
        index = runner.run_step(index_step(options, experiment))
        trained = runner.run_step(training_step(options, experiment, report))
    summary = {"voice": trained.get("voice", ""), "index": index.get("file", "")}
    report(Finished(STAGE, summary))
    return summary


def preparation(options: TrainAllOptions, experiment: Experiment) -> list[Step]:
    """Slicing (unless no folder was given), pitch (for voices with pitch), content."""
    steps = []
    if options.trainset:
        steps.append(_step("preprocess", experiment, [options.preprocessing(experiment.root)]))
    devices = _devices(options)
    shards = [(device, f"{number}/{len(devices)}") for number, device in enumerate(devices)]
    if options.use_f0:
        method = preferred_method(options.f0_method, options.assets)
        pitch = [
            ExtractF0Options(
                experiment=experiment.root,
                method=method,
                device=device,
                shard=shard,
                fill_unvoiced=options.fill_unvoiced,
                assets=options.assets,
            )
            for device, shard in shards
        ]
        steps.append(_step("extract_f0", experiment, pitch))
    content = [
        ExtractContentOptions(
            experiment=experiment.root,
            version=options.version,
            encoder=options.encoder,
            device=device,
            shard=shard,
            assets=options.assets,
        )
        for device, shard in shards
    ]
    return [*steps, _step("extract_content", experiment, content)]


def index_step(options: TrainAllOptions, experiment: Experiment) -> Step:
    return _step("index", experiment, [IndexOptions(experiment=experiment.root, version=options.version)])


def training_step(options: TrainAllOptions, experiment: Experiment, report: Report) -> Step:
    values = {field.name: getattr(options, field.name) for field in fields(TrainOptions)}
    values |= {"experiment": experiment.root, **bases(options, experiment, report)}
    return _step("train", experiment, [TrainOptions(**values)])


def bases(options: TrainAllOptions, experiment: Experiment, report: Report) -> dict[str, str]:
    """The pretrained pair: what was asked for, or RVC's where the clips were encoded as it was."""
    chosen = {}
    fits = (experiment.read_settings().encoder or "hubert").startswith("hubert")
    for letter, name in (("G", "pretrain_g"), ("D", "pretrain_d")):
        wanted = getattr(options, name)
        path = pretrained_path(options, letter)
        if wanted == "auto":
            wanted = str(path) if fits and path.is_file() else ""
        chosen[name] = "" if wanted == "none" else wanted
    if not chosen["pretrain_g"]:
        report(Log("training from scratch: no pretrained base is used"))
    return chosen


def pretrained_path(options: TrainAllOptions, letter: str) -> Path:
    """Where RVC keeps its base of this version, pitch guidance and rate; `letter` is G or D."""
    folder = "pretrained" if options.version == "v1" else "pretrained_v2"
    return options.assets / folder / f"{'f0' if options.use_f0 else ''}{letter}{options.sample_rate}.pth"


def _devices(options: TrainAllOptions) -> list[str]:
    if options.device == "cpu" or not options.gpu_list:
        return [options.device]
    return [f"cuda:{gpu}" for gpu in options.gpu_list]


def _step(name: str, experiment: Experiment, choices: list) -> Step:
    safe_name(experiment.name, "experiment name")
    commands = [Command(f"infer.stages.{name}", choice) for choice in choices]
    return Step(name, commands, log=experiment.root / f"{name}.log")
