"""The mean of several states: of which files, and what becomes of what is no weight."""

import dataclasses

import pytest
import torch

from infer.lib import checkpoint
from infer.lib.errors import BadInput
from infer.lib.packed_layout import ENCODER
from tests.lib.tiny_voices import tiny_checkpoint, tiny_spec
from tools.starter import average, learner
from tools.starter.average import AverageOptions
from tools.starter.phones import inventory

PHONES = ["<b>", "p", "q"]


def run(output, *files):
    return average.run(AverageOptions(files=files, output=output), lambda event: None)


@pytest.fixture
def encoders(tmp_path):
    """Two files as training writes them, and their learners."""
    models = [learner.Learner(3), learner.Learner(3)]
    paths = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for path, model in zip(paths, models, strict=True):
        learner.save(path, model, PHONES)
    return paths, models


def checkpoint_of(path, value, **extra):
    """A tiny generator whose weights are all this value."""
    spec = tiny_spec()
    made = tiny_checkpoint(spec, spec=dataclasses.asdict(spec), **extra)
    model = {name: torch.full_like(tensor, value) for name, tensor in made.model.items()}
    optimizer = {"state": {}, "param_groups": [{"lr": 1.0}]}
    checkpoint.write_training(path, dataclasses.replace(made, model=model, optimizer=optimizer))
    return path


@torch.no_grad()
def test_encoders_are_averaged_with_their_heads(encoders, tmp_path):
    paths, models = encoders
    output = tmp_path / "a folder" / "mean.safetensors"
    assert run(output, *paths) == {"tensors": len(learner.tensors_of(paths[0]))}
    read = learner.Learner(3)
    learner.load(output, read, PHONES)
    for name in ("phones_ctc.weight", "network.projection.weight"):
        mean = (models[0].get_parameter(name) + models[1].get_parameter(name)) / 2
        assert float((read.get_parameter(name) - mean).abs().max()) < 1e-3  # stored as fp16
    assert inventory(output) == tuple(PHONES)


def test_a_packed_encoder_is_one_too(encoders, tmp_path):
    paths, _ = encoders
    packed, output = tmp_path / "packed.safetensors", tmp_path / "mean.safetensors"
    notes = checkpoint.read_metadata(paths[1])
    checkpoint.write_packed(packed, checkpoint.read_tensors(paths[1]), ENCODER, **notes)
    run(output, paths[0], packed)
    one, two, mean = (learner.tensors_of(path) for path in (*paths, output))
    name = "projection.weight"
    assert float((mean[name] - (one[name] + two[name]) / 2).abs().max()) < 1e-2  # int8 and fp16


def test_checkpoints_are_averaged_without_their_optimizers(tmp_path):
    files = [checkpoint_of(tmp_path / f"G_{n}.pth", float(n), encoder=f"starter-{n}:0") for n in (1, 2, 6)]
    output = tmp_path / "mean.pth"
    run(output, *files)
    mean = checkpoint.read_training(output)
    assert all(torch.allclose(tensor, torch.tensor(3.0)) for tensor in mean.model.values())
    assert mean.optimizer == {} and mean.extra["encoder"] == "starter-1:0"


def test_what_does_not_belong_together_is_refused(encoders, tmp_path):
    (encoder, other), _ = encoders
    output = tmp_path / "mean"
    generator = checkpoint_of(tmp_path / "G_1.pth", 1.0)
    with pytest.raises(BadInput, match="two kinds"):
        run(output, encoder, generator)
    learner.save(other, learner.Learner(3), ["<b>", "p", "z"])
    with pytest.raises(BadInput, match="other phones"):
        run(output, encoder, other)
    smaller = checkpoint.read_training(generator)
    smaller.model.popitem()
    checkpoint.write_training(tmp_path / "G_2.pth", smaller)
    with pytest.raises(BadInput, match="another network"):
        run(output, generator, tmp_path / "G_2.pth")
    sound = tmp_path / "voice.wav"
    sound.write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    with pytest.raises(BadInput, match="sound"):
        run(output, sound, sound)
    assert not output.exists()


def test_one_file_has_no_mean(tmp_path):
    with pytest.raises(ValueError, match="two files"):
        AverageOptions(files=(tmp_path / "G_1.pth",), output=tmp_path / "mean.pth")
