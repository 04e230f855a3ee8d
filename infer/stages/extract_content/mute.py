"""The silence item of RVC's file lists: three seconds of nothing, in every form a clip has."""

import numpy as np
import torch

from infer.jobs.experiment import Experiment
from infer.jobs.ledger import Ledger, make_key
from infer.lib import audio
from infer.lib.content import ContentEncoder
from infer.lib.files import atomic_path
from infer.lib.models.spec import SAMPLE_RATES

SECONDS = 3
F0_FRAMES = 301
COARSE_UNVOICED = 1
STEM = "mute"


def write_mute(experiment: Experiment, encoder: ContentEncoder, version: str) -> None:
    """Silent wavs at all rates, unvoiced pitch, and the encoder's content of silence.

    What exists stays, except content of another encoder.
    """
    mute = experiment.mute
    for rate in SAMPLE_RATES:
        _write_silence(mute.gt_wav(experiment.mute_stem(rate)), rate)
    _write_silence(mute.wav_16k(STEM), audio.SAMPLE_RATE_16K)
    _write_array(mute.f0_coarse_file(STEM), np.full(F0_FRAMES, COARSE_UNVOICED, np.int32))
    _write_array(mute.f0_hz_file(STEM), np.zeros(F0_FRAMES, np.float64))
    ledger = Ledger(mute.ledger_file("extract_content"))
    key = make_key(encoder.name, version)
    path = mute.content_file(STEM, version)
    if ledger.get(version) != key or not path.is_file():
        path.unlink(missing_ok=True)
        silence = torch.zeros(SECONDS * audio.SAMPLE_RATE_16K)
        _write_array(path, encoder.encode(silence, version).cpu().numpy().astype(np.float32))
        ledger.record(version, key)


def _write_silence(path, sample_rate: int) -> None:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(path, np.zeros(SECONDS * sample_rate, np.int16), sample_rate)


def _write_array(path, array: np.ndarray) -> None:
    if not path.is_file():
        with atomic_path(path) as temporary:
            np.save(temporary, array)
