"""The mean of several states: of which files, and what becomes of what is no weight."""

import dataclasses

import pytest
import torch

from infer.lib import checkpoint
from infer.lib.errors import BadInput, RvcError
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
    events = []
    summary = average.run(AverageOptions(files=tuple(paths), output=output), events.append)
    assert summary == {"tensors": len(learner.tensors_of(paths[0]))} and events[-1].summary == summary
    read = learner.Learner(3)
    learner.load(output, read, PHONES)
    for name in ("phones_ctc.weight", "network.projection.weight"):
        mean = (models[0].get_parameter(name) + models[1].get_parameter(name)) / 2
        assert float((read.get_parameter(name) - mean).abs().max()) < 1e-3  # stored as fp16
    assert inventory(output) == tuple(PHONES)
    assert checkpoint.read_metadata(output) == checkpoint.read_metadata(paths[0])


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
    files = [checkpoint_of(tmp_path / f"G_{n}.pth", float(n), encoder="starter-1:0") for n in (1, 2, 6)]
    output = tmp_path / "a folder" / "mean.pth"
    assert average.main([*map(str, files), f"--output={output}"]) == 0
    mean, first = checkpoint.read_training(output), checkpoint.read_training(files[0])
    assert mean.model.keys() == first.model.keys()
    assert all(torch.allclose(tensor, torch.tensor(3.0)) for tensor in mean.model.values())
    assert mean.optimizer == {} and (mean.extra, mean.iteration) == (first.extra, first.iteration)


def test_discriminators_are_averaged_too_but_not_with_generators(tmp_path):
    discriminator = {"discriminators.0.convs.0.weight_v": torch.ones(4, 1, 3)}
    files = [tmp_path / "D_1.pth", tmp_path / "D_2.pth"]
    for path, factor in zip(files, (1, 3), strict=True):
        model = {name: tensor * factor for name, tensor in discriminator.items()}
        checkpoint.write_training(path, checkpoint.TrainingCheckpoint(model, 1))
    output = tmp_path / "mean.pth"
    run(output, *files)
    assert checkpoint.read_training(output).model["discriminators.0.convs.0.weight_v"].unique().tolist() == [
        2
    ]
    with pytest.raises(BadInput, match="different kinds"):
        run(tmp_path / "none.pth", files[0], checkpoint_of(tmp_path / "G_1.pth", 1.0))


def refused(message, output, *files):
    with pytest.raises(RvcError, match=message):
        run(output, *files)


def test_encoders_that_do_not_belong_together_are_refused(encoders, tmp_path):
    (encoder, other), _ = encoders
    output = tmp_path / "mean"
    refused("different kinds", output, encoder, checkpoint_of(tmp_path / "G_1.pth", 1.0))
    learner.save(tmp_path / "z.safetensors", learner.Learner(3), ["<b>", "p", "z"])
    refused("other phones", output, encoder, tmp_path / "z.safetensors")
    learner.write(tmp_path / "bare.safetensors", learner.Learner(3).network.state_dict(), PHONES)
    refused("another network", output, encoder, tmp_path / "bare.safetensors")
    refused("a folder", tmp_path, encoder, other)
    other.write_bytes(other.read_bytes()[:-1000])
    refused("damaged", output, encoder, other)
    assert not output.exists()


def test_checkpoints_that_do_not_belong_together_are_refused(tmp_path):
    output = tmp_path / "mean"
    generator = checkpoint_of(tmp_path / "G_1.pth", 1.0, encoder="starter-1:0")
    foreign = checkpoint_of(tmp_path / "G_2.pth", 1.0, encoder="starter-2:0")
    refused("another encoder", output, generator, foreign)
    changed = checkpoint.read_training(generator)
    name = next(iter(changed.model))
    changed.model[name] = changed.model[name][None]
    checkpoint.write_training(foreign, changed)
    refused("another network", output, generator, foreign)
    del changed.model[name]
    checkpoint.write_training(foreign, changed)
    refused("another network", output, generator, foreign)
    sound = tmp_path / "voice.wav"
    sound.write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    refused("sound", output, sound, generator)
    assert not output.exists()


def test_one_file_has_no_mean(tmp_path):
    for files in ((tmp_path / "G_1.pth",), (tmp_path / "G_1.pth",) * 2):
        with pytest.raises(ValueError, match="two files or more, each once"):
            AverageOptions(files=files, output=tmp_path / "mean.pth")
