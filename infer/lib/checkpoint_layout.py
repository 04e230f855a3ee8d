"""What a voice file says beside its weights, read alike with and without torch. Light: imports no torch.

The published layout (RVC 2.2 and 2.3): an ordered dict of `weight`, `config` (18 values), `info`, `sr`,
`f0`, `version`. Ours adds keys behind them, which RVC ignores.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infer.lib.errors import BadCheckpoint
from infer.lib.models.spec import FEATURE_DIMS, VOICE_CONFIG_LENGTH, ModelSpec

# The keys after `weight` and `config`, by who writes the file: RVC's three writers differ.
KEY_ORDERS = {
    "training": ("info", "sr", "f0", "version"),
    "extraction": ("info", "version", "sr", "f0"),
    "merge": ("sr", "f0", "version", "info"),
}
MEDIAN_HZ, SPEAKER_NAMES = "median_hz", "speaker_names"  # kept among the extras of a voice
SPEAKER_MEDIANS = "speaker_median_hz"  # by number, 0 where it is not told
NOISE_KEY = "noise_scale"  # the best share of the prior's deviation; RVC's where it is not told
GAIN_KEY = "gain_db"  # what a voice that is too loud or too soft is turned up by
VOICE_NOTES = (MEDIAN_HZ, SPEAKER_NAMES, NOISE_KEY)  # which a training checkpoint records for its voices
MAX_GAIN_DB = 24.0
MAX_LAYERS, MAX_SIZE = 64, 2**20
MAX_NAME = 100
SPEAKER_TABLE, CONTENT_LAYER = "emb_g.weight", "enc_p.emb_phone.weight"
_RVC_KEYS = ("weight", "config", *KEY_ORDERS["training"])
_OUR_KEYS = ("encoder", "fill_unvoiced")
_VOCODERS = ("", "default", "hifi-gan", "hifigan", "hifi-gan nsf", "nsf-hifigan", "nsf-hifi-gan")
_CONTENTVEC = ("", "contentvec", "hubert", "hubert_base")

ShapeOf = Callable[[Any], Sequence[int] | None]  # the shape of a dense float tensor, None for anything else


def plain_names(weights: Mapping) -> dict:
    """The tensors under their published names: newer torch stores weight norm under others."""
    return {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in without_prefix(weights).items()
    }


def without_prefix(tensors: Mapping) -> dict:
    """The tensors under their plain names, without the `module.` of a wrapped network."""
    return {str(name).removeprefix("module."): value for name, value in tensors.items()}


def check_vocoder(content: Mapping, path: Path) -> None:
    """Raises BadCheckpoint for a voice whose decoder is of another kind."""
    vocoder = str(content.get("vocoder") or "")
    if vocoder.lower() not in _VOCODERS:
        raise BadCheckpoint(
            f"{path} was trained with the vocoder {vocoder}",
            "only voices with the HiFi-GAN vocoder can be used",
        )


def described_spec(content: Mapping, raw: Mapping, shape_of: ShapeOf, path: Path) -> ModelSpec:
    """The network that a voice file describes. What the oldest files do not say is told by the tensors."""
    width, speakers = (
        shape if (shape := shape_of(raw.get(name))) is not None and len(shape) == 2 else None
        for name in (CONTENT_LAYER, SPEAKER_TABLE)
    )
    if width is None or speakers is None:
        raise BadCheckpoint(f"{path} has no text encoder or no speakers", "it is damaged; get the file again")
    by_width = {dim: version for version, dim in FEATURE_DIMS.items()}
    version = content.get("version") or by_width.get(width[1], "v1")
    use_f0 = content.get("f0")
    if use_f0 is None:
        use_f0 = "enc_p.emb_pitch.weight" in raw
    config = content["config"]
    _check_sizes(config, path)
    try:
        return ModelSpec.from_voice_config(config, str(version), _truth(use_f0), n_speakers=speakers[0])
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error.message}", error.hint or "get the file again") from error


def info_of(content: Mapping) -> str:
    """`info`, or what Applio writes in its place: the epoch."""
    return str(content.get("info") or content.get("epoch") or "")


def encoder_of(content: Mapping) -> str | None:
    """Our record, else Applio's when it is not ContentVec."""
    if content.get("encoder"):
        return str(content["encoder"])
    embedder = str(content.get("embedder_model") or "")
    return None if embedder.lower() in _CONTENTVEC else f"embedder:{embedder}"


def extra_of(content: Mapping) -> dict[str, Any]:
    """The plain values under keys that are neither RVC's nor told elsewhere."""
    known = (*_RVC_KEYS, *_OUR_KEYS)
    return {str(k): v for k, v in content.items() if k not in known and _is_plain(v)}


def median_of(extra: Mapping) -> float | None:
    """The median pitch of the training set in Hz; None if it is not told, or no pitch."""
    value = extra.get(MEDIAN_HZ)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 20 < value < 5000 else None


def speaker_median(extra: Mapping, speaker_id: int) -> float | None:
    """The median pitch of one speaker in Hz; None if it is not told."""
    medians = extra.get(SPEAKER_MEDIANS)
    if not isinstance(medians, list | tuple) or not 0 <= speaker_id < len(medians):
        return None
    return median_of({MEDIAN_HZ: medians[speaker_id]})


def noise_scale_of(extra: Mapping) -> float | None:
    """The noise that suits the voice, 0..1; None if it is not told."""
    return _number(extra, NOISE_KEY, 0, 1)


def gain_of(extra: Mapping) -> float | None:
    """What the voice's sound is to be turned up by in dB; None if it is not told."""
    return _number(extra, GAIN_KEY, -MAX_GAIN_DB, MAX_GAIN_DB)


def _number(extra: Mapping, key: str, low: float, high: float) -> float | None:
    value = extra.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and low <= value <= high else None


def names_of(extra: Mapping) -> tuple[str, ...]:
    """The speakers' names by number, "" for one without; () if none is told."""
    names = extra.get(SPEAKER_NAMES)
    if not isinstance(names, list | tuple) or not any(names):
        return ()
    return tuple(str(name or "")[:MAX_NAME] for name in names[:MAX_SIZE])


def first_named(names: Sequence[str]) -> int:
    """The number of the first speaker with a name; 0 where no names are told."""
    return next((number for number, name in enumerate(names) if name), 0)


def voice_notes(median_hz: float | None, speaker_names: Sequence[str] | None) -> dict[str, Any]:
    """The extras of a voice for what is known of its training set."""
    notes: dict[str, Any] = {}
    if median_hz:
        notes[MEDIAN_HZ] = round(float(median_hz), 2)
    if speaker_names and any(speaker_names):
        notes[SPEAKER_NAMES] = [str(name) for name in speaker_names]
    return notes


def _check_sizes(config: Any, path: Path) -> None:
    """Refuses sizes no voice has, before a network of such sizes is planned."""
    if not isinstance(config, list | tuple) or len(config) != VOICE_CONFIG_LENGTH:
        raise BadCheckpoint(
            f"{path}: its config is not a list of {VOICE_CONFIG_LENGTH} values", "get the file again"
        )
    for value in config:
        items = value if isinstance(value, list | tuple) else (value,)
        if len(items) > MAX_LAYERS or any(isinstance(item, int) and item > MAX_SIZE for item in items):
            raise BadCheckpoint(f"{path}: its config holds an impossible size", "get the file again")
    if isinstance(config[6], int) and config[6] > MAX_LAYERS:
        raise BadCheckpoint(f"{path}: its config asks for {config[6]} layers", "get the file again")


def _truth(value: Any) -> bool:
    return value.strip().lower() in ("1", "true", "yes") if isinstance(value, str) else bool(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
