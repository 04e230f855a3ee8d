"""The recipe of the base: the generator learns alone, then the pair; the rate falls with the time."""

from types import SimpleNamespace

import pytest
import torch

from infer.jobs.events import Metric
from infer.lib.checkpoint import read_training
from infer.lib.errors import BadInput
from infer.lib.models.synthesizer import Draws
from infer.stages.train import state
from infer.stages.train.tally import Tally
from tests.stages.train.tiny import Recorder, TinyDiscriminator, make_experiment, make_options
from tools.starter import train_base


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "MultiPeriodDiscriminator", TinyDiscriminator)
    return make_experiment(tmp_path)


def train(experiment, epochs, **changes) -> list[dict]:
    """The losses of each epoch."""
    recorder = Recorder()
    options = make_options(experiment, total_epoch=epochs, save_every_epoch=epochs)
    train_base.run(train_base.BaseOptions(**{**vars(options), **changes}), recorder)
    return [dict(zip(Tally.NAMES, losses, strict=True)) for losses in recorder.epoch_losses]


def test_alone_the_generator_learns_and_the_discriminator_does_not(experiment):
    train(experiment, 1, alone=True, learning_rate=1e-9, last_learning_rate=1e-9)
    fresh = read_training(experiment.discriminator_checkpoint(4)).model
    losses = train(experiment, 12, alone=True, learning_rate=2e-1, last_learning_rate=2e-1)
    later = read_training(experiment.discriminator_checkpoint(48)).model
    assert all(torch.equal(fresh[name], later[name]) for name in fresh)
    mel = [epoch["loss_mel"] for epoch in losses]
    assert all(epoch["loss_disc"] == epoch["loss_gen"] == 0 for epoch in losses)
    assert mel[-1] < 0.9 * mel[0]


def test_the_pair_goes_on_from_what_the_generator_learnt_alone(experiment):
    train(experiment, 1, alone=True)
    losses = train(experiment, 2, alone=False)
    assert len(losses) == 1 and losses[0]["loss_disc"] > 0


def test_what_is_spoken_from_the_content_is_learnt_by_its_sound(experiment, tmp_path):
    losses = [
        train(make_experiment(tmp_path / name), 1, alone=True, prior_share=share)[0]
        for name, share in (("none", 0.0), ("some", 0.5), ("again", 0.5))
    ]
    assert losses[1] == losses[2] != losses[0]
    with pytest.raises(ValueError, match="prior_share is 1.5"):
        train_base.BaseOptions(experiment=tmp_path, prior_share=1.5)


def test_about_the_share_of_every_place_in_a_batch_is_spoken_from_the_content():
    batch, seen = SimpleNamespace(frames=[9, 8, 7, 6], content=torch.zeros(1)), []

    def step(batch, draws, **how):
        seen.append(draws.from_prior)

    stepped = train_base._with_prior(step, 0.25, seed=1)
    for _ in range(400):
        stepped(batch, Draws())
    shares = torch.stack(seen).float().mean(0)  # [4]: clips lie in a batch by their length
    assert ((shares > 0.18) & (shares < 0.32)).all(), shares
    assert train_base._with_prior(step, 0.0, seed=1) is step


def test_the_log_tells_the_rate_of_the_run_rather_than_that_of_the_configuration(experiment):
    recorder = Recorder()
    options = make_options(experiment, total_epoch=1, save_every_epoch=1, log_interval=1)
    options = train_base.BaseOptions(**vars(options), alone=True, learning_rate=2e-3, last_learning_rate=2e-3)
    train_base.run(options, recorder)
    rates = [
        event.values["learning_rate"] for event in recorder.of(Metric) if "learning_rate" in event.values
    ]
    assert rates == pytest.approx([2e-3 * (n + 1) / train_base.WARM_UP for n in range(4)])


def test_alone_refuses_what_needs_a_loss_scale(experiment):
    with pytest.raises(BadInput, match="does not train in fp16"):
        train(experiment, 1, alone=True, precision="fp16")


def test_the_rate_climbs_over_the_first_steps_and_falls_with_the_time():
    options = train_base.BaseOptions(
        experiment="x", learning_rate=2e-4, last_learning_rate=1e-5, time_limit_s=100
    )
    assert train_base.rate_at(options, 0.0, 0) == pytest.approx(2e-4 / train_base.WARM_UP)
    assert train_base.rate_at(options, 0.0, 10**6) == pytest.approx(2e-4)
    assert train_base.rate_at(options, 50.0, 10**6) == pytest.approx(1.05e-4)
    assert train_base.rate_at(options, 500.0, 10**6) == pytest.approx(1e-5)
