"""The RMVPE network (Wei et al. 2023): a deep U-Net on the log-mel spectrogram, then a GRU.

Attribute names are the keys of the published `rmvpe.pt`, hence a file format.
"""

import torch
from torch import nn
from torch.nn import functional as F

from infer.lib.f0.tracking import N_BINS

N_MELS = 128
TIME_STEP = 32  # frames: five poolings by two
CHANNELS = (16, 32, 64, 128, 256)  # of the encoder layers; 512 between encoder and decoder
BLOCKS_PER_LAYER = 4
MIDDLE_LAYERS = 4
HEAD_CHANNELS = 3
GRU_UNITS = 256  # per direction


class ResidualBlock(nn.Module):
    """[B, in, T, M] -> [B, out, T, M]."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )
        if n_in != n_out:
            self.shortcut = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class BlockStack(nn.Module):
    """Four residual blocks; the first changes the channels."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv = nn.Sequential(*_blocks(n_in, n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Encoder(nn.Module):
    """[B, 1, T, M] -> [B, 256, T/32, M/32] and the five maps before each pooling."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        self.layers = nn.ModuleList(
            BlockStack(n_in, n_out) for n_in, n_out in zip((1, *CHANNELS), CHANNELS, strict=False)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        x = self.bn(x)
        skips = []
        for layer in self.layers:
            x = layer(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        return x, skips


class Intermediate(nn.Module):
    """[B, 256, t, m] -> [B, 512, t, m]."""

    def __init__(self):
        super().__init__()
        top = CHANNELS[-1]
        self.layers = nn.Sequential(
            BlockStack(top, 2 * top), *(BlockStack(2 * top, 2 * top) for _ in range(MIDDLE_LAYERS - 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class DecoderLayer(nn.Module):
    """[B, C, t, m] and its skip [B, C/2, 2t, 2m] -> [B, C/2, 2t, 2m]."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )
        self.conv2 = nn.ModuleList(_blocks(2 * n_out, n_out))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = torch.cat((self.conv1(x), skip), dim=1)
        for block in self.conv2:
            x = block(x)
        return x


class Decoder(nn.Module):
    """[B, 512, T/32, M/32] and the skips -> [B, 16, T, M]."""

    def __init__(self):
        super().__init__()
        widths = (2 * CHANNELS[-1], *reversed(CHANNELS))
        self.layers = nn.ModuleList(
            DecoderLayer(n_in, n_out) for n_in, n_out in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        for layer, skip in zip(self.layers, reversed(skips), strict=True):
            x = layer(x, skip)
        return x


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.intermediate = Intermediate()
        self.decoder = Decoder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, skips = self.encoder(x)
        return self.decoder(self.intermediate(x), skips)


class BiGru(nn.Module):
    """[B, T, in] -> [B, T, 2 * 256]."""

    def __init__(self, n_in: int):
        super().__init__()
        self.gru = nn.GRU(n_in, GRU_UNITS, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x)[0]


class RmvpeNet(nn.Module):
    """Log-mel [B, 128, T] -> salience [B, T, 360] in 0..1; any T."""

    def __init__(self):
        super().__init__()
        self.unet = UNet()
        self.cnn = nn.Conv2d(CHANNELS[0], HEAD_CHANNELS, 3, padding=1)
        self.fc = nn.Sequential(
            BiGru(HEAD_CHANNELS * N_MELS), nn.Linear(2 * GRU_UNITS, N_BINS), nn.Dropout(0.25), nn.Sigmoid()
        )

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        frames = mel.shape[-1]
        # Zeros, which are loud in the log domain, are what the network was trained to see there.
        mel = F.pad(mel, (0, -frames % TIME_STEP))
        x = self.cnn(self.unet(mel.transpose(1, 2).unsqueeze(1)))  # [B, 3, T, 128]
        return self.fc(x.transpose(1, 2).flatten(2))[:, :frames]


def _blocks(n_in: int, n_out: int) -> list[ResidualBlock]:
    return [
        ResidualBlock(n_in if first else n_out, n_out) for first in (True, *[False] * (BLOCKS_PER_LAYER - 1))
    ]
