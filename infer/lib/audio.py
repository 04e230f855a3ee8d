"""Sound in and out: any recording to mono float32 at a wanted rate, resampling, saving.

This is the module that others import; decoding, encoding and loudness have files of their own.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infer.lib.audio_decode import BLOCK_S, AudioInfo, mono_blocks, probe
from infer.lib.audio_encode import FORMATS, save
from infer.lib.envelope import (
    CausalHighPass,
    highpass_coefficients,
    highpass_filtfilt,
    mix_envelope,
    rms_curve,
    to_int16,
)
from infer.lib.errors import BadInput
from infer.lib.files import natural_key
from infer.lib.resampling import StreamResampler, resample

__all__ = [
    "AUDIO_SUFFIXES",
    "FORMATS",
    "SAMPLE_RATE_16K",
    "AudioInfo",
    "CausalHighPass",
    "find_audio",
    "highpass_coefficients",
    "highpass_filtfilt",
    "load",
    "mix_envelope",
    "probe",
    "resample",
    "rms_curve",
    "save",
    "stream",
    "to_int16",
]

SAMPLE_RATE_16K = 16000
_SOUND = (
    "wav flac mp3 m4a m4b aac ogg oga opus wma aif aiff aifc au snd caf w64 rf64 ac3 eac3 amr ape wv mka mp2"
)
_VIDEO = "mp4 m4v mkv mov webm avi flv ts mpg mpeg wmv 3gp"
AUDIO_SUFFIXES = frozenset(f".{name}" for name in f"{_SOUND} {_VIDEO}".split())


def load(path: Path | str, sample_rate: int) -> np.ndarray:
    """A whole recording: [N] float32 mono, mean of the channels, at `sample_rate`.

    Raises BadInput (unreadable, empty, non-numbers) or MissingFile, in one sentence with the path.
    """
    return np.concatenate(list(stream(path, sample_rate)))


def stream(path: Path | str, sample_rate: int, block_s: float = BLOCK_S) -> Iterator[np.ndarray]:
    """The same samples as `load`, in [n] float32 blocks of about `block_s` s: memory stays bounded."""
    resampler, given = None, 0
    for rate, block in mono_blocks(path, block_s):
        if resampler is not None and rate != resampler.from_rate:
            raise BadInput(f"{path} changes its sample rate on the way", "convert it to wav first")
        resampler = resampler or StreamResampler(rate, sample_rate)
        block = resampler.add(block)
        given += len(block)
        if len(block):
            yield block
    rest = resampler.finish()
    if len(rest) or not given:
        yield rest


def find_audio(folder: Path | str, recursive: bool = True) -> list[Path]:
    """Recordings and videos below `folder`, by suffix, in natural order; hidden files are skipped.

    Raises BadInput for a missing folder; an empty one gives an empty list.
    """
    folder = Path(folder)
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BadInput(f"the folder {folder} {state}", "choose a folder with recordings")
    found = folder.rglob("*") if recursive else folder.iterdir()
    wanted = [path for path in found if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
    visible = [path for path in wanted if not _hidden(path.relative_to(folder))]
    return sorted(visible, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
