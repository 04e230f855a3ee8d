"""Linear and mel spectrograms of the training target.

RVC 2.2 and 2.3 differ in two small constants, the two "flavours" below. Everything is computed in
float32, whatever autocast is active around the call.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from infer.lib.models.spec import DataConfig

EPS_22, FLOOR_22 = 1e-6, 1e-5
EPS_23, FLOOR_23 = 2e-7, 2e-6
FLAVOURS = {"2.2": (EPS_22, FLOOR_22), "2.3": (EPS_23, FLOOR_23)}


@dataclass(frozen=True)
class MelSettings:
    """One kind of mel spectrogram. `eps` is added under the magnitude's root, `floor` bounds the log."""

    sample_rate: int  # Hz
    n_fft: int
    hop: int
    win: int
    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None  # None: half the sample rate
    eps: float = EPS_22
    floor: float = FLOOR_22

    @classmethod
    def of(cls, data: DataConfig, flavour: str = "2.2") -> "MelSettings":
        """The settings of a hyper-parameter file in the flavour of RVC "2.2" or "2.3"."""
        eps, floor = FLAVOURS[flavour]
        return cls(
            sample_rate=data.sampling_rate,
            n_fft=data.filter_length,
            hop=data.hop_length,
            win=data.win_length,
            n_mels=data.n_mel_channels,
            fmin=data.mel_fmin,
            fmax=data.mel_fmax,
            eps=eps,
            floor=floor,
        )


def linear_spectrogram(
    audio: torch.Tensor, n_fft: int, hop: int, win: int, eps: float = EPS_22
) -> torch.Tensor:
    """Magnitudes [B, n_fft // 2 + 1, N // hop] float32 of audio [B, N].

    N must exceed (n_fft - hop) / 2, the length mirrored at both ends.
    """
    with torch.autocast(audio.device.type, enabled=False):
        margin = (n_fft - hop) // 2
        padded = F.pad(audio.float().unsqueeze(1), (margin, margin), mode="reflect").squeeze(1)
        spectrum = torch.stft(
            padded,
            n_fft,
            hop_length=hop,
            win_length=win,
            window=_hann(win, audio.device),
            center=False,
            return_complex=True,
        )
        # eps stands inside the root: the gradient of |z| has no limit at zero
        return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + eps)


def linear_to_mel(linear: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Log mel energies [B, n_mels, T] float32 of magnitudes [B, F, T]."""
    basis = mel_basis(
        settings.sample_rate,
        settings.n_fft,
        settings.n_mels,
        (settings.fmin, settings.fmax),
        device=linear.device,
        dtype=torch.float32,
    )
    with torch.autocast(linear.device.type, enabled=False):
        return torch.log(torch.clamp(torch.matmul(basis, linear.float()), min=settings.floor))


def mel_spectrogram(audio: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Log mel energies [B, n_mels, N // hop] float32 of audio [B, N]."""
    linear = linear_spectrogram(audio, settings.n_fft, settings.hop, settings.win, settings.eps)
    return linear_to_mel(linear, settings)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor could not serve training later
def mel_basis(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    band: tuple[float, float | None] = (0.0, None),
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Slaney mel filters [n_mels, n_fft // 2 + 1] between the two frequencies (Hz) of `band`.

    Triangles of equal area, evenly spaced on the Slaney scale: librosa's default filter bank.
    """
    fmin, fmax = band
    fmax = sample_rate / 2 if fmax is None else fmax
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    corners = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), n_mels + 2))
    widths = np.diff(corners)
    ramps = corners[:, None] - bins[None, :]  # [n_mels + 2, bins]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles *= (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return torch.from_numpy(triangles.astype(np.float32)).to(device=device, dtype=dtype)


# The Slaney scale: linear up to 1 kHz (15 mels), then 27 mels for each factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ_PER_MEL, above)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _hann(win: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(win, device=device)
