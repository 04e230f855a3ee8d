"""A voice small enough for tests, and an encoder that needs no weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from infer.lib import checkpoint
from infer.lib.content import ContentEncoder, frames
from infer.lib.f0.curve import F0Curve
from infer.lib.models.spec import FEATURE_DIMS, ModelSpec
from infer.lib.models.synthesizer import Synthesizer
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice

SIZES = {
    "inter_channels": 8,
    "hidden_channels": 8,
    "filter_channels": 16,
    "n_layers": 1,
    "resblock_kernel_sizes": (3,),
    "resblock_dilation_sizes": ((1, 3, 5),),
    "upsample_initial_channel": 16,
    "gin_channels": 4,
}


class StubEncoder(ContentEncoder):
    """Features are the first samples of each frame: enough to tell frames apart."""

    family = "hubert"

    def __init__(self, name: str = "hubert:0123456789ab"):
        self.name, self.device, self.dtype = name, torch.device("cpu"), torch.float32
        self.lengths = []

    def _content(self, audio, version):
        self.lengths.append(len(audio))
        count = frames(len(audio))
        columns = torch.arange(FEATURE_DIMS[version]) % 320
        return torch.tanh(4 * audio[: count * 320].reshape(count, 320)[:, columns])


class StubEstimator:
    """Voiced at `hz` but for every tenth frame."""

    class method:  # noqa: N801 - stands for a Method
        name = "pm"

    def __init__(self, hz=200.0):
        self.hz = hz

    def __call__(self, audio, frames=None):
        hz = np.full(frames, self.hz)
        hz[::10] = 0
        return F0Curve(hz)


class StubShelf(ModelShelf):
    """Finds its models without files."""

    def __init__(self, encoder=None, estimator=None):
        super().__init__(Path("no-assets"))
        self.stub_encoder, self.stub_estimator = encoder or StubEncoder(), estimator or StubEstimator()

    def encoder(self, which="auto"):
        return self.stub_encoder

    def estimator(self, method):
        return self.stub_estimator


def lively(weights: dict) -> dict:
    """Random weights large enough that every input is heard: fresh ones give next to silence."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: tensor if name.endswith("weight_g") else _filled(tensor, generator)
        for name, tensor in weights.items()
    }


def _filled(tensor, generator):
    drawn = torch.randn(tensor.shape, generator=generator)
    return drawn / max(tensor[0].numel(), 1) ** 0.5 if tensor.dim() > 1 else 0.1 * drawn


@pytest.fixture
def shelf():
    return StubShelf()


@pytest.fixture(scope="session")
def voice_path(tmp_path_factory):
    """`voice_path(version="v2", use_f0=True, **fields of VoiceFile)`: the path of a written voice."""
    made = {}

    def make(version: str = "v2", use_f0: bool = True, n_speakers: int = 3, **fields) -> Path:
        key = repr((version, use_f0, n_speakers, sorted(fields.items())))
        if key not in made:
            spec = ModelSpec(version, 40000, use_f0, n_speakers, 1025, 32, **SIZES)
            weights = lively(Synthesizer(spec, posterior=False).state_dict())
            path = tmp_path_factory.mktemp("voices") / "tiny voice.pth"
            checkpoint.write_voice(path, checkpoint.VoiceFile(spec, weights, **fields))
            made[key] = path
        return made[key]

    return make


@pytest.fixture
def voice(voice_path):
    return Voice.load(voice_path())
