"""Seconds and memory of one conversion with full-size networks.

    python -m tools.bench.convert [--input=FILE] [--model_name=VOICE]

Without a voice one of random weights is made: it takes as long as a real one.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import config
from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main

SAMPLE_RATE = 16000
MIB = 1 << 20


@dataclass(frozen=True)
class BenchOptions:
    """Measure the conversion of a clip: seconds for each phase, and peak memory."""

    input: Path | None = option(None, help="recording (default: a synthetic voice)")
    seconds: float = option(30.0, help="length of the clip; a recording is repeated or cut to it")
    model_name: Path | None = option(None, help="voice file (default: random weights)")
    version: str = option("v2", help="of the random voice", choices=("v1", "v2"))
    sample_rate: int = option(40000, help="of the random voice", choices=(32000, 40000, 48000))
    index_rows: int = option(20000, help="rows of a random index, 0 = none")
    encoder: str = option("starter", help="content encoder: hubert, starter, or a path")
    f0_method: str = option("auto", help="pitch method")
    repeat: int = option(2, help="conversions; the first one includes warming up")
    device: str = option("auto", help="auto, cpu, cuda:0, ...")
    precision: str = option("auto", help="fp16 or fp32", choices=("auto", "fp16", "fp32"))
    assets: Path | None = option(None, help="folder of the models (default: assets/)")
    x_pad: float = option(0.0, help="as in config.py; so are the next three")
    x_query: float = option(0.0, help="seconds")
    x_center: float = option(0.0, help="seconds")
    x_max: float = option(0.0, help="seconds")


def run(options: BenchOptions, report: Report) -> None:
    """Prints one line for each conversion."""
    started = time.perf_counter()
    from infer.lib.devices import ChunkPlan
    from infer.vc.options import ConvertOptions
    from infer.vc.pipeline import convert
    from infer.vc.shelf import ModelShelf
    from infer.vc.voice import Voice

    report(Log(f"imports: {time.perf_counter() - started:.2f} s, memory {memory_mib():.0f} MiB"))
    shelf = ModelShelf(options.assets, options.device, options.precision, options.encoder)
    plan = ChunkPlan(options.x_pad, options.x_query, options.x_center, options.x_max)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model_name or random_voice(Path(folder), options, shelf)
        index = random_index(Path(folder), options, shelf)
        audio = clip(options)
        started = time.perf_counter()
        voice = Voice.load(path, options.device, options.precision)
        report(Log(f"voice: {time.perf_counter() - started:.2f} s, memory {memory_mib():.0f} MiB"))
        for _ in range(options.repeat):
            started = time.perf_counter()
            result = convert(
                audio, voice, shelf, ConvertOptions(f0_method=options.f0_method), plan, index=index
            )
            report(Log(line(result, time.perf_counter() - started)))


def line(result, total_s: float) -> str:
    """Phases, total, speed against real time, memory."""
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in result.seconds.items())
    return (
        f"{result.duration_s:.1f} s of speech in {result.n_pieces} pieces, pitch {result.f0_method}: "
        f"{phases}, total {total_s:.2f} s ({result.duration_s / total_s:.2f} x real time), "
        f"peak memory {memory_mib():.0f} MiB" + "".join(f"; {warning}" for warning in result.warnings)
    )


def random_voice(folder: Path, options: BenchOptions, shelf) -> Path:
    """A voice file of full size made for the encoder in use."""
    import torch

    from infer.lib.checkpoint import VoiceFile, write_voice
    from infer.lib.models.spec import standard_config
    from infer.lib.models.synthesizer import Synthesizer

    torch.manual_seed(0)
    spec = standard_config(options.version, options.sample_rate).spec(options.version, True)
    weights = Synthesizer(spec, posterior=False).state_dict()
    path = folder / "random.pth"
    write_voice(path, VoiceFile(spec, weights, encoder=shelf.encoder(options.encoder).name))
    return path


def random_index(folder: Path, options: BenchOptions, shelf) -> Path | None:
    """An index of random rows."""
    import numpy as np

    from infer.lib import retrieval

    if not options.index_rows:
        return None
    width = shelf.encoder(options.encoder).dim(options.version)
    rows = np.random.default_rng(0).normal(size=(options.index_rows, width)).astype(np.float32)
    path = folder / "random.index"
    retrieval.save(retrieval.build(rows), path)
    retrieval.write_sidecar(path, {"encoder": shelf.encoder(options.encoder).name})
    return path


def clip(options: BenchOptions):
    """[N] float32 at 16 kHz."""
    import numpy as np

    from infer.lib.audio import load

    n_samples = round(options.seconds * SAMPLE_RATE)
    if options.input:
        return np.resize(load(options.input, SAMPLE_RATE), n_samples)
    t = np.arange(n_samples) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(160 * 2 ** (0.5 * np.sin(2 * np.pi * 0.3 * t))) / SAMPLE_RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (0.1 * wave * (np.sin(2 * np.pi * 1.3 * t) > -0.6)).astype(np.float32)


def memory_mib() -> float:
    """The most memory this process ever held; NaN where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak * 1024 / MIB


def main(argv: list[str] | None = None) -> int:
    return stage_main(BenchOptions, "tools.bench.convert", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
