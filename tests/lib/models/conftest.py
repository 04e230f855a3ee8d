"""A tiny voice of every kind, filled with reproducible numbers."""

import pytest
import torch

from infer.lib.models.spec import ModelSpec, standard_config
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer
from tests.golden.synthetic_weights import fill

SIZES = {
    "inter_channels": 8,
    "hidden_channels": 8,
    "filter_channels": 16,
    "n_layers": 2,
    "upsample_initial_channel": 32,
    "gin_channels": 4,
    "n_speakers": 3,
}


def tiny_spec(version: str = "v2", sample_rate: int = 40000, use_f0: bool = True, **changes) -> ModelSpec:
    """The standard spec with the upsampling of its rate, but narrow."""
    full = standard_config(version, sample_rate).spec(version, use_f0)
    values = {name: getattr(full, name) for name in full.__dataclass_fields__}
    return ModelSpec(**(values | SIZES | changes))


def fill_module(module: torch.nn.Module) -> torch.nn.Module:
    """The same numbers in every run, for every tensor by its name; none of them zero."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    module.load_state_dict({name: torch.from_numpy(array) for name, array in fill(shapes).items()})
    return module


def tiny_voice(posterior: bool = False, **changes) -> Synthesizer:
    return fill_module(Synthesizer(tiny_spec(**changes), posterior=posterior))


class Case:
    """Inputs for a voice: `frames` of content and pitch, and all randomness."""

    def __init__(self, spec: ModelSpec, frames: int, batch: int = 1):
        generator = torch.Generator().manual_seed(frames)
        self.content = torch.randn(batch, frames, spec.feature_dim, generator=generator)
        self.lengths = torch.full((batch,), frames)
        hz = 120 + 200 * torch.rand(batch, frames, generator=generator)
        hz[:, 3:6] = 0
        coarse = torch.randint(1, 256, (batch, frames), generator=generator)
        self.pitch = Pitch(coarse, hz) if spec.use_f0 else None
        self.speaker_ids = torch.arange(batch) % spec.n_speakers
        self.spectrogram = torch.rand(batch, spec.spec_channels, frames, generator=generator)
        self.draws = Draws(
            prior=torch.randn(batch, spec.inter_channels, frames, generator=generator),
            posterior=torch.randn(batch, spec.inter_channels, frames, generator=generator),
            source=torch.randn(batch, frames * spec.hop, 1, generator=generator),
        )

    def infer(self, voice: Synthesizer, **options) -> torch.Tensor:
        return voice.infer(self.content, self.lengths, self.pitch, self.speaker_ids, self.draws, **options)


def peak_error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the peak of what is expected."""
    return ((result - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks only lose time to threads on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
