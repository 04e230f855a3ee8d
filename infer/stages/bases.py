"""What training begins from: RVC's pretrained pair, the starter base, a file of the user's, or nothing.

Light: imports no torch.
"""

from pathlib import Path

from infer.jobs.events import Log, Report
from infer.jobs.experiment import Experiment
from infer.lib.encoder_choice import encoder_path
from infer.lib.errors import MissingFile
from infer.lib.files import REPO
from infer.lib.models.spec import rate_label, read_config, standard_config
from infer.lib.packed_layout import RESTORE
from infer.lib.starter_files import BASE_FILE, FOLDER, VOICE_NAME, starter_base
from infer.lib.voice_header import read_header
from infer.stages.chain_options import TrainAllOptions

AUTO, NONE, STARTER = "auto", "none", VOICE_NAME
# Steps in which only the discriminator learns when the starter base, which has none, is begun from.
STARTER_WARMUP_D = 0


def bases(
    options: TrainAllOptions, experiment: Experiment, report: Report, encoder: str | None = None
) -> dict[str, str]:
    """The pretrained pair: what was asked for, else RVC's or the starter's where the clips are encoded as its
    were. RVC's is preferred. Its discriminator goes with a generator that is trained, and not the starter's.

    `encoder` (hubert or starter) is the one they will be encoded with; None: the one that is recorded.
    Raises MissingFile where the starter base was asked for and is gone.
    """
    encoder = encoder or experiment.read_settings().encoder or "hubert"
    generator, discriminator = options.pretrain_g, options.pretrain_d
    if generator == AUTO:
        rvcs = _standard(options, "G", encoder) if has_standard_sizes(options, experiment) else ""
        generator = rvcs or str(fitting_starter(options, experiment, encoder) or NONE)
    elif generator == STARTER:
        generator = str(_required_starter(options))
    if discriminator == AUTO:
        # RVC's would be far ahead of a generator that knows little.
        alone = generator in ("", NONE, str(starter_base(assets_of(options))))
        discriminator = "" if alone else _standard(options, "D", encoder)
    chosen = {"pretrain_g": generator, "pretrain_d": discriminator}
    chosen = {name: "" if path == NONE else path for name, path in chosen.items()}
    if not chosen["pretrain_g"]:
        report(Log(f"training from scratch: no pretrained base is used{_why_not(options)}"))
    return chosen


def warmup_d(options: TrainAllOptions, chosen: dict[str, str]) -> int:
    """The steps asked for, else those that suit the bases."""
    base = starter_base(assets_of(options))
    alone = base is not None and chosen == {"pretrain_g": str(base), "pretrain_d": ""}
    return options.warmup_d or (STARTER_WARMUP_D if alone else 0)


def pretrained_path(options: TrainAllOptions, letter: str) -> Path:
    """Where RVC keeps its base of this version, pitch guidance and rate; `letter` is G or D."""
    folder = "pretrained" if options.version == "v1" else "pretrained_v2"
    name = f"{'f0' if options.use_f0 else ''}{letter}{options.sample_rate}.pth"
    return assets_of(options) / folder / name


def fitting_starter(options: TrainAllOptions, experiment: Experiment, encoder: str) -> Path | None:
    """The starter base, if it is for such a voice and for the content of `encoder`: a recorded name, or
    "starter" for the one that the clips are yet to be encoded with."""
    path = starter_base(assets_of(options))
    if path is None or not encoder.startswith(STARTER):
        return None
    header = read_header(path)
    if (header.version, header.sample_rate, header.use_f0) != (options.version, options.rate, options.use_f0):
        return None
    if not has_standard_sizes(options, experiment):
        return None
    wanted = header.encoder or ""
    if encoder == STARTER:
        encoder = read_header(encoder_path(options.encoder, assets_of(options))).extra.get("name", "")
        wanted = wanted.partition(":")[0]
    return path if encoder == wanted else None


def assets_of(options: TrainAllOptions) -> Path:
    return options.assets or REPO / "assets"


def has_standard_sizes(options: TrainAllOptions, experiment: Experiment) -> bool:
    """Whether the networks to train have the sizes of RVC's, as the base has."""
    file = options.config or experiment.config_file
    sizes = standard_config(options.version, options.rate).model
    return not Path(file).is_file() or read_config(file).model == sizes


def _standard(options: TrainAllOptions, letter: str, encoder: str) -> str:
    """RVC's base, which knows HuBERT's content; "" where it is not installed or does not fit."""
    path = pretrained_path(options, letter)
    return str(path) if encoder.startswith("hubert") and path.is_file() else ""


def _required_starter(options: TrainAllOptions) -> Path:
    path = starter_base(assets_of(options))
    if path is None:
        raise MissingFile(f"{assets_of(options) / FOLDER / BASE_FILE} is missing", RESTORE)
    return path


def _why_not(options: TrainAllOptions) -> str:
    """What the starter base would have needed."""
    path = starter_base(assets_of(options))
    if path is None or options.pretrain_g != AUTO:
        return ""
    header = read_header(path)
    kind = (
        f"{header.version}, {rate_label(header.sample_rate)}, {'with' if header.use_f0 else 'without'} pitch"
    )
    return f"; the starter base is for {kind} and content of {header.encoder}"
