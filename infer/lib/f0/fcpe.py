"""fcpe: Fast Context-based Pitch Estimation, with the network and weights of the torchfcpe package.

The package is used for its network only: its own loader unpickles freely, prints, and resamples.
The hyper-parameters below are those of the bundled file; a strict load proves the shapes.
"""

from pathlib import Path

import numpy as np
import torch

from infer.lib.checkpoint import read_tensors
from infer.lib.errors import BadCheckpoint
from infer.lib.f0 import HOP, SAMPLE_RATE
from infer.lib.f0.curve import F0Curve
from infer.lib.f0.tracking import Plan, at_least, import_package
from infer.lib.mel import MelSettings, mel_spectrogram

WEIGHTS = "assets/fcpe_c_v001.pt"  # inside the package
NETWORK = {
    "input_channels": 128,
    "out_dims": 360,
    "hidden_dims": 512,
    "n_layers": 6,
    "n_heads": 8,
    "f0_min": 32.70,
    "f0_max": 1975.5,
    "use_fa_norm": True,
    "conv_only": True,
}
MEL = MelSettings(SAMPLE_RATE, n_fft=1024, hop=HOP, win=1024, n_mels=128, fmax=8000.0, eps=1e-9, floor=1e-5)
THRESHOLD = 0.006


class Fcpe:
    # One normalisation runs over the whole recording, so pieces are long: five minutes take 0.6 GB.
    plan = Plan(core=30_000, context=500)

    def __init__(self, device: str):
        package = import_package("torchfcpe", "fcpe")
        network = import_package("torchfcpe.models", "fcpe").CFNaiveMelPE(**NETWORK)
        weights = Path(package.__file__).parent / WEIGHTS
        try:
            network.load_state_dict(read_tensors(weights))
        except RuntimeError as error:
            raise BadCheckpoint(
                f"{weights} does not fit its network", "install the version of torchfcpe in requirements.txt"
            ) from error
        self._network = network.eval().to(device)
        self._device = torch.device(device)

    def __call__(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[N] -> [frames]."""
        natural = len(audio) // HOP + 1
        signal = torch.from_numpy(at_least(audio, MEL.n_fft)).to(self._device)
        with torch.no_grad():
            mel = mel_spectrogram(signal[None], MEL).transpose(1, 2)[:, :natural]  # [1, T, 128]
            mel = torch.cat((mel, mel[:, -1:].expand(-1, natural - mel.shape[1], -1)), dim=1)
            hz = self._network.infer(mel, decoder="local_argmax", threshold=THRESHOLD)
        return F0Curve(hz[0, :, 0].cpu().numpy()).fit(frames).hz


def load(name: str, device: str, path: Path | None) -> Fcpe:
    return Fcpe(device)
