"""From the form of the Train tab to the commands: which steps a button runs, and what must hold before."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from infer.jobs.detached import JobStore
from infer.jobs.events import silent
from infer.jobs.experiment import Experiment
from infer.jobs.runner import Step
from infer.lib.encoder_choice import encoder_family
from infer.lib.errors import RvcError
from infer.stages import bases, chain
from infer.web.advice import advise
from infer.web.errors_i18n import Said, refusal
from infer.web.home import Home
from infer.web.i18n import language_of, say
from infer.web.train_facts import ExperimentFacts, facts_of
from infer.web.train_form import TrainForm, experiment_of, options_of, save_form

PREPROCESS, PITCH, CONTENT, INDEX, TRAIN = "preprocess", "extract_f0", "extract_content", "index", "train"
EXTRACTION = (PITCH, CONTENT)
ALL = (PREPROCESS, PITCH, CONTENT, INDEX, TRAIN)  # the index first: every saved epoch is heard with it


class TooLittle(Said):
    """Less than a minute of recordings, and nobody confirmed that this is wanted."""


@dataclass(frozen=True)
class Order:
    """What a button asks for. `confirmed`: the user wants to train on too little data."""

    form: TrainForm
    names: tuple[str, ...]
    confirmed: bool = False


def start(jobs: JobStore, home: Home, device: str, order: Order) -> str:
    """Checks, keeps the form with its experiment, starts the job; returns its id. Raises RvcError."""
    experiment = experiment_of(home, order.form.experiment)
    facts = facts_of(home, experiment)
    steps = steps_of(order, home, device, facts)
    experiment.root.mkdir(parents=True, exist_ok=True)
    save_form(experiment, order.form)
    return jobs.start(title_of(experiment, order.names), steps, experiment=experiment.root)


def title_of(experiment: Experiment, names: tuple[str, ...]) -> str:
    """What the job is called; the words are those of the commands, the same in every language."""
    return f"{experiment.name}: {'train_all' if names == ALL else ', '.join(names)}"


def steps_of(order: Order, home: Home, device: str, facts: ExperimentFacts) -> list[Step]:
    """The steps in their order, nothing started. Raises what makes them impossible, as one sentence."""
    form = order.form
    check(order, facts)
    plain = options_of(form, home, device)
    makers = {
        PREPROCESS: lambda: chain.preprocess_step(plain, facts.experiment),
        PITCH: lambda: chain.pitch_step(options_of(form, home, device, form.pitch_gpus), facts.experiment),
        CONTENT: lambda: chain.content_step(options_of(form, home, device, form.gpus), facts.experiment),
        INDEX: lambda: chain.index_step(plain, facts.experiment),
        TRAIN: lambda: _training(form, home, device, facts.experiment),
    }
    if CONTENT in order.names:
        encoder_family(plain.encoder, home.assets)  # a missing encoder is told now
    names = [name for name in ALL if name in order.names]
    return [makers[name]() for name in names if form.use_f0 or name != PITCH]


def _training(form: TrainForm, home: Home, device: str, experiment: Experiment) -> Step:
    options = options_of(form, home, device, form.train_gpus)
    return chain.training_step(options, experiment, silent)


def check(order: Order, facts: ExperimentFacts) -> None:
    """Refuses what would fail, or spoil an experiment, later."""
    form, name = order.form, facts.experiment.name
    if facts.sample_rate not in (None, form.sample_rate):
        raise refusal("train.refuse.rate", name=name, was=facts.sample_rate, asked=form.sample_rate)
    if TRAIN in order.names and facts.is_trained:
        if facts.version not in (None, form.version):
            raise refusal("train.refuse.version", name=name, was=facts.version, asked=form.version)
        if facts.use_f0 not in (None, form.use_f0):
            raise refusal("train.refuse.f0", name=name)
    if PREPROCESS in order.names:
        _check_recordings(form)
    elif not facts.clips:
        raise refusal("train.refuse.no_clips", name=name)
    if TRAIN in order.names:
        _check_enough(order, facts)


def _check_recordings(form: TrainForm) -> None:
    if not form.trainset:
        raise refusal("train.refuse.no_trainset")
    if not Path(form.trainset).expanduser().is_dir():
        raise refusal("train.refuse.no_folder", path=form.trainset)


def _check_enough(order: Order, facts: ExperimentFacts) -> None:
    """Training on less than a minute is wanted, or refused; before slicing the recordings are measured."""
    if order.confirmed:
        return
    report = facts.report
    if PREPROCESS in order.names and (report is None or advise(report).needs_confirmation):
        minutes = recorded_minutes(Path(order.form.trainset).expanduser())
        report = {"usable_minutes": minutes} if minutes is not None else None
    if report is not None and advise(report).needs_confirmation:
        seconds = round(60 * advise(report).minutes)
        raise TooLittle(say(language_of(), "train.refuse.too_little", seconds=seconds))


MEASURED_FILES = 60  # more than these are surely more than a minute


def recorded_minutes(folder: Path) -> float | None:
    """Length of the readable recordings in a folder, by their headers; None if there are many, or none."""
    from infer.lib.audio import find_audio  # numpy, scipy
    from infer.lib.audio_decode import probe

    paths = find_audio(folder)
    if not paths:
        raise refusal("train.refuse.empty_folder", path=folder)
    if len(paths) > MEASURED_FILES:
        return None
    seconds = []
    for path in paths:
        with contextlib.suppress(RvcError):  # slicing will say which file and why
            seconds.append(probe(path).seconds)
    return sum(seconds) / 60 if seconds else None


def pretrained(form: TrainForm, home: Home) -> tuple[str, str]:
    """The bases for the choices of the form, RVC's or the starter's, as paths from the project's folder; ""
    where none fits."""
    try:
        options = options_of(replace(form, pretrain_g="", pretrain_d="", config=""), home, "cpu")
        options = replace(options, pretrain_g=bases.AUTO, pretrain_d=bases.AUTO)
        family = encoder_family(form.encoder or "auto", home.assets)
        found = bases.bases(options, experiment_of(home, form.experiment), silent, family)
    except (RvcError, ValueError):
        return "", ""  # a start says what is wrong
    return tuple(shown(Path(path), home) if path else "" for path in found.values())


def base_is_unused(form: TrainForm, home: Home) -> bool:
    """Whether the proposed base is left away, as the hyper-parameters describe networks of other sizes."""
    try:
        return options_of(form, home, "cpu").pretrain_g == bases.AUTO
    except (RvcError, ValueError):
        return False  # a start says what is wrong


def shown(path: Path, home: Home) -> str:
    """Relative to the project's folder where it lies inside."""
    return path.relative_to(home.root).as_posix() if path.is_relative_to(home.root) else str(path)
