import pytest

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Failed, from_line
from infer.stages.chain_options import TrainAllOptions
from tools.cmd.train_all import main


def test_options_survive_the_command_line(tmp_path):
    options = TrainAllOptions(
        experiment=tmp_path / "my voice",
        trainset=tmp_path / "in",
        device="cpu",
        assets=tmp_path / "assets",
        f0_method="pm",
        processes=3,
    )
    assert parse(TrainAllOptions, to_argv(options)) == options


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
