"""What an experiment's folder tells: what it was made with, how far it is, what came out. Light: no torch."""

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from infer.jobs.experiment import Experiment, ExperimentSettings
from infer.lib.errors import BadInput, RvcError
from infer.lib.files import natural_key
from infer.lib.index_choice import find_index_for
from infer.lib.models.spec import VERSIONS, rate_label
from infer.lib.voice_header import FileHeader, read_header
from infer.web.home import Home
from infer.web.train_form import TrainForm, load_form

VOICE_SUFFIX = ".pth"


@dataclass(frozen=True)
class ExperimentFacts:
    """Of a folder that may not exist. None: not decided yet, or not known."""

    experiment: Experiment
    exists: bool = False
    sample_rate: str | None = None  # label, fixed by the clips
    version: str | None = None
    use_f0: bool | None = None
    clips: int = 0
    checkpoints: int = 0
    epoch: int | None = None  # of the newest checkpoint
    report: dict | None = None
    voice: Path | None = None
    index: Path | None = None
    form: TrainForm | None = None
    problem: str = ""  # why some of it could not be read

    @property
    def is_trained(self) -> bool:
        """There is a checkpoint that training goes on from: version and pitch guidance are fixed."""
        return self.checkpoints > 0


def facts_of(home: Home, experiment: Experiment) -> ExperimentFacts:
    """Reads what is there; nothing missing or damaged is an error here."""
    if not experiment.root.is_dir():
        return ExperimentFacts(experiment)
    settings, problem = _settings(experiment)
    trained = newest_checkpoint(experiment)
    return ExperimentFacts(
        experiment,
        exists=True,
        sample_rate=_rate(experiment, settings),
        version=(trained and trained.version) or settings.version or _version_on_disk(experiment),
        use_f0=trained.use_f0 if trained and trained.use_f0 is not None else _use_f0(experiment, settings),
        clips=len(experiment.stems()),
        checkpoints=len(experiment.checkpoints()),
        epoch=trained.epoch if trained else None,
        report=_json(experiment.report_file),
        voice=_existing(home.weights / f"{experiment.name}{VOICE_SUFFIX}"),
        index=index_of(home, experiment),
        form=load_form(experiment),
        problem=problem,
    )


def restored_form(facts: ExperimentFacts, now: TrainForm) -> TrainForm:
    """The form of the experiment: as it was saved, else what its files tell put over the form of now."""
    form = facts.form or replace(now, trainset=_own_trainset(facts.experiment, now.trainset))
    told = {name: getattr(facts, name) for name in ("sample_rate", "version", "use_f0")}
    fixed = {name: value for name, value in told.items() if value is not None}
    if facts.form is not None:
        fixed = {name: value for name, value in fixed.items() if name == "sample_rate"}
    return replace(form, experiment=facts.experiment.name, **fixed)


def _own_trainset(experiment: Experiment, typed: str) -> str:
    """The recordings of an experiment that nothing was started for: never those uploaded to another one."""
    if experiment.recordings.is_dir():
        return str(experiment.recordings)
    return "" if typed and Path(typed).is_relative_to(experiment.root.parent) else typed


def newest_checkpoint(experiment: Experiment) -> FileHeader | None:
    """What the generator says that training goes on from; None if there is none that can be read."""
    return generator_header(experiment.generator_files()[0]) if experiment.checkpoints() else None


def generator_header(path: Path) -> FileHeader | None:
    """What a training checkpoint says of itself; None if it cannot be read."""
    try:
        return _header(path, path.stat().st_mtime_ns)
    except (RvcError, OSError):
        return None


@lru_cache(maxsize=32)
def _header(path: Path, _written_ns: int) -> FileHeader:
    return read_header(path)


def index_of(home: Home, experiment: Experiment) -> Path | None:
    """The index that conversion will choose for the experiment's voice, if it is the experiment's own."""
    if not experiment.root.is_dir():
        return None
    return find_index_for(home.weights / f"{experiment.name}{VOICE_SUFFIX}", [experiment.root]).path


def saved_voices(home: Home, experiment: Experiment) -> list[Path]:
    """Voices of the experiment, `<name>.pth` and those of its epochs, in the order of the epochs."""
    pattern = re.compile(rf"{re.escape(experiment.name)}(_e\d+_s\d+)?{re.escape(VOICE_SUFFIX)}")
    if not home.weights.is_dir():
        return []
    found = [path for path in home.weights.iterdir() if pattern.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.stem == experiment.name, natural_key(path.name)))


def held_out(experiment: Experiment) -> list[str]:
    """Stems of clips that training does not see; empty before the first training."""
    try:
        text = experiment.filelist.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    seen = {Path(line.split("|")[0].replace("\\\\", "\\")).name.split(".")[0] for line in text.splitlines()}
    return [stem for stem in experiment.stems() if stem not in seen]


def _settings(experiment: Experiment) -> tuple[ExperimentSettings, str]:
    try:
        return experiment.read_settings(), ""
    except BadInput as error:
        return ExperimentSettings(), str(error)


def _rate(experiment: Experiment, settings: ExperimentSettings) -> str | None:
    """Our record, else the configuration that RVC copies into an experiment."""
    data = (_json(experiment.config_file) or {}).get("data")
    rate = settings.sample_rate or (data.get("sampling_rate") if isinstance(data, dict) else None)
    return rate_label(rate) if isinstance(rate, int) else None


def _version_on_disk(experiment: Experiment) -> str | None:
    """The version whose features are there, the newer one where both are."""
    return next(
        (version for version in reversed(VERSIONS) if _holds_files(experiment.content(version))), None
    )


def _use_f0(experiment: Experiment, settings: ExperimentSettings) -> bool | None:
    """Whether there is pitch; unknown before anything was extracted."""
    return settings.use_f0 if settings.use_f0 is not None else _holds_files(experiment.f0_coarse) or None


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _json(path: Path) -> dict | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
