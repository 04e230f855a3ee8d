"""A tiny experiment, tiny nets, and a main() that trains them: seconds on a CPU."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile
from torch import nn

from infer.jobs.experiment import Experiment
from infer.lib.models.spec import standard_config
from infer.stages.train import state
from infer.stages.train.options import TrainOptions
from infer.stages.train.tally import Tally

RATE, HOP = 40000, 400


class TinyDiscriminator(nn.Module):
    """Two judges of a few hundred weights; the real ones have 71 million. Files are told by the name."""

    def __init__(self, version: str):
        super().__init__()
        self.discriminators = nn.ModuleList(
            nn.ModuleList((nn.Conv1d(1, 8, 15, stride), nn.Conv1d(8, 8, 9, 4), nn.Conv1d(8, 1, 3)))
            for stride in (2, 5)
        )

    def forward(self, audio):
        scores, maps = [], []
        for judge in self.discriminators:
            x, own = audio, []
            for layer in judge:
                x = nn.functional.leaky_relu(layer(x), 0.1)
                own.append(x)
            scores.append(x.flatten(1))
            maps.append(own)
        return scores, maps


def tiny_config(**train) -> dict:
    """Hyper-parameters of a few thousand weights at 40 kHz."""
    parts = json.loads(standard_config("v2", RATE).to_json())
    parts["train"] |= {"segment_size": 10 * HOP, "log_interval": 2, "learning_rate": 1e-3, **train}
    parts["model"] |= {
        "inter_channels": 8,
        "hidden_channels": 8,
        "filter_channels": 16,
        "n_layers": 1,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]],
        "upsample_initial_channel": 32,
        "gin_channels": 4,
        "spk_embed_dim": 3,
    }
    return parts


def write_clip(experiment: Experiment, stem: str, seconds: float, seed: int, version: str = "v2") -> None:
    """A gliding tone with all the files that the earlier stages make of it."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    frames = n // HOP
    hz = 120 + 60 * np.sin(np.arange(frames) / 20 + seed)
    phase = np.cumsum(np.repeat(hz, HOP)) / RATE
    audio = 0.3 * np.sin(2 * np.pi * phase) + 0.1 * np.sin(6 * np.pi * phase)
    audio += 0.003 * rng.standard_normal(len(audio))
    dim = 768 if version == "v2" else 256
    hz[:5] = 0
    files = {
        experiment.f0_coarse_file(stem): np.clip(np.round(hz / 5), 1, 255).astype(np.int64),
        experiment.f0_hz_file(stem): hz,
        experiment.content_file(stem, version): rng.standard_normal((frames // 2, dim)).astype(np.float32),
    }
    for path, array in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    wav = experiment.gt_wav("mute40k" if stem == "mute" else stem)
    wav.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(wav, RATE, audio.astype(np.float32))


def make_experiment(folder: Path, n_clips: int = 6, version: str = "v2") -> Experiment:
    """Clips of 1.0 to 1.3 s, and the silence clip."""
    experiment = Experiment(folder / "my voice é")
    for i in range(n_clips):
        write_clip(experiment, f"0_{i}", 1.0 + 0.05 * (i % 7), seed=i, version=version)
    write_clip(experiment.mute, "mute", 1.0, seed=99, version=version)
    experiment.update_settings(sample_rate=RATE, version=version, use_f0=True, encoder="starter-1:abc")
    return experiment


def make_options(experiment: Experiment, **changes) -> TrainOptions:
    """Options for a run on the CPU with the tiny nets."""
    config = experiment.root.parent / "tiny.json"
    if not config.is_file():
        config.write_text(json.dumps(tiny_config()), encoding="utf-8")
    options = TrainOptions(
        experiment=experiment.root,
        total_epoch=2,
        save_every_epoch=1,
        batch_size=2,
        device="cpu",
        precision="fp32",
        weights=experiment.root.parent / "weights",
        config=config,
    )
    return replace(options, **changes)


class Recorder:
    """A report that keeps its events."""

    def __init__(self):
        self.events = []

    def __call__(self, event) -> None:
        self.events.append(event)

    def of(self, kind) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def epoch_losses(self) -> list[list[float]]:
        """The mean losses of each epoch."""
        values = [event.values for event in self.events if "epoch_s" in getattr(event, "values", ())]
        return [[value[name] for name in Tally.NAMES] for value in values]

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.events if hasattr(event, "message")]


def main(argv=None) -> int:
    """`python -m tests.stages.train.tiny`: the real command with the tiny discriminator."""
    from infer.stages.train.__main__ import main as train_main

    torch.set_num_threads(1)
    state.MultiPeriodDiscriminator = TinyDiscriminator
    return train_main(argv)


if __name__ == "__main__":
    sys.exit(main())
