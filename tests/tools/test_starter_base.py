"""The recipe of the base: the generator learns alone, then the pair; the rate falls with the time."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from infer.jobs.events import Metric
from infer.lib.audio import load
from infer.lib.checkpoint import read_training
from infer.lib.content.starter import StarterEncoder
from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import REPO
from infer.lib.models.spec import standard_config
from infer.lib.models.synthesizer import Draws
from infer.stages.train import run as stage
from infer.stages.train import state
from infer.stages.train.losses import Losses
from infer.stages.train.precision import Precision
from infer.stages.train.step import Aim, Windows, train_step
from infer.stages.train.tally import Tally
from tests.stages.train.tiny import Recorder, TinyDiscriminator, make_experiment, make_options
from tools.starter import content_distance, train_base
from tools.starter.content_distance import ContentDistance

ENCODER = REPO / "assets/starter/content_encoder.safetensors"
SPEECH = REPO / "tests/data/audio/target/kathleen_a0049.flac"


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

    options = train_base.BaseOptions(experiment="x", prior_share=0.25, seed=1)
    stepped = train_base._with_prior(step, options)
    for _ in range(400):
        stepped(batch, Draws())
    shares = torch.stack(seen).float().mean(0)  # [4]: clips lie in a batch by their length
    assert ((shares > 0.18) & (shares < 0.32)).all(), shares
    assert train_base._with_prior(step, train_base.BaseOptions(experiment="x", prior_share=0.0)) is step


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


def swaps(speaker_ids, **wishes) -> list[Draws]:
    """What a step is given in many batches of eight clips, of which every fourth is swapped."""
    batch, seen = SimpleNamespace(frames=[9] * 8, content=torch.zeros(1), speaker_ids=speaker_ids), []
    wishes = {"batch_size": 8, "content_weight": 1.0, "swap_every": 4, **wishes}
    stepped = train_base._with_prior(
        lambda batch, draws: seen.append(draws), train_base.BaseOptions(experiment="x", **wishes)
    )
    for _ in range(100):
        stepped(batch, Draws())
    return seen


def test_every_nth_clip_is_spoken_from_the_content_by_another_speaker():
    own = torch.arange(8)
    seen = swaps(own, prior_share=0.0, swap_to="11-12")
    swapped = torch.tensor([False, False, False, True] * 2)
    assert all(torch.equal(draws.from_prior, swapped) for draws in seen)
    assert all(torch.equal(draws.spoken_as[~swapped], own[~swapped]) for draws in seen)
    assert {int(n) for draws in seen for n in draws.spoken_as[swapped]} == {11, 12}
    assert torch.equal(train_base._not_swapped(4, torch.arange(8)), torch.tensor([0, 1, 2, 4, 5, 6]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"swap_every": 3, "content_weight": 1.0}, "and divide batch_size"),
        ({"swap_every": 1, "content_weight": 1.0}, "2 and more"),
        ({"swap_every": 2}, "give --content-weight"),
        ({"swap_every": 2, "content_weight": 1.0, "alone": True}, "leave --swap-every away"),
        ({"content_weight": float("nan")}, "must not be negative"),
        ({"swap_to": "0-x"}, "numbers joined by dashes"),
        ({"content_weight": -1.0}, "must not be negative"),
    ],
)
def test_wrong_wishes_for_swapping_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        train_base.BaseOptions(experiment="x", batch_size=8, **changes)


def test_a_clip_is_swapped_to_another_speaker_than_its_own_while_others_keep_their_prior_share():
    seen = swaps(torch.tensor([0, 1, 2, 0, 0, 1, 2, 1]), prior_share=0.5, swap_to="0-1")
    assert {(int(draws.spoken_as[3]), int(draws.spoken_as[7])) for draws in seen} == {(1, 0)}
    shares = torch.stack([draws.from_prior for draws in seen]).float().mean(0)
    assert shares[3] == shares[7] == 1 and ((shares[:3] > 0.3) & (shares[:3] < 0.7)).all()


def test_the_options_make_the_aim(experiment):
    experiment.update_settings(encoder=StarterEncoder(ENCODER).name)
    options = train_base.BaseOptions(
        experiment="x", batch_size=8, content_weight=50.0, swap_every=4, encoder=ENCODER
    )
    waves = torch.randn(8, 1, 12800, generator=torch.Generator().manual_seed(1)) * 0.1
    windows, found = Windows(waves, waves.flip(0), None, None), []

    def make_step(training):
        aim = train_base.aim_of(options, training)
        distance = ContentDistance(ENCODER, 40000, training.settings.precision)
        for of in (aim.more, distance):
            torch.manual_seed(1)
            found.append(of(windows))
        found.append(aim.true_rows(torch.arange(8)).tolist())
        raise Enough

    with pytest.raises(Enough):
        stage.run(make_options(experiment), Recorder(), make_step)
    assert float(found[0]) == pytest.approx(50 * float(found[1].mean()), rel=1e-5)
    assert found[2] == [0, 1, 2, 4, 5, 6]


def test_the_windows_of_the_recipe_are_all_that_differs_from_the_standard():
    recipe = json.loads((REPO / "tools/starter/base_40k.json").read_text(encoding="utf-8"))
    standard = json.loads(standard_config("v2", 40000).to_json())
    standard["train"]["segment_size"] *= 2
    assert recipe == standard


class Enough(Exception):
    """One step was made."""


def one_step(experiment, aim, alone, change=None) -> tuple[Losses, torch.Tensor]:
    """Losses and the generator's gradients of a first step, always of the same nets, batch and draws."""
    found = []

    def make_step(training):
        def step(batch, draws, **how):
            training.set_rate(0.0)  # so that the discriminator is no other one for the generator's part
            batch = change(batch) if change else batch
            if alone:
                result = train_base.alone_step(training, batch, draws, aim=aim)
            else:
                nets, optimizers = training.nets, training.optimizers
                result = train_step(nets, optimizers, batch, draws, training.settings, aim=aim)
            grads = [p.grad.flatten() for p in training.nets.generator.parameters() if p.grad is not None]
            found.append((result.losses, torch.cat(grads)))
            raise Enough

        return step

    with pytest.raises(Enough):
        stage.run(make_options(experiment), Recorder(), make_step)
    return found[0]


def with_noise_last(batch):
    audio = batch.audio.clone()
    audio[-1] = torch.randn(audio.shape[1], generator=torch.Generator().manual_seed(1)) * 0.1
    return replace(batch, audio=audio)


@pytest.mark.parametrize("alone", [True, False])
def test_rows_without_a_truth_are_not_compared_with_one(experiment, alone):
    but_last = Aim(true_rows=lambda rows: rows[:-1])
    one, other = (one_step(experiment, but_last, alone, change)[0] for change in (None, with_noise_last))
    for name in ("mel", "fm"):  # alone, `fm` are the finer spectrograms
        assert float(getattr(one, name)) == pytest.approx(float(getattr(other, name)), rel=1e-5)
    one, other = (one_step(experiment, Aim(), alone, change)[0] for change in (None, with_noise_last))
    for name in ("mel", "fm"):
        assert float(getattr(one, name)) != pytest.approx(float(getattr(other, name)), rel=1e-3)


@pytest.mark.parametrize("alone", [True, False])
def test_what_an_aim_adds_is_told_and_learnt(experiment, alone):
    def aim(weight):
        return Aim(more=lambda windows: weight * windows.made.pow(2).mean())

    (plain, without), (told, added), (twice, doubled) = (
        one_step(experiment, aim(weight), alone) for weight in (0.0, 1000.0, 2000.0)
    )
    name = "gen" if alone else "mel"
    assert getattr(told, name) > getattr(plain, name)
    assert getattr(twice, name) > getattr(told, name)
    by_one, by_two = added - without, doubled - without
    assert by_one.norm() > 1e-3 and (by_two - 2 * by_one).norm() < 0.05 * by_one.norm()


def test_a_swap_to_a_speaker_without_clips_is_refused(experiment):
    experiment.update_settings(encoder=StarterEncoder(ENCODER).name)
    with pytest.raises(BadInput, match="no clip is of speaker 1"):
        train(experiment, 1, content_weight=1.0, swap_every=2)


def test_a_swapped_run_comes_to_its_end(experiment):
    experiment.update_settings(encoder=StarterEncoder(ENCODER).name)
    stems = sorted(item.stem for item in experiment.training_items("v2", True, 0))
    experiment.write_speakers({stem: number % 2 for number, stem in enumerate(stems)})
    plain = train(experiment, 1, content_weight=1e-6)[0]
    assert all(math.isfinite(value) for value in plain.values())
    swapped = train(experiment, 2, content_weight=1.0, swap_every=2)[0]
    assert swapped["loss_mel"] > 0 and all(math.isfinite(value) for value in swapped.values())


def test_the_content_is_judged_by_the_encoder_that_made_it(experiment):
    with pytest.raises(BadInput, match="content of starter-1:abc"):
        train(experiment, 1, content_weight=1.0)
    with pytest.raises(MissingFile, match="none.safetensors"):
        train(experiment, 1, content_weight=1.0, encoder=experiment.root / "none.safetensors")


@pytest.mark.parametrize("sample_rate", [32000, 40000])
def test_the_content_that_is_compared_is_the_encoders(sample_rate, monkeypatch):
    distance = ContentDistance(ENCODER, sample_rate, Precision("fp32", torch.device("cpu")))
    speech = torch.from_numpy(load(SPEECH, sample_rate)[None, None, : 2 * sample_rate])
    one, other = distance._content(speech), distance._content(speech)
    assert not torch.equal(one, other)  # what is too faint to matter differs
    monkeypatch.setattr(content_distance, "NOISE", 0.0)
    wanted = StarterEncoder(ENCODER)._content(torch.from_numpy(load(SPEECH, 16000)[:32000]), "v2")
    found = distance._content(speech)[0]
    assert torch.cosine_similarity(found, wanted, dim=-1).mean() > 0.99


def test_the_same_sound_says_the_same_and_noise_something_else():
    distance = ContentDistance(ENCODER, 40000, Precision("fp32", torch.device("cpu")))
    speech = torch.from_numpy(load(SPEECH, 40000)[None, None, 20000:45600])
    noise = torch.randn_like(speech) * speech.std()
    made = torch.cat((speech, noise)).requires_grad_()
    apart = distance(Windows(torch.cat((speech, speech)), made, None, None))
    assert apart[0] < 0.1 < 0.2 < apart[1]
    apart.sum().backward()
    assert torch.isfinite(made.grad).all() and made.grad[1].abs().max() > 0
