"""A base without its discriminator: the fresh one may learn alone first."""

import dataclasses
import json

import pytest
import torch

from infer.lib import checkpoint
from infer.lib.checkpoint import read_training
from infer.lib.checkpoint_layout import NOISE_KEY, noise_scale_of
from infer.lib.errors import BadInput
from infer.lib.models.spec import ModelSpec
from infer.lib.packed_layout import GENERATOR, VOICE_KEY
from infer.lib.voice_header import read_header
from infer.stages.ckpt import extract
from infer.stages.ckpt.options import ExtractOptions
from infer.stages.train import graphs
from infer.stages.train.graphs import GraphedStep
from infer.stages.train.run import run
from tests.stages.train.tiny import Recorder, make_experiment, make_options


def train(experiment, **changes) -> Recorder:
    recorder = Recorder()
    run(make_options(experiment, **changes), recorder)
    return recorder


def weights(experiment, step, letter="generator"):
    return read_training(getattr(experiment, f"{letter}_checkpoint")(step)).model


@pytest.fixture
def base(experiment, tmp_path):
    """A packed base made of one epoch of the tiny nets, and the experiment it was made of."""
    train(experiment, total_epoch=1)
    training = read_training(experiment.generator_checkpoint(4))
    spec = ModelSpec(**training.extra["spec"])
    notes = {"config": spec.voice_config(), "version": "v2", "sr": "40k", "f0": 1, "encoder": "starter-1:abc"}
    path = tmp_path / "base.safetensors"
    checkpoint.write_packed(path, training.model, GENERATOR, **{VOICE_KEY: json.dumps(notes)})
    return path


def test_a_packed_base_is_trained_on_without_a_discriminator(base, tmp_path):
    experiment = make_experiment(tmp_path / "new")
    recorder = train(experiment, total_epoch=1, pretrain_g=str(base), warmup_d=1000)
    assert f"loaded pretrained {base}" in recorder.messages
    stored, _ = checkpoint.read_packed(base, GENERATOR)
    trained = weights(experiment, 4)
    assert all(torch.equal(trained[name], tensor) for name, tensor in stored.items())  # it did not move


def test_the_noise_of_a_base_is_that_of_the_voices_trained_from_it(base, tmp_path):
    tensors, notes = checkpoint.read_packed(base, GENERATOR)
    voice = json.loads(notes[VOICE_KEY]) | {NOISE_KEY: 0.25}
    quiet = tmp_path / "quiet.safetensors"
    checkpoint.write_packed(quiet, tensors, GENERATOR, **{VOICE_KEY: json.dumps(voice)})
    for number, first in enumerate((str(base), str(quiet))):
        experiment = make_experiment(tmp_path / f"new{number}")
        folder, told = tmp_path / f"weights{number}", [None, 0.25][number]
        for epochs in (1, 2):  # begun, and gone on with, which no longer reads the base
            begin_from = first if epochs == 1 else ""
            train(experiment, total_epoch=epochs, pretrain_g=begin_from, weights=folder)
            (written,) = folder.glob("*.pth")
            assert noise_scale_of(checkpoint.read_voice(written).extra) == told
        taken, _ = extract.voice_of_checkpoint(ExtractOptions(experiment.root))
        assert noise_scale_of(taken.extra) == told
        assert noise_scale_of(read_header(experiment.generator_checkpoint(8)).extra) == told


def test_a_base_for_other_content_is_refused(base, tmp_path):
    experiment = make_experiment(tmp_path / "new")
    experiment.update_settings(encoder="hubert:0123456789ab")
    with pytest.raises(
        BadInput, match="content of starter-1:abc, but the clips have hubert.*--encoder=starter"
    ):
        train(experiment, pretrain_g=str(base))


def test_only_the_discriminator_learns_at_first_and_a_stop_changes_nothing(experiment, tmp_path):
    whole = train(experiment, total_epoch=3, warmup_d=6, save_every_epoch=1)
    before, halfway, after = (weights(experiment, step) for step in (4, 8, 12))
    judges = [weights(experiment, step, "discriminator") for step in (4, 8)]
    assert any(not torch.equal(judges[0][name], judges[1][name]) for name in judges[0])
    assert any(not torch.equal(before[name], halfway[name]) for name in before)
    other = make_experiment(tmp_path / "other")
    first = train(other, total_epoch=1, warmup_d=6, save_every_epoch=1)
    fresh = train(make_experiment(tmp_path / "short"), total_epoch=1, warmup_d=4)
    assert first.epoch_losses == fresh.epoch_losses == whole.epoch_losses[:1]
    second = train(other, total_epoch=3, warmup_d=6)
    assert first.epoch_losses + second.epoch_losses == whole.epoch_losses
    resumed = weights(other, 12)
    assert all(torch.equal(resumed[name], after[name]) for name in after)


def test_reduced_precision_warms_up_too(experiment):
    recorder = train(experiment, total_epoch=1, warmup_d=2, precision="bf16")
    assert all(value == value for losses in recorder.epoch_losses for value in losses)


def test_warm_up_steps_are_never_recorded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    batch = type("Batch", (), {"fitted": lambda self, mel: self, "tensors": lambda self: [torch.zeros(2)]})()
    draws = dataclasses.make_dataclass("Draws", [])()
    step = GraphedStep(lambda *given, **how: how, mel=None)
    for _ in range(graphs.WARM_STEPS + 2):
        assert step(batch, draws, warm_up=True)["warm_up"] is True
    assert step(batch, draws) == {"measure_norms": False}  # still plain: both optimizers need their states


def test_a_negative_warm_up_is_refused(experiment):
    with pytest.raises(ValueError, match="warmup_d"):
        make_options(experiment, warmup_d=-1)
