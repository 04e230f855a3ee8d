from dataclasses import replace
from pathlib import Path

import pytest

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Failed, from_line
from infer.jobs.experiment import Experiment
from tools.cmd import train_chain
from tools.cmd.train_all import TrainAllOptions, main


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


def test_options_survive_the_command_line(options):
    assert parse(TrainAllOptions, to_argv(options)) == options


def test_every_stage_gets_what_the_user_chose(options):
    options = replace(options, sample_rate="48k", version="v2", slice_s=3.0, encoder="starter")
    experiment = Experiment(options.experiment)
    made = commands(train_chain.preparation(options, experiment))
    assert list(made) == ["preprocess", "extract_f0", "extract_content"]
    (cut,), (pitch,), (content,) = made.values()
    assert (cut.trainset, cut.sample_rate, cut.slice_s) == (options.trainset, 48000, 3.0)
    assert (pitch.method, pitch.device, pitch.shard) == ("pm", "cpu", "0/1")
    assert (content.encoder, content.version) == ("starter", "v2")


def test_extraction_is_shared_out_over_the_gpus_and_training_is_one_command(options, events):
    options = replace(options, device="cuda:0", gpus="0-2")
    experiment = Experiment(options.experiment)
    made = commands(train_chain.preparation(options, experiment))
    for name in ("extract_f0", "extract_content"):
        assert [(o.device, o.shard) for o in made[name]] == [("cuda:0", "0/2"), ("cuda:2", "1/2")]
    (train,) = commands([train_chain.training_step(options, experiment, events)])["train"]
    assert train.gpus == "0-2"


def test_a_voice_without_pitch_skips_the_pitch(options):
    options = replace(options, use_f0=False, trainset=None)
    assert list(commands(train_chain.preparation(options, Experiment(options.experiment)))) == [
        "extract_content"
    ]


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
    chosen = train_chain.bases(replace(options, use_f0=use_f0, pretrain_g=wanted), experiment, events)
    assert Path(chosen["pretrain_g"]).name == expected


def test_the_chain_stops_at_the_first_failure(tmp_path, capsys):
    flags = [f"--trainset={tmp_path / 'nowhere'}", f"--experiment={tmp_path / 'e'}", "--device=cpu"]
    assert main(flags) == 3
    events = [event for line in capsys.readouterr().out.splitlines() if (event := from_line(line))]
    failures = [event for event in events if isinstance(event, Failed)]
    assert [event.stage for event in failures] == ["preprocess", "train_all"]
    assert "nowhere" in failures[-1].reason


@pytest.mark.parametrize(
    "flag",
    [
        "--total-epoch=0",
        "--version=v3",
        "--batch-size=many",
        "--gpus=a",
        "--slice-s=nan",
        "--speaker-id=500",
        "--trainset=",
    ],
)
def test_wrong_arguments_end_with_2(tmp_path, flag, capsys):
    assert main([f"--experiment={tmp_path / 'e'}", flag]) == 2


def test_a_mistyped_experiment_without_recordings_is_named_and_not_made(tmp_path, capsys):
    assert main([f"--experiment={tmp_path / 'mistyped'}", "--device=cpu"]) == 3
    assert "mistyped" in capsys.readouterr().out
    assert not (tmp_path / "mistyped").exists()
