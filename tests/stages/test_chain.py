from dataclasses import replace
from pathlib import Path

import pytest

from infer.jobs.experiment import Experiment
from infer.lib.errors import BadInput, MissingFile
from infer.stages import bases, chain
from infer.stages.chain_options import TrainAllOptions


@pytest.fixture
def options(tmp_path) -> TrainAllOptions:
    return TrainAllOptions(
        experiment=tmp_path / "my voice",
        trainset=tmp_path / "in",
        device="cpu",
        assets=tmp_path / "assets",
        f0_method="pm",
    )


def commands(steps: list) -> dict[str, list]:
    return {step.name: [command.options for command in step.commands] for step in steps}


def test_every_stage_gets_what_the_user_chose(options):
    options = replace(options, sample_rate="48k", version="v2", slice_s=3.0, encoder="starter")
    experiment = Experiment(options.experiment)
    made = commands(chain.preparation(options, experiment))
    assert list(made) == ["preprocess", "extract_f0", "extract_content"]
    (cut,), (pitch,), (content,) = made.values()
    assert (cut.trainset, cut.sample_rate, cut.slice_s) == (options.trainset, 48000, 3.0)
    assert (pitch.method, pitch.device, pitch.shard) == ("pm", "cpu", "0/1")
    assert (content.encoder, content.version) == ("starter", "v2")


def test_extraction_is_shared_out_over_the_gpus_and_training_is_one_command(options, events):
    options = replace(options, device="cuda:0", gpus="0-2")
    experiment = Experiment(options.experiment)
    made = commands(chain.preparation(options, experiment))
    for name in ("extract_f0", "extract_content"):
        assert [(o.device, o.shard) for o in made[name]] == [("cuda:0", "0/2"), ("cuda:2", "1/2")]
    (train,) = commands([chain.training_step(options, experiment, events)])["train"]
    assert train.gpus == "0-2"


def test_a_voice_without_pitch_skips_the_pitch(options):
    options = replace(options, use_f0=False, trainset=None)
    assert list(commands(chain.preparation(options, Experiment(options.experiment)))) == ["extract_content"]


@pytest.mark.parametrize(
    ("encoder", "wanted", "use_f0", "expected"),
    [
        ("hubert:abc", "auto", True, "f0G40k.pth"),
        ("hubert:abc", "auto", False, ""),  # G40k.pth is not installed
        ("hubert:abc", "none", True, ""),
        ("starter-1:abc", "auto", True, ""),  # RVC's bases know only HuBERT's features
        ("starter-1:abc", "mine.pth", True, "mine.pth"),
    ],
)
def test_the_base_is_rvcs_only_where_it_fits(options, events, encoder, wanted, use_f0, expected):
    folder = options.assets / "pretrained_v2"
    folder.mkdir(parents=True)
    for letter in "GD":
        (folder / f"f0{letter}40k.pth").touch()
    experiment = Experiment(options.experiment)
    experiment.update_settings(encoder=encoder)
    chosen = bases.bases(replace(options, use_f0=use_f0, pretrain_g=wanted), experiment, events)
    assert Path(chosen["pretrain_g"]).name == expected


def put_models(options: TrainAllOptions, *names: str):
    for name in names:
        (options.assets / name).parent.mkdir(parents=True, exist_ok=True)
        (options.assets / name).touch()


@pytest.mark.parametrize(
    ("encoder", "installed", "base"),
    [
        ("auto", ["hubert/hubert_base.pt"], "f0G40k.pth"),
        ("auto", [], ""),  # without HuBERT the starter encodes, and RVC's bases do not know its features
        ("starter", ["hubert/hubert_base.pt"], ""),
    ],
)
def test_the_whole_chain_knows_its_base_before_the_clips_are_encoded(
    options, events, encoder, installed, base
):
    put_models(options, "pretrained_v2/f0G40k.pth", "pretrained_v2/f0D40k.pth", *installed)
    experiment = Experiment(options.experiment)
    experiment.update_settings(encoder="hubert:left from an earlier run")
    steps = chain.whole_chain(replace(options, encoder=encoder), experiment, events)
    made = commands(steps)
    assert list(made) == ["preprocess", "extract_f0", "extract_content", "index", "train"]
    assert Path(made["train"][0].pretrain_g).name == base
    assert all(step.log.parent == experiment.root for step in steps)


def test_an_encoder_that_is_not_there_is_refused_before_anything_runs(options, events):
    with pytest.raises(MissingFile, match="hubert"):
        chain.whole_chain(replace(options, encoder="hubert"), Experiment(options.experiment), events)


def test_processes_of_slicing_and_pitch_are_chosen_together(options):
    made = commands(chain.preparation(replace(options, processes=3), Experiment(options.experiment)))
    assert [made[name][0].workers for name in ("preprocess", "extract_f0")] == [3, 3]


def test_names_that_are_no_folders_are_refused(options):
    with pytest.raises(BadInput, match="experiment name"):
        chain.index_step(options, Experiment(options.experiment.with_name("con")))
