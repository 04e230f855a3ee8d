"""Decoding of any recording to mono float32 blocks, without a shell and without an ffmpeg program.

libsndfile comes first (wav, flac, ogg, opus, mp3, aiff ...); whatever it does not know goes to PyAV
(m4a, aac, wma, the audio track of a video ...). A recording that is cut off is used as far as it goes,
and a warning says so.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from infer.lib.errors import BadInput, MissingFile
from infer.lib.resampling import StreamResampler

BLOCK_S = 5.0
_MICROSECONDS = 1_000_000  # unit of a container's duration in ffmpeg

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says; `seconds` may be an estimate for compressed formats."""

    seconds: float
    sample_rate: int
    channels: int


def probe(path: Path | str) -> AudioInfo:
    """Length, rate and channels without decoding. Raises BadInput or MissingFile."""
    path = checked_file(path)
    file = _open_soundfile(path)
    if file is None:
        return _probe_av(path)
    with file:
        return AudioInfo(file.frames / file.samplerate, file.samplerate, file.channels)


def mono_blocks(path: Path | str, block_s: float = BLOCK_S) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (sample rate, [n] float32), channels averaged, blocks of about `block_s` seconds.

    Raises BadInput, in one sentence, for a file without usable audio; MissingFile for no file.
    """
    path = checked_file(path)
    found = False
    for rate, block in _decoded(path, block_s):
        if not np.isfinite(block).all():
            raise BadInput(f"{path} holds non-numbers (NaN or infinity)", "export the recording again")
        found = True
        yield rate, block
    if not found:
        raise BadInput(f"{path} holds no audio samples", "leave it out or record it again")


def checked_file(path: Path | str) -> Path:
    """An absolute path (so that no name looks like a flag or `-`) of a file that is not empty."""
    path = Path(path).absolute()
    if path.is_dir():
        raise BadInput(f"{path} is a folder, not a recording", "name a file")
    if not path.is_file():
        raise MissingFile(f"{path} does not exist", "check the path")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty (0 bytes)", "copy or record it again")
    return path


def _decoded(path: Path, block_s: float) -> Iterator[tuple[int, np.ndarray]]:
    file = _open_soundfile(path)
    if file is None:
        yield from _gathered(_av_blocks(path), block_s)
        return
    with file:
        yield from _soundfile_blocks(file, path, block_s)


# libsndfile ---------------------------------------------------------------------------------------


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """None for a format that libsndfile does not read."""
    # Bytes also carry names that are not valid text in this system's encoding.
    name = str(path) if os.name == "nt" else os.fsencode(path)
    try:
        return soundfile.SoundFile(name)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless data (.raw) needs a rate
        return None


def _soundfile_blocks(
    file: soundfile.SoundFile, path: Path, block_s: float
) -> Iterator[tuple[int, np.ndarray]]:
    frames = max(1, int(block_s * file.samplerate))
    done = 0
    while True:
        try:
            block = file.read(frames, dtype="float32", always_2d=True)  # [n, channels]
        except soundfile.LibsndfileError:
            # A damaged flac: libsndfile throws the whole block away, ffmpeg keeps its good part.
            rest = _without_start(_at_rate(_av_blocks(path), file.samplerate), done)
            yield from _gathered(rest, block_s)
            return
        if not len(block):
            break
        done += len(block)
        yield file.samplerate, block.mean(axis=1, dtype=np.float32)
    if done < file.frames or _data_missing(file):
        _warn_cut_off(path, done / file.samplerate, "its header promises more")


def _at_rate(blocks: Iterator[tuple[int, np.ndarray]], rate: int) -> Iterator[tuple[int, np.ndarray]]:
    """ffmpeg plays every Opus file at 48 kHz, libsndfile at the rate it was made from."""
    resampler = None
    for own, block in blocks:
        resampler = resampler or StreamResampler(own, rate)
        if own != resampler.from_rate:
            raise BadInput("the sample rate changes inside the recording", "convert it to wav first")
        yield rate, resampler.add(block)
    if resampler is not None:
        yield rate, resampler.finish()


def _without_start(
    blocks: Iterator[tuple[int, np.ndarray]], samples: int
) -> Iterator[tuple[int, np.ndarray]]:
    for rate, block in blocks:
        yield rate, block[samples:]
        samples = max(0, samples - len(block))


def _data_missing(file: soundfile.SoundFile) -> bool:
    """libsndfile notes in its log when a wav's data chunk ends before its announced size."""
    return any("data" in line and "should be" in line for line in file.extra_info.splitlines())


def _warn_cut_off(path: Path, seconds: float, reason: object) -> None:
    log.warning("%s is cut off after %.1f s (%s); using what is there", path, seconds, reason)


# PyAV ---------------------------------------------------------------------------------------------


def _import_av(path: Path):
    """PyAV is loaded only for the formats that need it."""
    try:
        import av
    except ImportError as error:
        raise MissingFile(f"{path} needs the package PyAV ({error})", "pip install av") from error
    return av


def _unreadable(path: Path, reason: object) -> BadInput:
    return BadInput(
        f"{path} cannot be read as audio ({reason})", "it may be damaged or not a recording at all"
    )


def _open_av(av, handle, path: Path):
    """Opened from a file object and with local protocols only: neither a name like `http:x.mp3`
    nor a play list disguised as a recording reaches the network."""
    try:
        return av.open(handle, options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise _unreadable(path, error.strerror) from error


def _audio_track(container, path: Path):
    if not container.streams.audio:
        raise BadInput(f"{path} has no audio track", "choose a file with sound")
    return container.streams.audio[0]


def _probe_av(path: Path) -> AudioInfo:
    av = _import_av(path)
    with path.open("rb") as handle, _open_av(av, handle, path) as container:
        track = _audio_track(container, path)
        if track.duration is not None:
            seconds = float(track.duration * track.time_base)
        else:
            seconds = (container.duration or 0) / _MICROSECONDS
        if not track.rate:
            raise _unreadable(path, "its sample rate is unknown")
        return AudioInfo(seconds, track.rate, track.channels)


def _av_blocks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    av = _import_av(path)
    seconds, problems = 0.0, []
    with path.open("rb") as handle, _open_av(av, handle, path) as container:
        for frame in _av_frames(av, container, _audio_track(container, path), problems):
            seconds += frame.samples / frame.sample_rate
            yield frame.sample_rate, _mono(frame)
    if problems and not seconds:
        raise _unreadable(path, problems[-1])
    if problems:
        _warn_cut_off(path, seconds, problems[-1])


def _av_frames(av, container, track, problems: list[str]) -> Iterator:
    """Frames of every packet that can be decoded; what went wrong is added to `problems`."""
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, EOFError):
            return
        except av.FFmpegError as error:
            problems.append(error.strerror)
            return
        try:
            yield from packet.decode()
        except EOFError:
            return
        except av.FFmpegError as error:  # one damaged packet: the next may be whole
            problems.append(error.strerror)


def _mono(frame) -> np.ndarray:
    """[n] float32 of a decoded frame, planar or interleaved, integer or float."""
    values = frame.to_ndarray()
    if frame.format.is_planar:
        values = values.reshape(-1, frame.samples)  # [channels, n]
    else:
        values = values.reshape(frame.samples, -1).T
    scale, offset = 1.0, 0.0
    if values.dtype == np.uint8:
        scale, offset = 1 / 128, -1.0
    elif np.issubdtype(values.dtype, np.integer):
        scale = 1 / (np.iinfo(values.dtype).max + 1)
    return (values.mean(axis=0, dtype=np.float64) * scale + offset).astype(np.float32)


def _gathered(blocks: Iterator[tuple[int, np.ndarray]], block_s: float) -> Iterator[tuple[int, np.ndarray]]:
    """Joins the decoder's small frames into blocks of at least `block_s` seconds of one rate."""
    waiting: list[np.ndarray] = []
    rate = samples = 0
    for frame_rate, frame in blocks:
        if waiting and (frame_rate != rate or samples >= block_s * rate):
            yield rate, np.concatenate(waiting)
            waiting, samples = [], 0
        rate = frame_rate
        waiting.append(frame)
        samples += len(frame)
    if waiting:
        yield rate, np.concatenate(waiting)
