"""Writing of wav, flac, ogg, mp3 and m4a. Files appear whole or not at all."""

import io
from pathlib import Path

import numpy as np
import soundfile
from scipy.io import wavfile

from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import atomic_path
from infer.lib.resampling import resample

# format -> (container, codec, bits per second) for PyAV
_ENCODED = {"mp3": ("mp3", "libmp3lame", 192_000), "m4a": ("ipod", "aac", 160_000)}
FORMATS = ("wav", "flac", "mp3", "m4a", "ogg")


def save(path: Path | str, audio: np.ndarray, sample_rate: int, format: str | None = None) -> Path:
    """Writes mono audio, [N] int16 or float in [-1, 1], atomically; returns the path.

    The format is the file's suffix unless given. wav keeps the kind of numbers (int16 or float32);
    mp3 and m4a move to the next higher rate where their format lacks `sample_rate` (40 kHz).
    Raises BadInput for an unknown format, OSError as the system does (full disk, read-only folder).
    """
    path = Path(path)
    kind = (format or path.suffix.lstrip(".")).lower()
    if kind not in FORMATS:
        raise BadInput(f"{path.name} has no format that can be written", "use " + ", ".join(FORMATS))
    data = encode(np.asarray(audio), sample_rate, kind)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def encode(audio: np.ndarray, sample_rate: int, kind: str) -> bytes:
    """The bytes of a file of this kind.

    Encoded in memory: a full disk then shows as an OSError of one write, not inside a codec.
    """
    if audio.ndim != 1:
        raise ValueError(f"mono audio has one axis, not {audio.shape}")
    if audio.dtype != np.int16:
        audio = audio.astype(np.float32)
    buffer = io.BytesIO()
    if kind == "wav":
        # Not libsndfile: it adds a time stamp to float files, and readers warn about that chunk.
        wavfile.write(buffer, sample_rate, audio)
    elif kind == "flac":
        subtype = "PCM_16" if audio.dtype == np.int16 else "PCM_24"
        soundfile.write(buffer, audio, sample_rate, format="FLAC", subtype=subtype)
    elif kind == "ogg":
        _write_ogg(buffer, audio, sample_rate)
    else:
        _write_av(buffer, audio, sample_rate, kind)
    return buffer.getvalue()


def _write_ogg(buffer: io.BytesIO, audio: np.ndarray, sample_rate: int) -> None:
    """In pieces: libsndfile's Vorbis encoder overflows its stack on one very long write."""
    with soundfile.SoundFile(
        buffer, "w", samplerate=sample_rate, channels=1, format="OGG", subtype="VORBIS"
    ) as file:
        for start in range(0, len(audio), sample_rate):
            file.write(audio[start : start + sample_rate])


def _write_av(buffer: io.BytesIO, audio: np.ndarray, sample_rate: int, kind: str) -> None:
    try:
        import av
    except ImportError as error:
        raise MissingFile(f"writing {kind} needs the package PyAV ({error})", "pip install av") from error
    container_name, codec_name, bit_rate = _ENCODED[kind]
    rates = av.Codec(codec_name, "w").audio_rates
    rate = min((r for r in rates if r >= sample_rate), default=max(rates))
    samples = resample(_as_float(audio), sample_rate, rate)
    with av.open(buffer, "w", format=container_name) as container:
        stream = container.add_stream(codec_name, rate=rate, layout="mono", format="fltp")
        stream.bit_rate = bit_rate
        for start in range(0, len(samples), rate):
            block = np.ascontiguousarray(samples[None, start : start + rate])  # [1, n]
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))  # what the encoder still holds


def _as_float(audio: np.ndarray) -> np.ndarray:
    return audio.astype(np.float32) / 32768 if audio.dtype == np.int16 else audio
