"""This process among those that train together: one per GPU, as torchrun numbers them.

torchrun (or our own launcher) sets RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from infer.lib.errors import BadInput, NoDevice

TIMEOUT = timedelta(minutes=30)  # a rank may wait while rank 0 writes a checkpoint or a held-out sample


@dataclass(frozen=True)
class Team:
    """`rank` of `size` processes. Only rank 0 reports and writes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def of_environment(cls) -> "Team":
        """Raises BadInput for a number that is none."""
        try:
            rank, size, local = (
                int(os.environ.get(name, default))
                for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
            )
        except ValueError as error:
            raise BadInput(
                "RANK, WORLD_SIZE or LOCAL_RANK is not a number", "start through torchrun"
            ) from error
        return cls(rank, size, local)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @contextmanager
    def joined(self, device: torch.device) -> Iterator["Team"]:
        """Connects the processes: NCCL between GPUs, gloo between CPUs."""
        if self.size == 1:
            yield self
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        if backend == "nccl" and not distributed.is_nccl_available():
            backend = "gloo"  # Windows
        try:
            distributed.init_process_group(backend, timeout=TIMEOUT, rank=self.rank, world_size=self.size)
        except (RuntimeError, ValueError) as error:
            raise NoDevice(f"the {self.size} training processes cannot connect ({error})") from error
        try:
            yield self
            self.wait()  # who has finished early must not close connections that others still use
        finally:
            gc.collect()  # the wrapped nets hold on to the group, in cycles
            distributed.destroy_process_group()

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module whose gradients are averaged over all processes in the backward pass."""
        if self.size == 1:
            return module
        return DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """Mean of a float tensor over the processes."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def largest(self, values: list[float], device: torch.device) -> list[float]:
        """Element-wise maximum over the processes, on the host."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
        return tensor.tolist()

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()
