"""AdamW as RVC configures it, in its fastest form for the device."""

from dataclasses import dataclass

import torch
from torch import nn

from infer.lib.models.spec import TrainConfig


@dataclass(frozen=True)
class Optimizers:
    generator: torch.optim.Optimizer
    discriminator: torch.optim.Optimizer


def adamw(module: nn.Module, train: TrainConfig, recorded: bool = False) -> torch.optim.AdamW:
    """Weight decay is AdamW's 0.01. `recorded`: for CUDA graphs, where nothing may be a host number."""
    device = next(module.parameters()).device
    rate = torch.tensor(train.learning_rate, device=device) if recorded else train.learning_rate
    return torch.optim.AdamW(
        module.parameters(),
        lr=rate,
        betas=train.betas,
        eps=train.eps,
        fused=device.type == "cuda",
        capturable=recorded,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
