"""Steps per second of training with full-size networks on synthetic clips.

    python -m tools.bench.train_step --precision=bf16 --precision=fp32 --batch-size=8 --graphs=both

Prints one line for each combination: time of a step, clips per second, how long the host needs to
launch a step (the GPU idles when that is the step's time), peak memory, and the losses at the end.
"""

import itertools
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import config
from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main

GIB = 1 << 30


@dataclass(frozen=True)
class BenchOptions:
    """Measure training steps."""

    precision: tuple[str, ...] = option(("bf16",), help="fp32, fp16 or bf16; repeat the flag for several")
    batch_size: tuple[int, ...] = option((8,), help="clips in a batch; repeat the flag for several")
    graphs: str = option("no", help="CUDA graphs", choices=("no", "yes", "both"))
    layout: str = option("plain", help="memory layout of convolutions", choices=("plain", "wide", "both"))
    version: str = option("v2", help="network version", choices=("v1", "v2"))
    sample_rate: int = option(40000, help="Hz", choices=(32000, 40000, 48000))
    frames: int = option(368, help="length of the clips, 100 frames a second")
    steps: int = option(30, help="measured steps")
    tf32: bool = option(False, help="let fp32 products use TF32")
    gradient_checkpointing: bool = option(False, help="as in training")
    device: str = option("auto", help="auto, cpu, cuda:0, ...")


@dataclass(frozen=True)
class Variant:
    precision: str
    batch_size: int
    graphs: bool
    wide: bool

    def __str__(self) -> str:
        marks = [name for name in ("graphs", "wide") if getattr(self, name)]
        return " ".join([f"{self.precision} batch {self.batch_size}", *marks])


def run(options: BenchOptions, report: Report) -> None:
    """One line for each variant."""
    import torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.tf32
    device = torch.device(options.device)
    both = {"no": (False,), "plain": (False,), "yes": (True,), "wide": (True,), "both": (False, True)}
    for values in itertools.product(
        options.precision, options.batch_size, both[options.graphs], both[options.layout]
    ):
        report(Log(f"{Variant(*values)}: {measure(Variant(*values), options, device)}"))
        if device.type == "cuda":
            torch.cuda.empty_cache()


def measure(variant: Variant, options: BenchOptions, device: Any) -> str:
    """Trains on a few fixed batches; the last losses show that it stays finite."""
    import torch

    from infer.stages.train.draws import DrawKey, make_draws

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step, spec = build(variant, options, device)
    batches = [batch_of(spec, variant.batch_size, options.frames, device, seed) for seed in range(4)]
    host_s = 0.0

    def one(number: int) -> Any:
        nonlocal host_s
        began = time.perf_counter()
        batch = batches[number % len(batches)]
        result = step(batch, make_draws(batch, DrawKey(0, 1, number), spec))
        host_s += time.perf_counter() - began
        return result

    for number in range(6):  # kernels are chosen, graphs recorded
        result = one(number)
    wait(device)
    host_s, began = 0.0, time.perf_counter()
    for number in range(options.steps):
        result = one(number)
    wait(device)
    seconds = (time.perf_counter() - began) / options.steps
    losses = result.losses
    shown = ", ".join(
        f"{name} {getattr(losses, name).item():.3f}" for name in ("disc", "gen", "fm", "mel", "kl")
    )
    memory = f"{torch.cuda.max_memory_allocated(device) / GIB:.1f} GiB, " if device.type == "cuda" else ""
    clips = variant.batch_size / seconds
    return (
        f"{1000 * seconds:.1f} ms a step, {1 / seconds:.2f} steps/s, {clips:.0f} clips/s, "
        f"host {1000 * host_s / options.steps:.1f} ms, {memory}{shown}"
    )


def build(variant: Variant, options: BenchOptions, device: Any) -> tuple:
    """The step, as training runs it, and the spec."""
    import torch

    from infer.lib.mel import MelSettings
    from infer.lib.models.discriminators import MultiPeriodDiscriminator
    from infer.lib.models.spec import standard_config
    from infer.lib.models.synthesizer import Synthesizer
    from infer.stages.train.graphs import GraphedStep
    from infer.stages.train.optimizers import Optimizers, adamw
    from infer.stages.train.precision import Precision
    from infer.stages.train.step import Networks, StepSettings, train_step

    hyper = standard_config(options.version, options.sample_rate)
    spec = hyper.spec(options.version, use_f0=True)
    torch.manual_seed(0)
    nets = Networks(Synthesizer(spec).to(device), MultiPeriodDiscriminator(options.version).to(device))
    nets.generator.gradient_checkpointing = options.gradient_checkpointing
    if variant.wide:
        make_wide(nets)
    pair = (adamw(net, hyper.train, variant.graphs) for net in (nets.generator, nets.discriminator))
    mel = MelSettings.of(hyper.data)
    settings = StepSettings(mel, spec.segment_frames, Precision(variant.precision, device))
    optimizers = Optimizers(*pair)

    def plain(batch, draws, measure_norms=False):
        return train_step(nets, optimizers, batch, draws, settings, measure_norms=measure_norms)

    return (GraphedStep(plain, mel) if variant.graphs else plain), spec


def make_wide(nets: Any) -> None:
    """An experiment: channels innermost in the decoder and in the period discriminators."""
    import torch

    from infer.lib.models import blocks

    def kernel(layer):
        return blocks.NormConv2d.kernel(layer).contiguous(memory_format=torch.channels_last)

    for layer in nets.discriminator.modules():
        if isinstance(layer, blocks.NormConv2d):
            layer.kernel = partial(kernel, layer)
    nets.generator.dec._layout = blocks.widen


def batch_of(spec: Any, size: int, frames: int, device: Any, seed: int) -> Any:
    """Noisy tones and random content."""
    import torch

    from infer.stages.train.batch import Item, collate

    source = torch.Generator().manual_seed(seed)
    seconds = torch.arange(frames * spec.hop) / spec.sample_rate
    items = []
    for speaker in range(size):
        hz = 100.0 + 20 * speaker
        audio = 0.3 * torch.sin(2 * torch.pi * hz * seconds)
        audio += 0.02 * torch.randn(len(audio), generator=source)
        content = torch.randn(frames, spec.feature_dim, generator=source)
        coarse = torch.randint(1, 256, (frames,), generator=source)
        items.append(Item(audio, content, coarse, torch.full((frames,), hz), 0))
    return collate(items, round_to=64).to(device)


def wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(argv=None) -> int:
    return stage_main(
        BenchOptions,
        "tools.bench.train_step",
        argv,
        settle=config.settle,
        prog="python -m tools.bench.train_step",
    )


if __name__ == "__main__":
    sys.exit(main())
