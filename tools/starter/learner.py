"""The content encoder while it learns: its network, the heads that judge it, and its running mean."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from infer.lib import checkpoint
from infer.lib.content.starter import CONTENT, N_BLOCKS, WIDTH, StarterNetwork
from infer.lib.errors import BadInput
from infer.lib.files import atomic_path
from infer.lib.packed_layout import ENCODER, is_packed
from tools.starter.phones import inventory

NAME = "starter-6"
DROPOUT = 0.2  # before and behind the last layer of each part of a block, and before the heads
SKIPPED = 0.1  # how often a clip goes past a part of a block (Huang et al. 2016)
MEAN_DECAY = 0.999
EARLY_BLOCK = N_BLOCKS // 2
SAVED_HEADS = ("phones_ctc", "phones_frame")


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
                layer.register_forward_pre_hook(_thinned)
                layer.register_forward_hook(_skipped)
        for head in (self.phones_ctc, self.phones_frame):
            head.register_forward_pre_hook(_thinned)
        self.network.blocks[EARLY_BLOCK - 1].register_forward_hook(self._keep)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised log-mel [B, 80, M] -> content [B, T, 768], middle [B, T, 384]."""
        content = self.network(mel)
        return content, self._middle

    def _keep(self, module, inputs, output):
        self._middle = output


def _thinned(module, inputs):
    return (functional.dropout(inputs[0], DROPOUT, module.training),)


def _skipped(module, inputs, output):
    if not module.training:
        return output
    kept = torch.rand(len(output), 1, 1, device=output.device) >= SKIPPED
    return functional.dropout(output, DROPOUT) * (kept / (1 - SKIPPED)).to(output.dtype)


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


def save(path: Path, model: Learner, phones: list[str]) -> None:
    """Network and both phone heads."""
    tensors = dict(model.network.state_dict())
    for name in SAVED_HEADS:
        for key, value in getattr(model, name).state_dict().items():
            tensors[f"{name}.{key}"] = value
    write(path, tensors, phones)


def write(path: Path, tensors: Mapping[str, torch.Tensor], phones: Sequence[str], name: str = NAME) -> None:
    """The tensors in fp16, as `infer.lib.content.starter` reads them."""
    kept = {key: value.half().contiguous().cpu() for key, value in tensors.items()}
    notes = {"name": name, "phones": json.dumps(phones, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(kept, temporary, notes)


def load(path: Path, model: Learner, phones: Sequence[str]) -> None:
    """Puts what `save` wrote into a learner of `phones`; those that the file does not know stay new.

    Raises BadInput where the file knows a phone more, or holds no heads.
    """
    known = inventory(path)
    if lost := [phone for phone in known if phone not in phones]:
        raise BadInput(f"{path} knows {lost[0]}, which the corpus lacks", "train from the beginning")
    if known[:1] != tuple(phones[:1]):
        raise BadInput(f"{path} and the corpus have different blanks", "train from the beginning")
    tensors = tensors_of(path)
    heads = {name: tensors.pop(name) for name in list(tensors) if name.startswith("phones_")}
    places = torch.tensor([phones.index(phone) for phone in known])
    for head in SAVED_HEADS:
        for name, parameter in getattr(model, head).named_parameters(prefix=head):
            if heads.get(name, places[:0]).shape != parameter[places].shape:
                raise BadInput(
                    f"{path} holds no {name} for its phones", "go on from the file that training wrote"
                )
            parameter.data[places] = heads[name].to(parameter)
    model.network.load_state_dict(tensors)


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Network and heads of an encoder file in fp32, packed or not."""
    packed = is_packed(checkpoint.read_metadata(path))
    found = checkpoint.read_packed(path, ENCODER)[0] if packed else checkpoint.read_tensors(path)
    return {name: tensor.float() for name, tensor in found.items()}
