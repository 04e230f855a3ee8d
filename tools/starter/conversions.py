"""Converts what a voice is measured on, once: results that are there already are kept."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from infer.lib.audio import find_audio, load, save
from infer.lib.devices import FULL_PLAN, ChunkPlan
from infer.lib.errors import BadInput
from infer.lib.f0 import estimator
from infer.vc.options import ConvertOptions
from infer.vc.pipeline import convert
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice
from tools.bench.judge import METHOD, SAMPLE_RATE
from tools.starter.joins import JOIN_PLAN
from tools.starter.material import Take

LONG = "long"  # all spoken sources one after the other, converted in short pieces
PITCHED_TAKES = 20
SEMITONES = 12

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A speaker of the voice, recordings of theirs, and the index for them."""

    speaker_id: int
    takes: tuple[Path, ...]
    index: Path | None = None

    @classmethod
    def read(cls, text: str, index: Path | None, without: Path | None) -> "Target":
        """`ID=FOLDER`; takes that `without` holds too, by name, are left out. Raises BadInput."""
        number, _, folder = text.partition("=")
        if not number.isdigit() or not folder:
            raise BadInput(f"the target {text!r} cannot be read", "write --target=ID=FOLDER")
        used = {path.stem for path in find_audio(without)} if without else set()
        takes = tuple(path for path in find_audio(Path(folder)) if path.stem not in used)
        if not takes:
            raise BadInput(f"{folder} holds no recordings of the target")
        return cls(int(number), takes, index)

    @cached_property
    def pitch_hz(self) -> float:
        return median_pitch([load(path, SAMPLE_RATE) for path in self.takes[:PITCHED_TAKES]])

    def key_for(self, audio: np.ndarray) -> int:
        """Semitones from a source to this speaker, whole ones as a person would choose."""
        return round(SEMITONES * np.log2(self.pitch_hz / median_pitch([audio])))


@dataclass(frozen=True)
class Converter:
    """A voice and how to use it."""

    voice: Voice
    shelf: ModelShelf
    options: ConvertOptions

    def __call__(self, source: np.ndarray, target: Target, key: float, plan: ChunkPlan = FULL_PLAN):
        """[N] int16 and its rate, of audio at 16 kHz."""
        options = replace(self.options, speaker_id=target.speaker_id, f0_up_key=key)
        made = convert(source, self.voice, self.shelf, options, plan, index=target.index)
        for warning in made.warnings:
            log.warning("%s", warning)
        return made.audio, made.sample_rate


def median_pitch(recordings: list[np.ndarray]) -> float:
    """Hz over all voiced frames of audio at 16 kHz. Raises BadInput where none is."""
    track = estimator(METHOD, "cpu")
    curves = [track(audio).hz for audio in recordings]
    voiced = np.concatenate([hz[hz > 0] for hz in curves])
    if not len(voiced):
        raise BadInput("no voiced sound was found")
    return float(np.median(voiced))


def result_path(folder: Path, target: Target, name: str) -> Path:
    return folder / f"speaker_{target.speaker_id}" / f"{name}.wav"


def long_source(takes: list[Take]) -> np.ndarray:
    """The spoken clips at 16 kHz in one recording."""
    return np.concatenate([load(take.path, SAMPLE_RATE) for take in takes if take.text])


def convert_missing(converter: Converter, target: Target, takes: list[Take], folder: Path) -> None:
    """Converts each take, and all spoken ones in short pieces, unless the result is there."""
    for take in takes:
        path = result_path(folder, target, take.path.stem)
        if not path.is_file():
            source = load(take.path, SAMPLE_RATE)
            _save(path, converter(source, target, target.key_for(source)))
    path = result_path(folder, target, LONG)
    if not path.is_file():
        source = long_source(takes)
        _save(path, converter(source, target, target.key_for(source), JOIN_PLAN))


def _save(path: Path, made: tuple[np.ndarray, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, *made)
