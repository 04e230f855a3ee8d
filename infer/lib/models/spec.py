"""What a network is made of: the sizes of one voice, and the hyper-parameter files of `configs/`.

Light on purpose (no torch): commands read it to answer `--help`.
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infer.lib.errors import BadCheckpoint, BadInput, MissingFile

VERSIONS = ("v1", "v2")
SAMPLE_RATES = (32000, 40000, 48000)
FEATURE_DIMS = {"v1": 256, "v2": 768}
N_SPEAKERS = 109  # of the standard networks, hence of every published base
PERIODS = {"v1": (2, 3, 5, 7, 11, 17), "v2": (2, 3, 5, 7, 11, 17, 23, 37)}
FRAMES_PER_SECOND = 100
VOICE_CONFIG_LENGTH = 18
VOICE_SEGMENT = 32  # written into every voice file, whatever the segment of its training was

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def rate_label(sample_rate: int) -> str:
    """40000 -> "40k", as in file names and in the `sr` entry of voice files."""
    return f"{sample_rate // 1000}k"


RATE_LABELS = tuple(map(rate_label, SAMPLE_RATES))


def sample_rate_of(rate: str | int) -> int:
    """ "40k", "40000" and 40000 are 40000. Raises ValueError for a rate that voices do not have."""
    text = str(rate).strip().lower()
    for sample_rate in SAMPLE_RATES:
        if text in (str(sample_rate), rate_label(sample_rate)):
            return sample_rate
    raise ValueError(f"sample_rate is {rate!r}, but must be one of {', '.join(RATE_LABELS)}")


@dataclass(frozen=True)
class ModelSpec:
    """All sizes of one Synthesizer and of its discriminator."""

    version: str
    sample_rate: int  # Hz
    use_f0: bool
    n_speakers: int
    spec_channels: int  # bins of the linear spectrogram
    segment_frames: int  # frames decoded for each clip in training
    inter_channels: int = 192
    hidden_channels: int = 192
    filter_channels: int = 768
    n_heads: int = 2
    n_layers: int = 6
    kernel_size: int = 3
    p_dropout: float = 0
    resblock: str = "1"
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    upsample_rates: tuple[int, ...] = (10, 10, 2, 2)
    upsample_initial_channel: int = 512
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    gin_channels: int = 256

    def __post_init__(self):
        for name in (
            "resblock_kernel_sizes",
            "resblock_dilation_sizes",
            "upsample_rates",
            "upsample_kernel_sizes",
        ):
            object.__setattr__(self, name, _tuples(getattr(self, name)))
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @property
    def feature_dim(self) -> int:
        """Width of the content features: 256 (v1) or 768 (v2)."""
        return FEATURE_DIMS[self.version]

    @property
    def periods(self) -> tuple[int, ...]:
        """Periods of the period discriminators."""
        return PERIODS[self.version]

    @property
    def hop(self) -> int:
        """Samples in one frame of 10 ms."""
        return math.prod(self.upsample_rates)

    @property
    def rate_label(self) -> str:
        return rate_label(self.sample_rate)

    def voice_config(self) -> list:
        """The `config` entry of a voice file: 18 values in RVC's order."""
        values = [getattr(self, name) for name in _VOICE_FIELDS]
        values[1] = VOICE_SEGMENT
        return [_lists(value) for value in values]

    @classmethod
    def from_voice_config(
        cls, config: list, version: str, use_f0: bool, n_speakers: int | None = None
    ) -> "ModelSpec":
        """The spec behind a voice file; `n_speakers` overrides the (unreliable) number in the list.

        Raises BadCheckpoint when the list cannot describe a voice.
        """
        if not isinstance(config, (list, tuple)) or len(config) != VOICE_CONFIG_LENGTH:
            raise BadCheckpoint(f"The voice's config is not a list of {VOICE_CONFIG_LENGTH} values")
        values = dict(zip(_VOICE_FIELDS, config, strict=True))
        if n_speakers is not None:
            values["n_speakers"] = n_speakers
        try:
            return cls(version=version, use_f0=bool(use_f0), **values)
        except (TypeError, ValueError) as error:
            raise BadCheckpoint(f"The voice's config does not describe a voice ({error})") from error


# The order of a voice file's `config` list.
_VOICE_FIELDS = (
    "spec_channels", "segment_frames", "inter_channels", "hidden_channels", "filter_channels", "n_heads",
    "n_layers", "kernel_size", "p_dropout", "resblock", "resblock_kernel_sizes", "resblock_dilation_sizes",
    "upsample_rates", "upsample_initial_channel", "upsample_kernel_sizes", "n_speakers", "gin_channels",
    "sample_rate",
)  # fmt: skip
_COUNTS = set(_VOICE_FIELDS) - {name for name in _VOICE_FIELDS if name.endswith(("_sizes", "_rates"))}
_COUNTS -= {"p_dropout", "resblock"}


def _problem(spec: ModelSpec) -> str:
    """What makes the sizes of a spec impossible, or ""."""
    if spec.version not in VERSIONS:
        return f"version is {spec.version!r}, not v1 or v2"
    for name in sorted(_COUNTS):
        value = getattr(spec, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"{name} is {value!r}, not a positive whole number"
    if str(spec.resblock) != "1":
        return f"resblock {spec.resblock!r} is not supported, only 1"
    if spec.inter_channels % 2 or spec.hidden_channels % spec.n_heads:
        return "channels cannot be divided among halves or heads"
    if len(spec.resblock_kernel_sizes) != len(spec.resblock_dilation_sizes):
        return "resblock kernels and dilations differ in number"
    if any(size % 2 == 0 for size in spec.resblock_kernel_sizes):
        return f"resblock kernels {spec.resblock_kernel_sizes} are not all odd"
    return _upsampling_problem(spec)


def _upsampling_problem(spec: ModelSpec) -> str:
    rates, kernels = spec.upsample_rates, spec.upsample_kernel_sizes
    if not rates or len(rates) != len(kernels):
        return "upsample rates and kernels differ in number"
    if any(kernel < rate or (kernel - rate) % 2 for rate, kernel in zip(rates, kernels, strict=True)):
        return f"upsample kernels {kernels} do not fit the rates {rates}"
    if spec.hop * FRAMES_PER_SECOND != spec.sample_rate:
        return f"upsample rates {rates} make {spec.hop} samples of 10 ms at {spec.sample_rate} Hz"
    if spec.upsample_initial_channel % 2 ** len(rates):
        return f"upsample_initial_channel {spec.upsample_initial_channel} cannot be halved {len(rates)} times"
    return ""


@dataclass(frozen=True)
class TrainConfig:
    """The `train` part of a hyper-parameter file, under its published names."""

    segment_size: int  # samples
    log_interval: int = 200
    seed: int = 1234
    epochs: int = 20000
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.8, 0.99)
    eps: float = 1e-9
    batch_size: int = 4
    lr_decay: float = 0.999875
    init_lr_ratio: float = 1
    warmup_epochs: int = 0
    c_mel: float = 45
    c_kl: float = 1.0


@dataclass(frozen=True)
class DataConfig:
    """The `data` part of a hyper-parameter file, under its published names."""

    sampling_rate: int  # Hz
    filter_length: int  # n_fft
    hop_length: int
    win_length: int
    n_mel_channels: int
    max_wav_value: float = 32768.0
    mel_fmin: float = 0.0
    mel_fmax: float | None = None


_MODEL_KEYS = tuple(
    name
    for name in _VOICE_FIELDS
    if name not in ("spec_channels", "segment_frames", "n_speakers", "sample_rate")
) + ("spk_embed_dim", "use_spectral_norm")
_IGNORED_KEYS = {"train": ("fp16_run",), "data": (), "model": ()}  # in files of RVC 2.2


@dataclass(frozen=True)
class Config:
    """One hyper-parameter file."""

    train: TrainConfig
    data: DataConfig
    model: dict = field(default_factory=dict)

    def spec(self, version: str, use_f0: bool) -> ModelSpec:
        """The networks these hyper-parameters describe. Raises ValueError for impossible sizes."""
        sizes = {
            name: value
            for name, value in self.model.items()
            if name not in ("spk_embed_dim", "use_spectral_norm")
        }
        return ModelSpec(
            version=version,
            sample_rate=self.data.sampling_rate,
            use_f0=use_f0,
            n_speakers=self.model.get("spk_embed_dim", N_SPEAKERS),
            spec_channels=self.data.filter_length // 2 + 1,
            segment_frames=self.train.segment_size // self.data.hop_length,
            **sizes,
        )

    def to_json(self) -> str:
        """The text of the file; `parse_config` reads it back."""
        parts = {
            "train": dataclasses.asdict(self.train),
            "data": dataclasses.asdict(self.data),
            "model": self.model,
        }
        return json.dumps(parts, indent=2) + "\n"


def parse_config(text: str, source: str) -> Config:
    """A hyper-parameter file from its text; `source` names it in errors.

    Raises BadInput for anything but the three known parts with known keys.
    """
    try:
        parts = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{source} is not a JSON file ({error})") from error
    if not isinstance(parts, dict) or set(parts) != {"train", "data", "model"}:
        raise BadInput(f"{source} is not a hyper-parameter file", "it needs the parts train, data and model")
    train, data, model = (_known(parts, part, source) for part in ("train", "data", "model"))
    try:
        train["betas"] = tuple(train.get("betas", TrainConfig.betas))
        return Config(TrainConfig(**train), DataConfig(**data), model)
    except TypeError as error:
        raise BadInput(f"{source} lacks a value ({error})") from error


def read_config(path: Path | str) -> Config:
    """The hyper-parameter file at `path`. Raises MissingFile or BadInput."""
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"There is no hyper-parameter file {path}")
    return parse_config(path.read_text(encoding="utf-8"), str(path))


def standard_config(version: str, sample_rate: int) -> Config:
    """The shipped hyper-parameters. v2 at 40 kHz shares the file of v1."""
    if version not in VERSIONS or sample_rate not in SAMPLE_RATES:
        raise BadInput(f"There is no standard configuration for {version} at {sample_rate} Hz")
    folder = "v1" if sample_rate == 40000 else version
    return read_config(CONFIGS / folder / f"{rate_label(sample_rate)}.json")


def _known(parts: dict, part: str, source: str) -> dict[str, Any]:
    """The values of one part without ignored keys. Raises BadInput naming an unknown key."""
    values = parts[part]
    if not isinstance(values, dict):
        raise BadInput(f'{source}: "{part}" is not a group of values')
    known = {"train": _names(TrainConfig), "data": _names(DataConfig), "model": _MODEL_KEYS}[part]
    kept = {name: value for name, value in values.items() if name not in _IGNORED_KEYS[part]}
    unknown = sorted(set(kept) - set(known))
    if unknown:
        raise BadInput(f'{source}: unknown value "{unknown[0]}" in "{part}"', f"known are {', '.join(known)}")
    return kept


def _names(config_class: type) -> tuple[str, ...]:
    return tuple(entry.name for entry in dataclasses.fields(config_class))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
