"""The transformer of the text encoder: relative-position attention over a window, post-norm.

Shaw et al. (2018) in the form of VITS: offsets of up to WINDOW frames have a learnt vector, farther ones
none. Dropout is never applied: all published configurations have 0.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from infer.lib.models.spec import ModelSpec

WINDOW = 10  # frames
MASKED_LOGIT = -1e4  # finite, and representable in half precision
BLOCK_LOGITS = 4_000_000  # logits held at once without gradients: 16 MB in float32


class LayerNorm(nn.Module):
    """Layer norm over the channels of [B, C, T]."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, self.eps)
        return normed.transpose(1, 2)


def skew(band: torch.Tensor) -> torch.Tensor:
    """[..., Q, W] -> [..., Q, Q + W - 1] where row i is shifted right by i, zeros elsewhere."""
    *batch, rows, width = band.shape
    columns = rows + width - 1
    flat = F.pad(band, (0, rows)).flatten(-2)  # rows of width + rows = columns + 1 values
    return flat[..., : rows * columns].reshape(*batch, rows, columns)


def unskew(window: torch.Tensor, width: int) -> torch.Tensor:
    """[..., Q, Q + W - 1] -> [..., Q, W]: the band that `skew` would have placed there."""
    *batch, rows, columns = window.shape
    flat = F.pad(window.flatten(-2), (0, rows))
    return flat.reshape(*batch, rows, columns + 1)[..., :width]


class RelativeAttention(nn.Module):
    """Multi-head self-attention with learnt vectors for the offsets -WINDOW..WINDOW, shared by the heads."""

    def __init__(self, channels: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        depth = channels // n_heads
        self.scale = 1 / math.sqrt(depth)
        self.emb_rel_k = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, depth))
        self.emb_rel_v = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, depth))
        for vectors in (self.emb_rel_k, self.emb_rel_v):
            nn.init.normal_(vectors, std=depth**-0.5)
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        for projection in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(projection.weight)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, C, T] of x [B, C, T]; keys where mask [B, 1, T] is 0 are not looked at."""
        query = self._heads(self.conv_q(x)) * self.scale
        key = self._heads(self.conv_k(x))
        value = self._heads(self.conv_v(x))
        hidden = (mask == 0).unsqueeze(1)  # [B, 1, 1, T]
        rows = self._block_rows(query)
        starts = range(0, query.shape[2], rows)
        blocks = [self._attend(query[:, :, i : i + rows], key, value, hidden, i) for i in starts]
        attended = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)
        return self.conv_o(attended.transpose(2, 3).flatten(1, 2))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T] -> [B, H, T, D]"""
        return x.unflatten(1, (self.n_heads, -1)).transpose(2, 3)

    def _block_rows(self, query: torch.Tensor) -> int:
        """Queries answered at once: all of them in training, else as many as fit into a bounded table."""
        batch, heads, frames, _ = query.shape
        if torch.is_grad_enabled():
            return frames
        return min(frames, max(2 * WINDOW, BLOCK_LOGITS // (batch * heads * frames)))

    def _attend(self, query, key, value, hidden, start: int) -> torch.Tensor:
        """[B, H, Q, D] for the queries [B, H, Q, D] that begin at frame `start` of the keys [B, H, T, D]."""
        rows, frames = query.shape[2], key.shape[2]
        low, high = max(start - WINDOW, 0), min(start + rows + WINDOW, frames)
        before, after = low - (start - WINDOW), (start + rows + WINDOW) - high

        logits = torch.matmul(query, key.transpose(2, 3))  # [B, H, Q, T]
        near = skew(torch.matmul(query, self.emb_rel_k[0].t().to(query.dtype)))  # [B, H, Q, Q + 2 * WINDOW]
        logits[..., low:high] += near[..., before : near.shape[-1] - after]
        weights = torch.softmax(logits.masked_fill_(hidden, MASKED_LOGIT), dim=-1).to(value.dtype)
        near_weights = unskew(F.pad(weights[..., low:high], (before, after)), 2 * WINDOW + 1)
        return torch.matmul(weights, value) + torch.matmul(near_weights, self.emb_rel_v[0].to(value.dtype))


class FeedForward(nn.Module):
    """Two convolutions over time with ReLU between."""

    def __init__(self, channels: int, filter_channels: int, kernel_size: int):
        super().__init__()
        self.padding = ((kernel_size - 1) // 2, kernel_size // 2)
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel_size)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel_size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # [B, C, T], [B, 1, T]
        x = torch.relu(self.conv_1(F.pad(x * mask, self.padding)))
        return self.conv_2(F.pad(x * mask, self.padding)) * mask


class Encoder(nn.Module):
    """Post-norm transformer blocks."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        channels, layers = spec.hidden_channels, range(spec.n_layers)
        self.attn_layers = nn.ModuleList(RelativeAttention(channels, spec.n_heads) for _ in layers)
        self.norm_layers_1 = nn.ModuleList(LayerNorm(channels) for _ in layers)
        self.ffn_layers = nn.ModuleList(
            FeedForward(channels, spec.filter_channels, spec.kernel_size) for _ in layers
        )
        self.norm_layers_2 = nn.ModuleList(LayerNorm(channels) for _ in layers)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, C, T] of x [B, C, T] and mask [B, 1, T]; 0 outside the mask."""
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        x = x * mask
        for attention, norm_1, ffn, norm_2 in layers:
            x = norm_1(x + attention(x, mask))
            x = norm_2(x + ffn(x, mask))
        return x * mask
