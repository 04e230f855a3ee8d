"""CUDA graphs: a step is thousands of small kernels, and a fast GPU waits for their launches.

A step of each shape is recorded once and then replayed with a single launch. Needs one process and
padded batches (few shapes); the numbers are those of the plain step.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from infer.lib.errors import NoDevice
from infer.lib.mel import MelSettings
from infer.lib.models.synthesizer import Draws
from infer.stages.train.batch import Batch
from infer.stages.train.options import TrainOptions
from infer.stages.train.step import StepResult

WARM_STEPS = 3  # plain steps of a shape before it is recorded: kernels are chosen, states made
# Recordings hold about as much memory again, and a small GPU is busy enough without them.
ROOMY_BYTES = 15 << 30


def graphs_wanted(options: TrainOptions, device: torch.device, n_processes: int) -> bool:
    """Whether steps are recorded: on one GPU only, and by "auto" only on one with room for it."""
    possible = device.type == "cuda" and n_processes == 1 and not options.gradient_checkpointing
    if not possible or options.cuda_graphs == "no":
        return False
    total = torch.cuda.get_device_properties(device).total_memory
    return options.cuda_graphs == "yes" or total >= ROOMY_BYTES


class GraphedStep:
    """Plain steps until a shape is known, then its recording. Logged and warm-up steps stay plain."""

    def __init__(self, plain: Callable[..., StepResult], mel: MelSettings):
        self._plain, self._mel = plain, mel
        self._seen: Counter = Counter()
        self._recordings: dict[tuple, _Recording] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, batch: Batch, draws: Draws, measure_norms: bool = False, warm_up: bool = False
    ) -> StepResult:
        batch = batch.fitted(self._mel)
        if warm_up:  # does not count: a recording needs the states of both optimizers
            return self._plain(batch, draws, measure_norms=measure_norms, warm_up=True)
        shape = tuple(tensor.shape for tensor in _tensors(batch, draws))
        if measure_norms or self._seen[shape] < WARM_STEPS:
            self._seen[shape] += 1
            return self._plain(batch, draws, measure_norms=measure_norms)
        if shape not in self._recordings:
            self._recordings[shape] = self._record(batch, draws)
        return self._recordings[shape].replay(_tensors(batch, draws))

    def _record(self, batch: Batch, draws: Draws) -> "_Recording":
        try:
            return _Recording(self._plain, (batch, draws), self._pool)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise NoDevice(
                f"this GPU cannot record training steps ({reason}); the last checkpoint is kept",
                "run the same command with --cuda-graphs=no to go on",
            ) from error


class _Recording:
    """One step on tensors of its own. The recordings share memory: a result lives until the next replay."""

    def __init__(self, step: Callable[..., StepResult], example: tuple[Batch, Draws], pool):
        batch, draws = example
        self._batch = batch.map(torch.clone)
        self._draws = replace(draws, **{name: x.clone() for name, x in vars(draws).items() if x is not None})
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: the loader's thread pins memory meanwhile, which a global recording forbids
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._result = step(self._batch, self._draws)

    def replay(self, inputs: Sequence[torch.Tensor]) -> StepResult:
        for own, given in zip(_tensors(self._batch, self._draws), inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._result


def _tensors(batch: Batch, draws: Draws) -> list[torch.Tensor]:
    return batch.tensors() + [value for value in vars(draws).values() if value is not None]
