"""CUDA graphs: a step is thousands of small kernels, and a fast GPU waits for their launches.

A step of each shape is recorded once and then replayed with a single launch. Needs one process and
padded batches (few shapes); the numbers are those of the plain step.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from infer.lib.mel import MelSettings
from infer.lib.models.synthesizer import Draws
from infer.stages.train.batch import Batch
from infer.stages.train.state import Training
from infer.stages.train.step import StepResult, train_step

WARM_STEPS = 3  # plain steps of a shape before it is recorded: kernels are chosen, states made


def stepper(training: Training) -> Callable[..., StepResult]:
    """What runs a step: `step(batch, draws, measure_norms=...)`."""
    plain = partial(_plain, training)
    options = training.plan.options
    possible = training.device.type == "cuda" and training.nets.team.size == 1
    if options.cuda_graphs and possible and not options.gradient_checkpointing:
        return GraphedStep(plain, training.settings.mel)
    return plain


class GraphedStep:
    """Plain steps until a shape is known, then its recording. Logged steps stay plain."""

    def __init__(self, plain: Callable[..., StepResult], mel: MelSettings):
        self._plain, self._mel = plain, mel
        self._seen: Counter = Counter()
        self._recordings: dict[tuple, _Recording] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, batch: Batch, draws: Draws, measure_norms: bool = False) -> StepResult:
        batch = batch.fitted(self._mel)
        shape = tuple(tensor.shape for tensor in _tensors(batch, draws))
        if measure_norms or self._seen[shape] < WARM_STEPS:
            self._seen[shape] += 1
            return self._plain(batch, draws, measure_norms=measure_norms)
        if shape not in self._recordings:
            self._recordings[shape] = _Recording(self._plain, (batch, draws), self._pool)
        return self._recordings[shape].replay(_tensors(batch, draws))


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


def _plain(training: Training, batch: Batch, draws: Draws, measure_norms: bool = False) -> StepResult:
    return train_step(
        training.nets, training.optimizers, batch, draws, training.settings, measure_norms=measure_norms
    )


def _tensors(batch: Batch, draws: Draws) -> list[torch.Tensor]:
    return batch.tensors() + [value for value in vars(draws).values() if value is not None]
