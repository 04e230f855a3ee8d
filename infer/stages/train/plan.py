"""What is trained and on what: hyper-parameters, usable and held-out clips, checked before a net is built."""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infer.jobs.events import ItemFailed, Log, Report
from infer.jobs.experiment import Experiment, ExperimentSettings, TrainItem
from infer.jobs.set_notes import set_notes
from infer.lib.errors import BadInput, MissingFile, RvcError
from infer.lib.files import write_text
from infer.lib.models.spec import VERSIONS, Config, DataConfig, ModelSpec, read_config, standard_config
from infer.stages.train import heldout
from infer.stages.train.data import Clip, scan
from infer.stages.train.options import TrainOptions
from infer.stages.train.sampler import bucket_of

MUTE_LINES = 2  # as in RVC: the voice learns what silence is


@dataclass(frozen=True)
class Plan:
    """One run. `clips` are trained on; `heldout` are not, unless there are too few (`spared` is False).

    `notes` is what the voice tells of its training set, and the noise it has from its base.
    """

    options: TrainOptions
    experiment: Experiment
    settings: ExperimentSettings
    config: Config
    spec: ModelSpec
    clips: list[Clip]
    heldout: list[Clip]
    spared: bool
    notes: dict = field(default_factory=dict)


def make_plan(options: TrainOptions, experiment: Experiment, earlier: Sequence[str], report: Report) -> Plan:
    """Raises BadInput or MissingFile when there is nothing to train, or another thing than was begun.

    `earlier` are the stems that an earlier part of this training held out.
    """
    _check_weights_folder(options.weights)
    config = experiment_config(options, experiment)
    spec = spec_of(config, options)
    settings = experiment.read_settings()
    _check_settings(settings, options, experiment)
    items = experiment.training_items(options.version, options.use_f0, options.speaker_id)
    if not items:
        parts = "wav, content and pitch" if options.use_f0 else "wav and content"
        raise MissingFile(
            f"no clip in {experiment.root} has all its files ({parts})",
            "run preprocess, extract_f0 and extract_content first",
        )
    _check_speakers(items, spec)
    clips = usable_clips(items, config.data, spec.segment_frames, report)
    chosen = set(heldout.choose(clips, earlier))
    kept = [clip for clip in clips if clip.item.stem not in chosen]
    listeners = [clip for clip in clips if clip.item.stem in chosen] or clips[:1]
    kept += _mute(experiment, options, config.data, report)
    notes = set_notes(experiment, options.use_f0)
    return Plan(options, experiment, settings, config, spec, kept, listeners, bool(chosen), notes)


def _check_weights_folder(folder: Path) -> None:
    """The voice is written last: hours of training should not end with this."""
    there = folder.absolute()
    while not (there.exists() or there.is_symlink()):
        there = there.parent
    if not there.is_dir():
        raise BadInput(
            f"the voice cannot be written to {folder}: {there} is a file", "choose another --weights"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(
            f"the voice cannot be written to {folder}: {there} is read-only", "choose another --weights"
        )


def write_files(plan: Plan) -> None:
    """config.json (if absent) and filelist.txt, in RVC's form."""
    if not plan.experiment.config_file.is_file():
        parts = json.loads(plan.config.to_json())
        parts["train"]["fp16_run"] = True  # RVC 2.2 cannot read the file without this entry
        write_text(plan.experiment.config_file, json.dumps(parts, indent=4, sort_keys=True) + "\n")
    plan.experiment.write_filelist([clip.item for clip in plan.clips])


def experiment_config(options: TrainOptions, experiment: Experiment) -> Config:
    """The hyper-parameters: those the experiment has, else the given or the standard ones.

    Raises BadInput when the experiment was begun with others: the nets would not fit its clips.
    """
    given = read_config(options.config) if options.config else None
    wanted = given or standard_config(options.version, options.rate)
    own = read_config(experiment.config_file) if experiment.config_file.is_file() else wanted
    for config, file in ((own, experiment.config_file), (wanted, options.config)):
        if config.data.sampling_rate != options.rate:
            raise BadInput(
                f"{file} is for {config.data.sampling_rate} Hz, not {options.rate} Hz",
                "choose that sample rate, or use a new experiment name",
            )
    if given and own != given:
        raise BadInput(f"{experiment.config_file} differs from {options.config}", "use a new experiment name")
    others = [standard_config(version, options.rate) for version in VERSIONS]
    if own != wanted and own in others:
        raise BadInput(
            f"{experiment.config_file} holds the standard values of another version than {options.version}",
            "choose that version, or use a new experiment name",
        )
    return own


def spec_of(config: Config, options: TrainOptions) -> ModelSpec:
    try:
        return config.spec(options.version, options.use_f0)
    except (ValueError, TypeError) as error:
        raise BadInput(f"the hyper-parameters describe no possible network ({error})") from error


def usable_clips(
    items: Sequence[TrainItem], data: DataConfig, segment_frames: int, report: Report
) -> list[Clip]:
    """Clips that can be part of a batch; the others are reported. Raises BadInput if none is left."""
    clips: list[Clip] = []
    short = outside = 0
    for item in items:
        try:
            clip = scan(item, data)
        except RvcError as error:
            report(ItemFailed(item.stem, str(error)))
            continue
        if clip.frames < segment_frames:
            short += 1
        elif bucket_of(clip.bucket_length) is None:
            outside += 1
        else:
            clips.append(clip)
    if short:
        report(
            Log(f"left out {short} clips shorter than the training window of {segment_frames / 100:.2f} s")
        )
    if outside:
        report(Log(f"left out {outside} clips that are not between about 0.75 s and 6.75 s long"))
    if not clips:
        raise BadInput(
            f"none of the {len(items)} clips can be trained on: {short} too short, {outside} of unfit length",
            "preprocess longer recordings; clips of 1 to 6 seconds are needed",
        )
    return clips


def _check_settings(settings: ExperimentSettings, options: TrainOptions, experiment: Experiment) -> None:
    if settings.sample_rate not in (None, options.rate):
        raise BadInput(
            f"experiment {experiment.name} was prepared at {settings.sample_rate} Hz, not {options.rate} Hz",
            "choose that sample rate, or prepare a new experiment",
        )


def _check_speakers(items: Sequence[TrainItem], spec: ModelSpec) -> None:
    wrong = next((item for item in items if not 0 <= item.speaker_id < spec.n_speakers), None)
    if wrong:
        raise BadInput(
            f"clip {wrong.stem} has speaker {wrong.speaker_id}", f"speakers are 0 to {spec.n_speakers - 1}"
        )


def _mute(experiment: Experiment, options: TrainOptions, data: DataConfig, report: Report) -> list[Clip]:
    item = experiment.mute_item(options.rate, options.version, options.use_f0, options.speaker_id)
    try:
        return [scan(item, data)] * MUTE_LINES
    except (RvcError, OSError):
        report(Log("there is no silence clip (extract_content makes it); training without"))
        return []


def spec_record(spec: ModelSpec) -> dict:
    """The spec as plain values, for a checkpoint."""
    return dataclasses.asdict(spec)
