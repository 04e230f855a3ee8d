"""rmvpe: log-mel spectrogram -> RMVPE network -> salience of 360 pitch bins -> Hz.

Always computed in float32. Needs `rmvpe/rmvpe.pt` below the assets folder.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torchaudio

from infer.lib.checkpoint import read_tensors
from infer.lib.errors import BadCheckpoint
from infer.lib.f0 import HOP, SAMPLE_RATE
from infer.lib.f0.curve import F0Curve
from infer.lib.f0.rmvpe_net import N_MELS, RmvpeNet
from infer.lib.f0.tracking import CENTS_PER_BIN, FIRST_BIN_CENTS, N_BINS, Plan, at_least

N_FFT = 1024
MEL_BAND = (30.0, 8000.0)  # Hz
MEL_FLOOR = 1e-5
THRESHOLD = 0.03  # salience up to this is unvoiced
NEIGHBOURS = 4  # bins on both sides of the maximum that share in the mean
# Both are multiples of 32 frames, so that pieces fall on the network's pooling grid. Five seconds
# of context outlast the GRU's memory; 65 s take about 0.6 GB.
PLAN = Plan(core=6016, context=512)


class Rmvpe:
    """The tracker; `network` stays on `device`."""

    plan = PLAN

    def __init__(self, network: RmvpeNet, device: str):
        self.network = network.eval().to(device)
        self.device = torch.device(device)

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[N] -> [frames]."""
        return F0Curve(decode(self.salience(audio))).fit(frames).hz

    def salience(self, audio: np.ndarray) -> np.ndarray:
        """[N] -> [N // 160 + 1, 360] float32."""
        natural = len(audio) // HOP + 1
        signal = torch.from_numpy(at_least(audio, N_FFT)).to(self.device)
        with torch.inference_mode():
            mel = log_mel(signal)[:, :natural]
            return self.network(mel[None])[0].cpu().numpy()


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """[N] (more than 512 samples) -> [128, N // 160 + 1] float32."""
    window = torch.hann_window(N_FFT, device=audio.device)
    spectrum = torch.stft(audio, N_FFT, HOP, window=window, center=True, return_complex=True)
    return torch.log((mel_basis().to(audio.device) @ spectrum.abs()).clamp(min=MEL_FLOOR))


@lru_cache(maxsize=1)
def mel_basis() -> torch.Tensor:
    """[128, 513]: unlike everywhere else in this program on the HTK scale."""
    filters = torchaudio.functional.melscale_fbanks(
        N_FFT // 2 + 1, *MEL_BAND, N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="htk"
    )
    return filters.T.contiguous()


def decode(salience: np.ndarray) -> np.ndarray:
    """[T, 360] -> Hz [T]: the salience-weighted mean around the maximum, 0 where it is too weak."""
    peaks = salience.argmax(axis=1)
    columns = peaks[:, None] + np.arange(2 * NEIGHBOURS + 1)  # in the padded arrays
    cents = np.pad(FIRST_BIN_CENTS + CENTS_PER_BIN * np.arange(N_BINS), NEIGHBOURS)[columns]
    weights = np.pad(salience, ((0, 0), (NEIGHBOURS, NEIGHBOURS)))
    weights = np.take_along_axis(weights, columns, axis=1).astype(np.float64)
    voiced = salience.max(axis=1) > THRESHOLD
    total = np.where(voiced, weights.sum(axis=1), 1.0)
    return np.where(voiced, 10 * 2 ** ((weights * cents).sum(axis=1) / total / 1200), 0.0)


def load(name: str, device: str, path: Path) -> Rmvpe:
    """Raises BadCheckpoint if the file is not an RMVPE network."""
    network = RmvpeNet()
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        reason = str(error).partition("\n")[2].strip()[:120]
        raise BadCheckpoint(
            f"{path} is not the RMVPE model ({reason})",
            "download it again: python tools/download_assets.py rmvpe",
        ) from error
    return Rmvpe(network, device)
