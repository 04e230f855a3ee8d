"""An experiment that begins with the nets of another one."""

from dataclasses import replace

import pytest
import torch

from infer.jobs.command import parse, to_argv
from infer.jobs.experiment import Experiment
from infer.lib.checkpoint import TrainingCheckpoint, read_training, read_voice, write_training
from infer.lib.checkpoint_layout import NOISE_KEY
from infer.lib.errors import BadInput, MissingFile, RvcError
from infer.stages.train.options import TrainOptions
from infer.stages.train.run import run
from tests.stages.train.tiny import Recorder, make_experiment, make_options


@pytest.fixture
def old(tmp_path, tiny_nets) -> Experiment:
    """An experiment trained to epoch 2."""
    experiment = make_experiment(tmp_path / "old")
    run(make_options(experiment), Recorder())
    return experiment


@pytest.fixture
def new(tmp_path, tiny_nets) -> Experiment:
    """The same voice with more clips."""
    return make_experiment(tmp_path / "new", n_clips=8)


def go_on(new: Experiment, old: Experiment, **changes) -> Recorder:
    recorder = Recorder()
    run(make_options(new, continue_from=str(old.root), **{"total_epoch": 3, **changes}), recorder)
    return recorder


def test_it_goes_on_with_the_other_nets(old, new):
    recorder = go_on(new, old)
    assert f"continues from experiment {old.root}, epoch 2" in recorder.messages
    assert any(message.startswith("Resuming from epoch 3") for message in recorder.messages)
    assert len(recorder.epoch_losses) == 1
    first, last = (read_training(new.generator_checkpoint(step)) for step in new.checkpoints())
    theirs = read_training(old.generator_checkpoint(old.checkpoints()[-1]))
    assert (first.iteration, last.iteration) == (2, 3)
    assert all(torch.equal(first.model[name], tensor) for name, tensor in theirs.model.items())
    assert first.optimizer["state"].keys() == theirs.optimizer["state"].keys()
    assert "heldout" not in first.extra
    assert set(last.extra["heldout"]) <= set(new.stems())


def test_the_noise_that_suits_the_nets_goes_with_them(old, new):
    path = old.generator_checkpoint(old.checkpoints()[-1])
    checkpoint = read_training(path)
    write_training(path, replace(checkpoint, extra={**checkpoint.extra, NOISE_KEY: 0.25}))
    go_on(new, old)
    for step in new.checkpoints():
        assert read_training(new.generator_checkpoint(step)).extra[NOISE_KEY] == 0.25
    assert read_voice(new.root.parent / "weights" / f"{new.name}.pth").extra[NOISE_KEY] == 0.25


def test_own_checkpoints_come_first(old, new):
    go_on(new, old)
    recorder = go_on(new, old, total_epoch=4)
    assert not any("continues from" in message for message in recorder.messages)
    assert len(recorder.epoch_losses) == 1


def test_latest_only_keeps_one_pair(old, new):
    go_on(new, old, latest_only=True)
    assert new.checkpoints() == [2333333]
    assert read_training(new.generator_checkpoint(2333333)).iteration == 3


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        ({"spec": {"sample_rate": 48000}}, "has sample rate 48000, not 40000"),
        ({"spec": {"version": "v1"}}, "has version v1, not v2"),
        ({"spec": {"use_f0": False}}, "has pitch guidance False, not True"),
        (
            {"encoder": "hubert:0123456789ab"},
            "of hubert:0123456789ab, but the clips have starter-1:abc",
        ),
        ({"encoder": None}, "content of RVC's HuBERT"),
    ],
)
def test_another_kind_is_refused_before_anything_is_written(old, new, recorded, reason):
    step = old.checkpoints()[-1]
    path = old.generator_checkpoint(step)
    checkpoint = read_training(path)
    spec = {**checkpoint.extra["spec"], **recorded.pop("spec", {})}
    extra = {**checkpoint.extra, "spec": spec, **recorded}
    write_training(path, TrainingCheckpoint(checkpoint.model, 2, checkpoint.optimizer, 1e-3, extra))
    with pytest.raises(BadInput, match=reason) as caught:
        go_on(new, old)
    assert str(old.root) in str(caught.value)
    assert new.checkpoints() == []
    assert not new.config_file.exists()


def test_checkpoints_of_rvc_tell_nothing_but_their_tensors(old, new):
    step = old.checkpoints()[-1]
    for path in (old.generator_checkpoint(step), old.discriminator_checkpoint(step)):
        checkpoint = read_training(path)
        write_training(path, TrainingCheckpoint(checkpoint.model, 2, checkpoint.optimizer, 1e-4))
    recorder = go_on(new, old)
    assert len(recorder.epoch_losses) == 1
    assert not [message for message in recorder.messages if "afresh" in message]


def test_what_cannot_be_continued(old, new, tmp_path):
    with pytest.raises(BadInput, match=r"at epoch 2 of 2 already.*larger"):
        go_on(new, old, total_epoch=2)
    with pytest.raises(MissingFile, match="there is no experiment"):
        go_on(new, Experiment(tmp_path / "nowhere"))
    with pytest.raises(MissingFile, match=r"holds no G_"):
        go_on(new, make_experiment(tmp_path / "untrained"))
    with pytest.raises(BadInput, match="cannot continue from itself"):
        go_on(new, new)
    for path in old.root.glob("D_*.pth"):
        path.unlink()
    with pytest.raises(RvcError, match="no checkpoint in"):
        go_on(new, old)


def test_the_flag():
    options = TrainOptions("b", continue_from="a b")
    assert parse(TrainOptions, to_argv(options)).continue_from == "a b"
    assert parse(TrainOptions, ["--experiment=b", "--continue_from=a"]).continue_from == "a"
