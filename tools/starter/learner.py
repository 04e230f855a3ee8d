"""The content encoder while it learns: its network, the heads that judge it, and its running mean."""

import copy
import json
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from infer.lib.content.starter import CONTENT, N_BLOCKS, WIDTH, StarterNetwork

NAME = "starter-2"
DROPOUT = 0.1
MEAN_DECAY = 0.999
WINDOW = 100  # content frames (2 s) over which a speaker is guessed
EARLY_BLOCK = N_BLOCKS // 2


class Learner(nn.Module):
    """Network and heads: phones by CTC from the content and from the middle, phones of each frame."""

    def __init__(self, n_phones: int):
        super().__init__()
        self.network = StarterNetwork()
        self.phones_ctc = nn.Linear(CONTENT, n_phones)
        self.phones_frame = nn.Linear(CONTENT, n_phones)
        self.phones_early = nn.Linear(WIDTH, n_phones)
        self._middle: torch.Tensor | None = None
        for block in self.network.blocks:
            for layer in (block.attention_out, block.conv_out, block.ffn_out):
                layer.register_forward_hook(_dropped)
        self.network.blocks[EARLY_BLOCK - 1].register_forward_hook(self._keep)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised log-mel [B, 80, M] -> content [B, T, 768], middle [B, T, 384]."""
        content = self.network(mel)
        return content, self._middle

    def _keep(self, module, inputs, output):
        self._middle = output


def _dropped(module, inputs, output):
    return functional.dropout(output, DROPOUT, module.training)


class Mean:
    """A copy of the learner whose weights follow it slowly: steadier than the learner itself."""

    def __init__(self, learner: Learner):
        self.model = copy.deepcopy(learner).eval().requires_grad_(False)
        self._kept = list(self.model.parameters())
        self._followed = list(learner.parameters())

    @torch.no_grad()
    def follow(self, step: int) -> None:
        decay = min(MEAN_DECAY, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._kept, self._followed, 1 - decay)


class Reversal(torch.autograd.Function):
    """The identity, whose gradient is turned round (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


class Adversary(nn.Module):
    """Guesses the speaker from the mean content of two seconds, by a line and by a small network."""

    def __init__(self, n_speakers: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(2 * CONTENT, affine=False)
        self.line = nn.Linear(2 * CONTENT, n_speakers)
        self.net = nn.Sequential(nn.Linear(2 * CONTENT, 512), nn.ReLU(), nn.Linear(512, n_speakers))

    def forward(self, content: torch.Tensor, speakers: torch.Tensor, strength: float) -> torch.Tensor:
        """content [B, T, 768], speakers [B] -> the adversary's own loss; the content learns to raise it."""
        content = Reversal.apply(content.float(), strength)
        n_windows = content.shape[1] // WINDOW
        if n_windows == 0:
            windows = content[:, None]
        else:
            windows = content[:, : n_windows * WINDOW].unflatten(1, (n_windows, WINDOW))  # [B, W, 100, 768]
        pooled = torch.cat((windows.mean(2), windows.std(2)), dim=-1).flatten(0, 1)
        wanted = speakers[:, None].expand(-1, windows.shape[1]).flatten()
        pooled = self.norm(pooled)
        losses = (functional.cross_entropy(guess(pooled), wanted) for guess in (self.line, self.net))
        return sum(losses)


def save(path: Path, model: Learner, phones: list[str]) -> None:
    """Network and both phone heads in fp16, as `infer.lib.content.starter` reads them."""
    tensors = dict(model.network.state_dict())
    for name in ("phones_ctc", "phones_frame"):
        for key, value in getattr(model, name).state_dict().items():
            tensors[f"{name}.{key}"] = value
    kept = {key: value.half().contiguous().cpu() for key, value in tensors.items()}
    safetensors.torch.save_file(kept, path, {"name": NAME, "phones": json.dumps(phones, ensure_ascii=False)})
