"""Every random number of training, from its own key: nothing to save, nothing to restore.

A row's numbers depend on the seed, the epoch, the batch's number in it, and the row's place in the
batch of all processes. So a resumed run draws what the uninterrupted one would have drawn, and n
processes draw what one process with n times the batch size draws. (The same kind of device is
needed: CPU and CUDA generators differ.)
"""

import hashlib
import struct
from dataclasses import dataclass

import torch

from infer.lib.models.spec import ModelSpec
from infer.lib.models.synthesizer import Draws
from infer.stages.train.batch import Batch


@dataclass(frozen=True)
class DrawKey:
    """Names one batch of a run. `epoch` counts from 1, `batch` from 0."""

    seed: int
    epoch: int
    batch: int


def row_key(key: DrawKey, slot: int) -> tuple[int, float]:
    """A row's generator seed (63 bits) and a uniform number in [0, 1)."""
    packed = struct.pack("<4q", key.seed, key.epoch, key.batch, slot)
    seed, word = struct.unpack("<QQ", hashlib.blake2b(packed, digest_size=16).digest())
    return seed >> 1, (word >> 11) / 2**53


def make_draws(batch: Batch, key: DrawKey, spec: ModelSpec) -> Draws:
    """Posterior noise, window starts and source noise of a batch, on its device.

    One generator call per row: a row's numbers must not depend on the padding its neighbours ask for.
    """
    device = batch.content.device
    generator = torch.Generator(device)
    segment = spec.segment_frames * spec.hop if spec.use_f0 else 0
    posterior = torch.zeros(len(batch.frames), spec.inter_channels, batch.content.shape[1], device=device)
    source = torch.empty(len(batch.frames), segment, 1, device=device)
    starts = []
    for row, (frames, slot) in enumerate(zip(batch.frames, batch.slots, strict=True)):
        seed, uniform = row_key(key, slot)
        generator.manual_seed(seed)
        numbers = torch.randn(spec.inter_channels * frames + segment, generator=generator, device=device)
        source[row, :, 0] = numbers[:segment]
        posterior[row, :, :frames] = numbers[segment:].view(spec.inter_channels, frames)
        starts.append(int(uniform * (frames - spec.segment_frames + 1)))
    return Draws(
        posterior=posterior,
        starts=_to_device(torch.tensor(starts), device),
        source=source if spec.use_f0 else None,
    )


def _to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
