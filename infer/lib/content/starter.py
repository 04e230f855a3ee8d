"""The starter encoder: a small network shipped with the program, so that all of it runs without a download.

Log-mel in, eight blocks of attention (rotary positions), convolution and feed-forward, features of
ContentVec's shape out. `assets/starter/README.md` describes it; attribute names are the file's keys. Files of
other training runs of this network are called starter-2 and so on; the fingerprint tells weights apart.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from infer.lib import checkpoint
from infer.lib.content.base import (
    SAMPLE_RATE,
    ContentEncoder,
    as_dtype,
    check_tensors,
    fingerprint,
)
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.models.unfilled import unfilled
from infer.lib.packed_layout import ENCODER, is_packed

NAME = re.compile(r"starter-[1-9][0-9]*")
WIDTH, N_HEADS, N_BLOCKS, KERNEL, CONTENT = 384, 6, 8, 15, 768
N_FFT, MEL_HOP, N_MELS, MEL_MIN_HZ, MEL_MAX_HZ = 400, 160, 80, 30, 8000
ROTARY_BASE = 10000.0
_FINGERPRINT = [
    "subsample.0.weight",
    "blocks.0.attention_qkv.weight",
    "blocks.7.ffn_out.weight",
    "projection.weight",
]


class Block(nn.Module):
    """Attention, convolution and feed-forward, each added to what came in."""

    def __init__(self, width: int = WIDTH, kernel: int = KERNEL):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention_qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.conv_norm = nn.LayerNorm(width)
        self.conv_in = nn.Linear(width, 2 * width)
        self.conv_depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.conv_mid_norm = nn.LayerNorm(width)
        self.conv_out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, 4 * width)
        self.ffn_out = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """x [B, T, C], angles [T, head_dim / 2] -> [B, T, C]."""
        x = x + self._attention(self.attention_norm(x), angles)
        x = x + self._convolution(self.conv_norm(x))
        return x + self.ffn_out(functional.gelu(self.ffn_in(self.ffn_norm(x))))

    def _attention(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        parts = self.attention_qkv(x).view(batch, time, 3, N_HEADS, width // N_HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each [B, heads, T, head_dim]
        query, key = rotated(query, angles).to(value.dtype), rotated(key, angles).to(value.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, time, width))

    def _convolution(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.glu(self.conv_in(x), dim=-1)
        x = self.conv_depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.conv_out(functional.silu(self.conv_mid_norm(x)))


class StarterNetwork(nn.Module):
    """Normalised log-mel [B, 80, M] -> content [B, T, 768], T = (M + 1) // 2."""

    def __init__(self):
        super().__init__()
        self.subsample = nn.ModuleList(
            [nn.Conv1d(N_MELS, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)]
        )
        self.blocks = nn.ModuleList(Block() for _ in range(N_BLOCKS))
        self.final_norm = nn.LayerNorm(WIDTH)
        self.projection = nn.Linear(WIDTH, CONTENT)
        self.output_norm = nn.LayerNorm(CONTENT)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        x = mel
        for convolution in self.subsample:
            x = functional.gelu(convolution(x))
        x = x.transpose(1, 2)  # [B, T, C]
        angles = rotary_angles(x.shape[1], WIDTH // N_HEADS, x.device)
        for block in self.blocks:
            x = block(x, angles)
        return self.output_norm(self.projection(self.final_norm(x)))


class StarterEncoder(ContentEncoder):
    """The shipped encoder on one device. It has no 256-wide projection, hence no v1."""

    def __init__(self, path: Path, device: str | torch.device = "cpu", dtype="fp32"):
        self.device = torch.device(device)
        self.dtype = as_dtype(dtype)
        tensors, self.family = _read(Path(path))
        with unfilled():
            network = StarterNetwork()
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if problem := check_tensors(tensors, shapes):
            raise BadCheckpoint(f"{path} is no {self.family} encoder: it {problem}", "restore assets/starter")
        self.name = f"{self.family}:{fingerprint(tensors, _FINGERPRINT)}"
        network.load_state_dict({name: tensors[name].float() for name in shapes}, assign=True)
        self.network = network.requires_grad_(False).eval().to(self.device)
        self._window = torch.hann_window(N_FFT, device=self.device)
        self._mel_basis = torch.from_numpy(mel_basis()).to(self.device)  # [80, 201]

    def dim(self, version: str) -> int:
        wanted = super().dim(version)
        if version == "v1":
            raise BadInput(
                "the starter encoder makes v2 content only", "use v2, or the hubert encoder for v1"
            )
        return wanted

    def log_mel(self, audio: torch.Tensor) -> torch.Tensor:
        """[N] -> [80, M], M = (N - 400) // 160 + 1: natural logarithm, before normalisation."""
        spectrum = torch.stft(audio, N_FFT, MEL_HOP, window=self._window, center=False, return_complex=True)
        return torch.log(self._mel_basis @ spectrum.abs() + 1e-4)

    def _content(self, audio: torch.Tensor, version: str) -> torch.Tensor:
        mel = self.log_mel(audio)
        mel = (mel - mel.mean()) / (mel.std(unbiased=False) + 1e-3)  # over the utterance, all bands together
        with self._autocast():
            return self.network(mel[None])[0]


def rotary_angles(time: int, head_dim: int, device: torch.device) -> torch.Tensor:
    """Turning angle of each pair at each position [T, head_dim / 2]."""
    pairs = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32)
    return torch.arange(time, device=device, dtype=torch.float32)[:, None] * ROTARY_BASE ** (
        -pairs / head_dim
    )


def rotated(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turns adjacent pairs (0,1), (2,3), ... of x [..., T, head_dim] by `angles`, in float32."""
    first, second = x[..., 0::2].float(), x[..., 1::2].float()
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1).flatten(-2)


def mel_basis() -> np.ndarray:
    """[80, 201] float32: triangles of height 1, evenly spaced on HTK's mel scale, as librosa makes them."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (MEL_MIN_HZ, MEL_MAX_HZ))
    corners = 700 * (10 ** (np.linspace(low, high, N_MELS + 2) / 2595) - 1)  # [82] Hz
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    steps = np.diff(corners)[:, None]
    rising, falling = (bins - corners[:-2, None]) / steps[:-1], (corners[2:, None] - bins) / steps[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors in fp32, and the name of the training run: from a packed file, or one of plain tensors."""
    if not path.is_file():
        raise MissingFile(f"{path} is missing", "restore assets/starter from the program's archive")
    notes = checkpoint.read_metadata(path)
    name = notes.get("name")
    if not NAME.fullmatch(name or ""):
        raise BadCheckpoint(
            f"{path} holds the encoder {name!r}", "this program knows starter-1, starter-2 ..."
        )
    tensors = checkpoint.read_packed(path, ENCODER)[0] if is_packed(notes) else checkpoint.read_tensors(path)
    return tensors, name
