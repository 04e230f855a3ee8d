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


def stored_state(optimizer: torch.optim.Optimizer) -> dict:
    """The state dict as it is written: plain numbers and CPU tensors, for any program and device."""
    state = optimizer.state_dict()
    groups = [
        {**group, "lr": float(group["lr"]), "capturable": False, "fused": None}
        for group in state["param_groups"]
    ]
    moments = {
        number: {
            name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in entry.items()
        }
        for number, entry in state["state"].items()
    }
    return {"state": moments, "param_groups": groups}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
