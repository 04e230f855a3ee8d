"""What training begins from: RVC's pair, else the starter base where clips are encoded as it was trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infer.jobs.events import Log
from infer.jobs.experiment import Experiment
from infer.lib.errors import MissingFile
from infer.lib.models.spec import standard_config
from infer.stages import bases, chain
from infer.stages.chain_options import TrainAllOptions
from infer.stages.train.options import TrainOptions
from tests.stages.train.tiny import tiny_config
from tests.web.pages import assets_without_base, demo_voices, starter_name


@pytest.fixture
def options(tmp_path) -> TrainAllOptions:
    assets = assets_without_base(tmp_path / "assets")
    return TrainAllOptions(experiment=tmp_path / "mine", device="cpu", assets=assets)


def chosen(options, events, encoder=None, recorded=None) -> dict[str, str]:
    experiment = Experiment(options.experiment)
    if recorded:
        experiment.update_settings(encoder=recorded)
    found = bases.bases(options, experiment, events, encoder)
    return {name: Path(path).name for name, path in found.items()}


NONE = {"pretrain_g": "", "pretrain_d": ""}
STARTER = {"pretrain_g": "base_v2_40k_f0.safetensors", "pretrain_d": ""}


def test_the_starter_base_is_the_default_for_content_of_its_encoder(options, events):
    assert chosen(options, events, recorded=starter_name()) == NONE
    demo_voices(options.assets)
    assert chosen(options, events, recorded=starter_name()) == STARTER
    assert chosen(options, events, encoder="starter") == STARTER


@pytest.mark.parametrize(
    ("changes", "encoder"),
    [
        ({"sample_rate": "48k"}, None),
        ({"version": "v1"}, None),
        ({"use_f0": False}, None),
        ({"pretrain_g": "none"}, None),
        ({}, "hubert:0123456789ab"),
        ({}, "starter-1:000000000000"),
    ],
)
def test_it_is_left_where_it_does_not_fit(options, events, changes, encoder):
    demo_voices(options.assets)
    assert chosen(replace(options, **changes), events, recorded=encoder or starter_name()) == NONE
    (log,) = events.of(Log)
    assert log.message.startswith("training from scratch: no pretrained base is used")
    assert ("the starter base is for v2, 40k, with pitch and content of starter-" in log.message) == (
        changes.get("pretrain_g") != "none"
    )


def test_rvcs_bases_come_first_where_hubert_encodes(options, events):
    demo_voices(options.assets)
    folder = options.assets / "pretrained_v2"
    folder.mkdir(exist_ok=True)
    for letter in "GD":
        (folder / f"f0{letter}40k.pth").touch()
    assert chosen(options, events, encoder="hubert")["pretrain_g"] == "f0G40k.pth"
    config = options.assets / "small.json"
    config.write_text(json.dumps(tiny_config()), encoding="utf-8")
    for scratch in (replace(options, config=config), replace(options, pretrain_g="none")):
        assert chosen(scratch, events, encoder="hubert") == NONE  # no discriminator either
    own = replace(options, pretrain_g="mine.pth")
    assert chosen(own, events, encoder="hubert") == {"pretrain_g": "mine.pth", "pretrain_d": "f0D40k.pth"}
    assert chosen(options, events, encoder="starter") == STARTER


def test_it_can_be_asked_for_by_name(options, events):
    wanted = replace(options, pretrain_g="starter")
    with pytest.raises(MissingFile, match=r"base_v2_40k_f0.safetensors is missing"):
        chosen(wanted, events)
    demo_voices(options.assets)
    assert chosen(wanted, events) == STARTER


def test_its_warm_up_goes_to_the_training_step(options, events, monkeypatch):
    path = demo_voices(options.assets)
    monkeypatch.setattr(bases, "STARTER_WARMUP_D", 300)
    steps = [
        chain.training_step(options, Experiment(options.experiment), events, e) for e in ("starter", "hubert")
    ]
    first, second = (step.commands[0].options for step in steps)
    assert isinstance(first, TrainOptions) and first.pretrain_g == str(path)
    assert (first.warmup_d, second.warmup_d) == (300, 0)
    asked = chain.training_step(
        replace(options, warmup_d=7), Experiment(options.experiment), events, "starter"
    )
    assert asked.commands[0].options.warmup_d == 7


def test_networks_of_other_sizes_begin_from_scratch(options, events, tmp_path):
    demo_voices(options.assets)
    config = tmp_path / "small.json"
    config.write_text(json.dumps(tiny_config()), encoding="utf-8")
    assert chosen(replace(options, config=config), events, encoder="starter") == NONE
    config.write_text(standard_config("v2", 40000).to_json(), encoding="utf-8")
    assert chosen(replace(options, config=config), events, encoder="starter") == STARTER
