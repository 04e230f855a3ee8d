"""Tiny networks for tests of weight files: the layout of the real ones, a few thousand values."""

import collections
import os
from pathlib import Path

import torch

from infer.lib.checkpoint import TrainingCheckpoint, VoiceFile, named_shapes
from infer.lib.models.spec import ModelSpec, standard_config
from infer.lib.models.synthesizer import Synthesizer

SMALL = {
    "inter_channels": 8,
    "hidden_channels": 8,
    "filter_channels": 16,
    "n_layers": 1,
    "gin_channels": 4,
    "upsample_initial_channel": 32,
}


def tiny_spec(
    version: str = "v2", use_f0: bool = True, sample_rate: int = 40000, n_speakers: int = 3
) -> ModelSpec:
    """The standard network of that kind, with few channels."""
    full = standard_config(version, sample_rate).spec(version, use_f0)
    return ModelSpec(**{**vars(full), **SMALL, "n_speakers": n_speakers})


def tiny_network(spec: ModelSpec, seed: int = 0) -> Synthesizer:
    torch.manual_seed(seed)
    return Synthesizer(spec)


def tiny_voice(spec: ModelSpec | None = None, seed: int = 0, **fields) -> VoiceFile:
    """A voice whose weights fp16 can hold exactly."""
    spec = spec or tiny_spec()
    torch.manual_seed(seed)
    network = Synthesizer(spec, posterior=False)
    weights = {name: tensor.half().float() for name, tensor in network.state_dict().items()}
    return VoiceFile(spec, weights, **fields)


def trained(network: torch.nn.Module, order: list[str] | None = None) -> torch.optim.AdamW:
    """An AdamW over the parameters in `order` after one step; each gradient tells its parameter apart."""
    named = dict(network.named_parameters())
    names = order or list(named)
    for number, name in enumerate(sorted(named)):
        named[name].grad = torch.full_like(named[name], number + 1.0)
    optimizer = torch.optim.AdamW([named[name] for name in names], lr=1e-4, betas=(0.8, 0.99), eps=1e-9)
    optimizer.step()
    return optimizer


def first_moment(network: torch.nn.Module, name: str) -> float:
    """What `exp_avg` of a parameter is after `trained`: (1 - beta1) * gradient."""
    return 0.2 * (sorted(named_shapes(network)).index(name) + 1.0)


def tiny_checkpoint(network_spec: ModelSpec | None = None, epoch: int = 7, **extra) -> TrainingCheckpoint:
    network = tiny_network(network_spec or tiny_spec())
    optimizer = trained(network)
    return TrainingCheckpoint(network.state_dict(), epoch, optimizer.state_dict(), 1e-4, extra)


class Call:
    """Pickles as a call of `function`: what a malicious file holds."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def malicious(marker: Path) -> dict[str, object]:
    """Contents that would leave `marker` behind, or call into the system, if anything of them ran."""
    return {
        "system": Call(os.system, f"touch '{marker}'"),
        "eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "defaultdict": collections.defaultdict(os.getcwd, a=1),
        "inside a voice": {"weight": {"a": torch.zeros(1)}, "config": [Call(os.system, f"touch '{marker}'")]},
        "inside hubert": {"model": {}, "cfg": Call(os.mkdir, str(marker))},
    }
