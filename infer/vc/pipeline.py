"""Voice conversion: a recording and a voice in, speech of that voice out.

The order of the steps and every number in them are RVC's, so that its voices sound as they should.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infer.lib import audio as sound
from infer.lib import f0
from infer.lib.content import ContentEncoder, same_encoder
from infer.lib.devices import FULL_PLAN, ChunkPlan
from infer.lib.errors import BadInput
from infer.lib.f0.curve import FRAMES_PER_SECOND, F0Curve
from infer.lib.retrieval import FeatureIndex
from infer.vc import chunks, pitch
from infer.vc.noise import Noise, seeded
from infer.vc.notes import Note
from infer.vc.options import ConvertOptions
from infer.vc.pieces import OUT_OF_MEMORY, Kit, PieceConverter, ProgressCall, Source
from infer.vc.shelf import ModelShelf
from infer.vc.timing import Stopwatch
from infer.vc.voice import Voice

SAMPLE_RATE = chunks.SAMPLE_RATE
PEAK = 0.95
SHORTEST_S = 0.05
# Recordings beyond this are high-passed in blocks, since the filter needs many times their memory.
FILTER_BLOCK, FILTER_OVERLAP = 1200 * SAMPLE_RATE, 4 * SAMPLE_RATE


@dataclass(frozen=True)
class Conversion:
    """The result, and how it came about."""

    audio: np.ndarray  # [N] int16
    sample_rate: int
    seconds: dict[str, float]  # load, f0, features, index, synthesis
    f0: F0Curve | None  # the source's pitch after transposition; None for voices without pitch
    f0_method: str | None
    index_used: Path | None
    warnings: list[str] = field(default_factory=list)
    plan: ChunkPlan = FULL_PLAN
    n_pieces: int = 1

    @property
    def duration_s(self) -> float:
        return len(self.audio) / self.sample_rate


@dataclass(frozen=True)
class Hooks:
    """Replaceable parts of a conversion: its noise, and who is told of its progress."""

    noise: Noise | None = None
    progress: ProgressCall = lambda done, total: None


def convert(
    source: Path | str | np.ndarray,
    voice: Voice,
    shelf: ModelShelf,
    options: ConvertOptions | None = None,
    plan: ChunkPlan = FULL_PLAN,
    *,
    index: Path | None = None,
    hooks: Hooks | None = None,
) -> Conversion:
    """Converts a file, or mono audio [N] at 16 kHz.

    `index` is the feature index to use (with index_rate > 0). Raises an RvcError with one sentence.
    """
    options, hooks = options or ConvertOptions(), hooks or Hooks()
    chunks.check_plan(plan)
    watch, warnings = Stopwatch(voice.device), []
    with watch("load"):
        kit = gather(voice, shelf, options, index)
        padded = chunks.pad(high_passed(prepared(source)), plan)
    if kit.index is None and options.index_rate > 0:
        sentence = "no feature index was used with {voice}; the likeness may be weaker"
        warnings.append(Note("no_index", sentence, voice=voice.path.name))
    curve, method = None, None
    if voice.spec.use_f0:
        with watch("f0"):
            curve, method = _pitch(padded, kit, options, plan.x_pad, warnings)
    noise = hooks.noise or seeded(options.seed)
    converter = PieceConverter(kit, options, noise, watch, plan, hooks.progress)
    pad = chunks.samples(plan.x_pad)
    result, sample_rate = finished(
        padded[pad : len(padded) - pad],
        converter.convert(Source(padded, curve, pad)),
        voice.spec.sample_rate,
        options,
    )
    return Conversion(
        audio=result,
        sample_rate=sample_rate,
        seconds=watch.seconds,
        f0=None if curve is None else without_padding(curve, plan),
        f0_method=method,
        index_used=Path(index) if kit.index is not None else None,
        warnings=warnings + converter.warnings,
        plan=converter.plan,
        n_pieces=converter.n_pieces,
    )


def prepared(source: Path | str | np.ndarray) -> np.ndarray:
    """Mono audio [N] float32 at 16 kHz with a peak of at most 0.95; BadInput if it cannot be converted."""
    name = "the recording" if isinstance(source, np.ndarray) else str(source)
    audio = source if isinstance(source, np.ndarray) else sound.load(source, SAMPLE_RATE)
    if audio.ndim != 1:
        raise BadInput(f"conversion needs mono audio, got an array of shape {audio.shape}")
    if len(audio) < SHORTEST_S * SAMPLE_RATE:
        seconds = len(audio) / SAMPLE_RATE
        raise BadInput(f"{name} is too short ({seconds:.3f} s)", f"at least {SHORTEST_S} s are needed")
    audio = np.asarray(audio, dtype=np.float32)
    excess = max(float(audio.max()), -float(audio.min())) / PEAK
    if not np.isfinite(excess):
        raise BadInput(f"{name} holds samples that are not numbers", "export the recording again")
    return audio / np.float32(excess) if excess > 1 else audio


def high_passed(audio: np.ndarray) -> np.ndarray:
    """Audio [N] at 16 kHz without what lies below 48 Hz, zero phase; float32 if very long, else float64."""
    if len(audio) <= FILTER_BLOCK:
        return sound.highpass_filtfilt(audio)
    filtered = np.empty(len(audio), np.float32)
    for start in range(0, len(audio), FILTER_BLOCK):
        # The filter has forgotten what lies farther away than the overlap.
        first, stop = max(start - FILTER_OVERLAP, 0), start + FILTER_BLOCK
        block = sound.highpass_filtfilt(audio[first : stop + FILTER_OVERLAP])
        filtered[start:stop] = block[start - first : stop - first]
    return filtered


def finished(
    filtered: np.ndarray, audio: np.ndarray, sample_rate: int, options: ConvertOptions
) -> tuple[np.ndarray, int]:
    """Speech [N] float32 with the loudness and sample rate asked for, as int16, and that rate.

    `filtered` is the high-passed source at 16 kHz; `audio` is overwritten.
    """
    rate = options.rms_mix_rate
    audio = sound.mix_envelope(filtered, SAMPLE_RATE, audio, sample_rate, rate, in_place=True)
    if options.resample_sr and options.resample_sr != sample_rate:
        audio = sound.resample(audio, sample_rate, options.resample_sr)
        sample_rate = options.resample_sr
    return sound.to_int16(audio), sample_rate


def without_padding(curve: F0Curve, plan: ChunkPlan) -> F0Curve:
    """The frames that belong to the source itself."""
    pad = round(plan.x_pad * FRAMES_PER_SECOND)
    return F0Curve(curve.hz[pad : len(curve.hz) - pad])


def gather(voice: Voice, shelf: ModelShelf, options: ConvertOptions, index: Path | None) -> Kit:
    """Loads all models of a conversion. Raises an RvcError if one is missing or does not fit."""
    voice.check_speaker(options.speaker_id)
    if voice.spec.use_f0:
        shelf.estimator(f0.preferred_method(options.f0_method, shelf.assets))
    encoder = shelf.encoder_for(voice)
    feature_index = None
    if index is not None and options.index_rate > 0:
        feature_index = shelf.index(index, options.speaker_id)
    if feature_index is not None:
        _check_index(feature_index, index, voice, encoder)
    return Kit(voice, encoder, feature_index, shelf)


def _check_index(index: FeatureIndex, path: Path, voice: Voice, encoder: ContentEncoder) -> None:
    """An index must have been made from features like those it is asked for."""
    needed = voice.spec.feature_dim
    if index.dim != needed:
        raise BadInput(
            f"the index {path} holds features of width {index.dim}",
            f"{voice.path.name} is a {voice.spec.version} voice and needs {needed}",
        )
    same_encoder(index.encoder, encoder, f"the index {Path(path).name}")


def _pitch(
    padded: np.ndarray, kit: Kit, options: ConvertOptions, pad_s: float, warnings: list[str]
) -> tuple[F0Curve, str]:
    """The transposed curve of the padded signal and the method that found it."""
    method = f0.preferred_method(options.f0_method, kit.shelf.assets)
    fill = kit.voice.fill_unvoiced if options.fill_unvoiced is None else options.fill_unvoiced
    curve = _tracked(
        kit.shelf, lambda shelf: pitch.track(padded, shelf.estimator(method), options, fill), warnings
    )
    return pitch.transpose(curve, options, pad_s), method


def _tracked(shelf: ModelShelf, track: Callable[[ModelShelf], F0Curve], warnings: list[str]) -> F0Curve:
    """`track` with this shelf's models, or with those on the CPU when memory runs out."""
    try:
        return track(shelf)
    except OUT_OF_MEMORY:
        if shelf.device == "cpu":
            raise
    sentence = "{device} ran out of memory; the pitch was found on the CPU"
    warnings.append(Note("pitch_on_cpu", sentence, device=shelf.device))
    return track(shelf.on_cpu())
