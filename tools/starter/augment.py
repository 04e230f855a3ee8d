"""Disturbances that leave what was said alone: room, noise, equaliser, vocal tract, tempo, gaps.

All of it works on a whole batch on its device. The picture of the result is the network's own input, the
normalised log-mel of `infer.lib.content.starter`.
"""

import math

import torch
from torch.nn import functional

from infer.lib.content import starter
from infer.lib.content.base import HOP
from tools.starter.pool import Batch

SAMPLE_RATE = 16000
ROOM_S = 0.5
NOISE_DB = (5.0, 45.0)
GAIN_DB = (-18.0, 6.0)
EQUALISER_DB = 8.0
WARP = 0.16  # of the frequency axis (Jaitly and Hinton 2013)
BAND_MASK, TIME_MASK = 22, 0.3  # mel bands; share of the frames (Park et al. 2019)


class LogMel:
    """The encoder's input of a batch."""

    def __init__(self, device: str | torch.device):
        self.window = torch.hann_window(starter.N_FFT, device=device)
        self.basis = torch.from_numpy(starter.mel_basis()).to(device)

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        """[B, N] -> log-mel [B, 80, M], not normalised."""
        spectrum = torch.stft(
            audio, starter.N_FFT, starter.MEL_HOP, window=self.window, center=False, return_complex=True
        )
        return torch.log(self.basis @ spectrum.abs() + 1e-4)


def normalised(mel: torch.Tensor) -> torch.Tensor:
    """Mean 0 and deviation 1 over each picture of [B, 80, M]."""
    mean = mel.mean((1, 2), keepdim=True)
    return (mel - mean) / (mel.std((1, 2), unbiased=False, keepdim=True) + 1e-3)


def disturbed(audio: torch.Tensor) -> torch.Tensor:
    """Room, equaliser, coloured noise and level for each row of [B, N]."""
    batch, size = audio.shape
    n_fft = size + int(ROOM_S * SAMPLE_RATE)
    n_fft += -n_fft % 1600  # lengths with small factors are fast
    spectrum = torch.fft.rfft(audio, n_fft)
    spectrum = spectrum * torch.fft.rfft(_rooms(batch, audio.device), n_fft)
    frequency = torch.linspace(0, 1, spectrum.shape[1], device=audio.device)
    spectrum = spectrum * _curves(batch, frequency, EQUALISER_DB * _some(batch, 0.7, audio.device))
    sound = torch.fft.irfft(spectrum, n_fft)[:, :size]
    noise = _noise(batch, n_fft, frequency, audio.device)[:, :size]
    loud = _level(sound)
    decibels = _uniform(batch, *NOISE_DB, audio.device)
    noisy = _some(batch, 0.75, audio.device)
    sound = sound + noise * (noisy * loud * 10 ** (-decibels / 20) / _level(noise))
    return sound * 10 ** (_uniform(batch, *GAIN_DB, audio.device) / 20) * (0.1 / loud.clamp_min(1e-3))


def warped(mel: torch.Tensor, stretch: torch.Tensor) -> torch.Tensor:
    """Bends the frequency axis and stretches time of [B, 80, M], by `stretch` [B].

    Frame t of the result shows the moment t / stretch of the original; behind its end the end is repeated.
    """
    batch, bands, length = mel.shape
    device = mel.device
    bend = 1 + WARP * (2 * torch.rand(batch, 1, device=device) - 1) * _some(batch, 0.7, device)
    rows = torch.linspace(-1, 1, bands, device=device)[None]  # [1, 80]
    rows = (rows + 1) * bend - 1
    columns = torch.arange(length, device=device)[None] / stretch[:, None]  # [B, M]
    columns = 2 * columns / (length - 1) - 1
    grid = torch.stack(
        (columns[:, None, :].expand(-1, bands, -1), rows[:, :, None].expand(-1, -1, length)), dim=-1
    )
    bent = functional.grid_sample(mel[:, None], grid, padding_mode="border", align_corners=True)
    return bent[:, 0]


def masked(mel: torch.Tensor) -> torch.Tensor:
    """Two bands and some stretches of time of normalised [B, 80, M] become the mean."""
    batch, bands, length = mel.shape
    rows = torch.arange(bands, device=mel.device)[None]
    columns = torch.arange(length, device=mel.device)[None]
    keep = torch.ones_like(mel, dtype=torch.bool)
    for _ in range(2):
        width = torch.rand(batch, 1, device=mel.device) * BAND_MASK
        first = torch.rand(batch, 1, device=mel.device) * (bands - width)
        keep &= ~((rows >= first) & (rows < first + width))[:, :, None]
    n_masks = max(int(length / 160), 1)
    for _ in range(n_masks):
        width = torch.rand(batch, 1, device=mel.device) * TIME_MASK * length / n_masks
        first = torch.rand(batch, 1, device=mel.device) * (length - width)
        keep &= ~((columns >= first) & (columns < first + width))[:, None, :]
    return mel * keep


def source_times(batch: Batch, n_frames: int) -> torch.Tensor:
    """The moment in the recording, in content frames, of each content frame of disturbed clips [B, T]."""
    moments = torch.arange(n_frames, device=batch.audio.device)[None] / batch.stretch[:, None]
    return (moments - batch.offset[:, None] / HOP) * batch.speed[:, None]


def _uniform(batch: int, low: float, high: float, device) -> torch.Tensor:
    return low + (high - low) * torch.rand(batch, 1, device=device)


def _some(batch: int, share: float, device) -> torch.Tensor:
    """1 for about `share` of the rows, else 0: [B, 1]."""
    return (torch.rand(batch, 1, device=device) < share).float()


def _level(audio: torch.Tensor) -> torch.Tensor:
    return audio.pow(2).mean(1, keepdim=True).sqrt() + 1e-7


def _rooms(batch: int, device) -> torch.Tensor:
    """Impulse responses: the direct sound and exponentially fading noise [B, N]; half of them dry."""
    time = torch.arange(int(ROOM_S * SAMPLE_RATE), device=device)[None] / SAMPLE_RATE
    fading = torch.exp(-time * 6.9 / _uniform(batch, 0.1, 0.7, device))
    tail = torch.randn(batch, time.shape[1], device=device) * fading * (time > 0.002)
    wet = _some(batch, 0.4, device) * 10 ** (_uniform(batch, -30.0, -3.0, device) / 20)
    tail = tail / tail.norm(dim=1, keepdim=True) * wet
    tail[:, 0] = 1.0
    return tail


def _curves(batch: int, frequency: torch.Tensor, depth_db: torch.Tensor) -> torch.Tensor:
    """Smooth random responses over the frequency [B, F]."""
    decibels = torch.zeros(batch, len(frequency), device=frequency.device)
    for ripples in (0.5, 1.0, 2.0, 3.0):
        phase = 2 * math.pi * torch.rand(batch, 1, device=frequency.device)
        height = torch.randn(batch, 1, device=frequency.device) / (1 + ripples)
        decibels += height * torch.cos(2 * math.pi * ripples * frequency.sqrt()[None] + phase)
    return 10 ** (depth_db * decibels / 20)


def _noise(batch: int, n_fft: int, frequency: torch.Tensor, device) -> torch.Tensor:
    """Noise whose spectrum falls by a random power of the frequency [B, N]."""
    white = torch.fft.rfft(torch.randn(batch, n_fft, device=device))
    slope = _uniform(batch, 0.0, 1.2, device)
    colour = (frequency[None] + 1e-3) ** -slope
    return torch.fft.irfft(
        white * colour * _curves(batch, frequency, torch.tensor(6.0, device=device)), n_fft
    )
