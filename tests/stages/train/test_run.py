import ast
import json
import shutil

import numpy as np
import pytest
import torch

from infer.jobs import lock
from infer.jobs.events import Finished, ItemFailed, Metric
from infer.lib.checkpoint import read_training, read_voice, write_training
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.stages.train import plan as plan_module
from infer.stages.train import step
from infer.stages.train.heldout import choose
from infer.stages.train.logs import DONE
from infer.stages.train.run import run
from infer.stages.train.stop import NotFinite
from tests.stages.train.tiny import Recorder, make_experiment, make_options, tiny_config, write_clip


def _train(experiment, **changes) -> Recorder:
    recorder = Recorder()
    run(make_options(experiment, **changes), recorder)
    return recorder


def _first_losses(recorder: Recorder) -> list[float]:
    """Before any update; fp16 skips its first steps, until the loss scale fits."""
    values = recorder.of(Metric)[0].values
    return [value for name, value in values.items() if name.startswith("loss_")]


def test_training_learns_and_leaves_a_voice(experiment):
    recorder = _train(experiment, total_epoch=4, save_every_epoch=2, save_every_weights=True)
    losses = recorder.epoch_losses
    assert losses[-1][3] < 0.7 * losses[0][3]
    assert recorder.messages[-1] == DONE
    assert recorder.of(Finished)[0].summary["complete"] is True
    weights = experiment.root.parent / "weights"
    assert {path.name for path in weights.iterdir()} == {
        "my voice é.pth", "my voice é_e2_s8.pth", "my voice é_e4_s16.pth",
    }  # fmt: skip
    voice = read_voice(weights / "my voice é.pth")
    assert (voice.encoder, voice.info, voice.spec.rate_label) == ("starter-1:abc", "4epoch", "40k")
    assert 100 < voice.extra["median_hz"] < 180
    assert experiment.checkpoints() == [8, 16]
    assert any("heldout_mel" in metric.values for metric in recorder.of(Metric))
    assert len(experiment.filelist.read_text(encoding="utf-8").splitlines()) == 8
    assert list(experiment.root.glob("events.out.tfevents.*"))


def test_the_log_is_rvcs(experiment):
    _train(experiment, total_epoch=1)
    lines = experiment.train_log.read_text(encoding="utf-8").splitlines()
    assert all(len(line.split("\t")) == 4 for line in lines)
    first = ast.literal_eval(lines[0].split("\t")[-1])
    assert (first["sample_rate"], first["if_f0"], first["version"]) == ("40k", 1, "v2")
    assert any("====> Epoch: 1 [" in line for line in lines)
    assert any("loss_disc=" in line and ", loss_kl=" in line for line in lines)
    assert json.loads(experiment.config_file.read_text())["train"]["fp16_run"] is True


def test_a_resumed_run_goes_on_as_if_never_stopped(experiment, undisturbed):
    first = _train(experiment, total_epoch=1, latest_only=True)
    second = _train(experiment, total_epoch=3, save_every_epoch=3, latest_only=True)
    assert first.epoch_losses + second.epoch_losses == undisturbed[0]
    assert "Resuming from epoch 2, step 4" in second.messages
    assert experiment.checkpoints() == [2333333]


def test_nothing_is_left_to_train(experiment):
    _train(experiment)
    voice = experiment.root.parent / "weights" / "my voice é.pth"
    voice.unlink()
    recorder = _train(experiment)
    assert "epoch 2 of 2 is reached already" in recorder.messages
    assert recorder.messages[-1] == DONE
    assert voice.is_file()


def test_rvcs_checkpoints_resume(experiment):
    _train(experiment)
    for kind in "GD":
        path = experiment.root / f"{kind}_8.pth"
        checkpoint = read_training(path)
        write_training(path, type(checkpoint)(checkpoint.model, 2, checkpoint.optimizer, 1e-4))
        path.rename(experiment.root / f"{kind}_2333333.pth")
    recorder = _train(experiment, total_epoch=3)
    assert "Resuming from epoch 3, step 8" in recorder.messages
    assert not [message for message in recorder.messages if "afresh" in message]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precisions_stay_close(experiment, tmp_path, precision):
    other = make_experiment(tmp_path / "other")
    exact, rough = (
        _first_losses(_train(where, precision=name, total_epoch=1))
        for where, name in ((experiment, "fp32"), (other, precision))
    )
    np.testing.assert_allclose(rough, exact, rtol=0.02)


def test_gradient_checkpointing_changes_no_loss(experiment, tmp_path):
    plain = _train(experiment, total_epoch=1).epoch_losses
    other = make_experiment(tmp_path / "other")
    np.testing.assert_allclose(
        _train(other, total_epoch=1, gradient_checkpointing=True).epoch_losses, plain, rtol=1e-4
    )


def test_lost_losses_stop_the_run_and_spare_the_checkpoint(experiment, monkeypatch):
    _train(experiment, total_epoch=1)
    before = experiment.generator_checkpoint(4).read_bytes()
    monkeypatch.setattr(step.formulas, "mel_loss", lambda true, made, weight: made.sum() * float("nan"))
    with pytest.raises(NotFinite, match="no longer numbers"):
        _train(experiment, total_epoch=9)
    assert experiment.checkpoints() == [4]
    assert experiment.generator_checkpoint(4).read_bytes() == before


def test_the_clock_ends_at_an_epochs_end(experiment):
    recorder = _train(experiment, total_epoch=50, save_every_epoch=50, time_limit_s=0.01)
    assert recorder.of(Finished)[0].summary["complete"] is False
    assert DONE not in recorder.messages
    assert experiment.checkpoints() == [4]


def test_without_pitch(experiment):
    shutil.rmtree(experiment.f0_hz)
    recorder = _train(experiment, use_f0=False)
    assert np.isfinite(recorder.epoch_losses).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": "v1"}, "has all its files|version"),
        ({"use_f0": False}, "pitch guidance True, not False"),
        ({"sample_rate": "48k", "config": None}, "is for 40000 Hz, not 48000 Hz"),
    ],
)
def test_another_kind_of_voice_is_refused(experiment, changes, sentence):
    _train(experiment, total_epoch=1)
    with pytest.raises((BadInput, MissingFile), match=sentence):
        _train(experiment, total_epoch=2, **changes)


def test_another_encoder_is_refused(experiment):
    _train(experiment, total_epoch=1)
    experiment.update_settings(encoder="hubert:123")
    with pytest.raises(BadInput, match="content of starter-1:abc, but the clips have hubert:123"):
        _train(experiment, total_epoch=2)


def test_other_sizes_are_refused(experiment):
    _train(experiment, total_epoch=1)
    config = tiny_config()
    config["model"]["filter_channels"] = 32
    experiment.config_file.write_text(json.dumps(config))
    with pytest.raises(BadInput, match="tensors differ"):
        _train(experiment, total_epoch=2, config=None)


def test_a_missing_or_foreign_base_is_named(experiment):
    with pytest.raises(MissingFile, match="none.pth does not exist"):
        _train(experiment, pretrain_g="none.pth")
    config = experiment.root.parent / "junk.pth"
    torch.save({"x": torch.ones(1)}, config)
    with pytest.raises(BadCheckpoint, match="junk.pth"):
        _train(experiment, pretrain_g=str(config))


def test_a_base_is_loaded_strictly_and_used(experiment, tmp_path):
    _train(experiment, total_epoch=1)
    base = tmp_path / "base.pth"
    experiment.generator_checkpoint(4).rename(base)
    experiment.discriminator_checkpoint(4).unlink()
    recorder = _train(experiment, total_epoch=1, pretrain_g=str(base))
    assert f"loaded pretrained {base}" in recorder.messages
    assert not [message for message in recorder.messages if message.startswith("Resuming")]


def test_broken_and_unfit_clips_are_left_out(experiment):
    experiment.gt_wav("0_0").write_bytes(b"")
    write_clip(experiment, "1_0", 0.5, seed=7)
    recorder = _train(experiment, total_epoch=1)
    assert [event.item for event in recorder.of(ItemFailed)] == ["0_0"]
    assert any("left out 1 clips that are not between" in message for message in recorder.messages)


def test_only_unfit_clips_are_refused(tmp_path, tiny_nets):
    experiment = make_experiment(tmp_path, n_clips=0)
    write_clip(experiment, "0_0", 0.5, seed=7)
    with pytest.raises(BadInput, match="none of the 1 clips"):
        _train(experiment)


def test_a_file_in_place_of_the_weights_folder_is_refused_before_training(experiment, tmp_path):
    (tmp_path / "voices").write_text("x")
    with pytest.raises(BadInput, match="voices is a file"):
        _train(experiment, weights=tmp_path / "voices" / "mine")
    assert not list(experiment.root.glob("G_*"))


def test_a_speaker_beyond_the_table_is_refused(experiment):
    with pytest.raises(BadInput, match="has speaker 3: speakers are 0 to 2"):
        _train(experiment, speaker_id=3)


class _Named:
    def __init__(self, stem):
        self.item = self
        self.stem = stem


def test_held_out_clips_stay_when_data_is_added():
    clips = [_Named(f"0_{i}") for i in range(100)]
    chosen = choose(clips)
    assert len(chosen) == 2
    more = [*clips, *(_Named(f"1_{i}") for i in range(200))]
    assert choose(more, chosen)[:2] == chosen
    assert len(choose(more, chosen)) == 6
    assert choose(clips[:19]) == []


def test_held_out_clips_are_not_trained_on(tmp_path, tiny_nets):
    experiment = make_experiment(tmp_path, n_clips=20)
    plan = plan_module.make_plan(make_options(experiment), experiment, (), Recorder())
    trained = {clip.item.stem for clip in plan.clips}
    assert plan.spared
    assert len(plan.heldout) == 1
    assert plan.heldout[0].item.stem not in trained
    assert len(plan.clips) == 19 + 2


def test_two_runs_on_one_experiment_are_refused(experiment, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    with lock.alone(experiment.lock_file, "it"), pytest.raises(BadInput, match="another run is working on"):
        _train(experiment)
    assert experiment.checkpoints() == []
