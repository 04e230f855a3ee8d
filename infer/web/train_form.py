"""The form of the Train tab as a value: what was chosen, kept with the experiment, made into options."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from infer.jobs.experiment import Experiment
from infer.lib.files import inside, safe_name, write_text
from infer.stages.bases import AUTO, has_standard_sizes
from infer.stages.chain_options import TrainAllOptions
from infer.web.errors_i18n import refusal
from infer.web.home import Home

FIRST_EXPERIMENT = "mi-test"  # RVC's
FROM_SCRATCH = "none"
_DEFAULT = {field.name: field.default for field in fields(TrainAllOptions)}
_UNLISTED = ("mute",)  # RVC's silence, beside its experiments


@dataclass(frozen=True)
class TrainForm:
    """The controls of the Train tab. Paths are texts as typed; empty means none."""

    experiment: str = FIRST_EXPERIMENT
    sample_rate: str = _DEFAULT["sample_rate"]
    use_f0: bool = _DEFAULT["use_f0"]
    version: str = _DEFAULT["version"]
    processes: int = _DEFAULT["processes"]
    trainset: str = ""
    speaker_id: int = _DEFAULT["speaker_id"]
    gpus: str = ""  # of the content features
    f0_method: str = _DEFAULT["f0_method"]
    pitch_gpus: str = ""
    save_every_epoch: int = _DEFAULT["save_every_epoch"]
    total_epoch: int = _DEFAULT["total_epoch"]
    batch_size: int = _DEFAULT["batch_size"]
    latest_only: bool = _DEFAULT["latest_only"]
    cache_in_gpu: bool = _DEFAULT["cache_in_gpu"]
    save_every_weights: bool = _DEFAULT["save_every_weights"]
    pretrain_g: str = ""
    pretrain_d: str = ""
    train_gpus: str = ""
    precision: str = _DEFAULT["precision"]
    gradient_checkpointing: bool = _DEFAULT["gradient_checkpointing"]
    cuda_graphs: str = _DEFAULT["cuda_graphs"]
    seed: int = _DEFAULT["seed"]
    slice_s: float = _DEFAULT["slice_s"]
    encoder: str = _DEFAULT["encoder"]
    fill_unvoiced: bool = _DEFAULT["fill_unvoiced"]
    config: str = ""
    continue_from: str = ""
    like: str = ""  # the experiment whose cuts, pitch and content are reused at another rate

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainForm":
        """From components or a file: unknown names are passed over, unfit values become the default."""
        known = {field.name: field.default for field in fields(cls)}
        return cls(**{name: _fitted(value, known[name]) for name, value in values.items() if name in known})


def _fitted(value: Any, default: Any) -> Any:
    """`value` in the type of `default`."""
    if isinstance(default, bool):
        return value if isinstance(value, bool) else default
    if isinstance(default, int | float):
        try:
            return type(default)(value)
        except (TypeError, ValueError, OverflowError):
            return default
    return pasted(str(value)) if isinstance(value, str | Path) else default


def pasted(text: str) -> str:
    """A text or path without the blanks and quotes that come along when it is pasted."""
    return text.strip(" \t\r\n\"'")


# experiments ------------------------------------------------------------------------------------


def experiment_names(home: Home) -> list[str]:
    """Folders below logs that are experiments, the last used first."""
    if not home.logs.is_dir():
        return []
    folders = [path for path in home.logs.iterdir() if path.is_dir() and _listed(path.name)]
    return [path.name for path in sorted(folders, key=lambda path: -path.stat().st_mtime)]


def _listed(name: str) -> bool:
    return not name.startswith(".") and name not in _UNLISTED


def experiment_of(home: Home, name: str) -> Experiment:
    """The experiment of that name, there or not. Raises BadInput for what is no name."""
    name = safe_name(pasted(name or ""), "experiment name")
    if not _listed(name):
        raise refusal("train.refuse.reserved", name=name)
    return Experiment(inside(home.logs, name))


def taken_over(home: Home, trainset: str, experiment: Experiment) -> str:
    """The recordings of a new experiment: those typed, or uploaded before it got its name.

    Uploads lie with the experiment that was chosen then. If nothing else was done with it, its folder takes
    the new name; else they stay there, and the new one begins without recordings ("").
    """
    folder = Path(trainset)
    if not trainset or not folder.is_relative_to(home.logs):
        return trainset
    old = Experiment(folder.parent)
    try:
        if folder != old.recordings or [path.name for path in old.root.iterdir()] != [folder.name]:
            return ""
        old.root.rename(experiment.root)
    except OSError:  # it is gone, or in use
        return ""
    return str(experiment.recordings)


def save_form(experiment: Experiment, form: TrainForm) -> None:
    write_text(experiment.form_file, json.dumps(asdict(form), indent=1, ensure_ascii=False) + "\n")


def load_form(experiment: Experiment) -> TrainForm | None:
    """The form a step was last started with; None for an experiment without one, or a damaged file."""
    try:
        values = json.loads(experiment.form_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict):
        return None
    return replace(TrainForm.of(values), experiment=experiment.name)


# options ----------------------------------------------------------------------------------------


def is_standard_base(text: str, home: Home) -> bool:
    """Whether a base is RVC's or the starter's, which follow the choices, rather than the user's."""
    return not text or (home.root / text).parent.parent == home.assets


def options_of(form: TrainForm, home: Home, device: str, gpus: str = "") -> TrainAllOptions:
    """What the commands are asked to do on these GPUs. Raises ValueError or BadInput for bad values.

    A list of GPUs wins over the device of the page, unless that is the CPU.
    """
    experiment = experiment_of(home, form.experiment)
    gpus = "" if device == "cpu" else pasted(gpus)
    own = ("sample_rate", "version", "use_f0", "total_epoch", "save_every_epoch", "batch_size")
    own += ("latest_only", "cache_in_gpu", "save_every_weights", "precision", "gradient_checkpointing")
    own += ("cuda_graphs", "seed", "slice_s", "speaker_id", "f0_method", "fill_unvoiced", "processes")
    paths = {name: _existing(home, getattr(form, name), name) for name in ("pretrain_g", "pretrain_d")}
    config = _existing(home, form.config, "config")
    options = TrainAllOptions(
        experiment=experiment.root,
        trainset=Path(form.trainset).expanduser() if form.trainset else None,
        device="auto" if gpus else device,
        gpus=gpus,
        encoder=form.encoder or "auto",
        config=Path(config) if config else None,
        **{name: _other(home, getattr(form, name)) for name in ("like", "continue_from")},
        weights=home.weights,
        assets=home.assets,
        **{name: path or FROM_SCRATCH for name, path in paths.items()},
        **{name: getattr(form, name) for name in own},
    )
    proposed = form.pretrain_g and all(is_standard_base(getattr(form, name), home) for name in paths)
    if proposed and not has_standard_sizes(options, experiment):  # they were proposed for RVC's sizes
        return replace(options, **dict.fromkeys(paths, AUTO))
    return options


def _other(home: Home, name: str) -> str:
    """The folder of another experiment; "" for none, or one that is gone and can give nothing any more."""
    root = experiment_of(home, name).root if name else None
    return str(root) if root and root.is_dir() else ""


def _existing(home: Home, text: str, what: str) -> str:
    """The absolute path of a file that the form names; "" for none. A relative one lies in the project."""
    if not text or text == FROM_SCRATCH:
        return ""
    path = home.root / Path(text).expanduser()
    if not path.is_file():
        raise refusal(f"train.refuse.no_{what}", path=path)
    return str(path)
