import subprocess
import sys
from pathlib import Path

import pytest

from infer.jobs.command import parse, to_argv
from infer.stages.train.__main__ import main
from infer.stages.train.options import TrainOptions


def test_options_survive_the_command_line():
    options = TrainOptions(
        experiment=Path("-my voice é"),
        sample_rate="48k",
        use_f0=False,
        gpus="0-2",
        pretrain_g="a b.pth",
        config=Path("c.json"),
        time_limit_s=1.5,
        latest_only=True,
    )
    assert parse(TrainOptions, to_argv(options)) == options


def test_the_flags_of_rvc_work():
    line = "-e mi-test -sr 40k -f0 1 -bs 6 -g 0-1 -te 30 -se 7 -pg G.pth -pd D.pth -l 1 -c 0 -sw 1 -v v2"
    options = parse(TrainOptions, line.split())
    assert options == TrainOptions(
        experiment=Path("mi-test"),
        batch_size=6,
        gpus="0-1",
        total_epoch=30,
        save_every_epoch=7,
        pretrain_g="G.pth",
        pretrain_d="D.pth",
        latest_only=True,
        save_every_weights=True,
    )
    long = "--experiment_dir=x --if_f0=0 --if_latest=1 --if_cache_data_in_gpu=1 --pretrainG=g --total_epoch=3"
    options = parse(TrainOptions, long.split())
    assert (options.use_f0, options.latest_only, options.cache_in_gpu, options.pretrain_g) == (
        False,
        True,
        True,
        "g",
    )


def test_a_rate_may_be_given_in_hz():
    options = TrainOptions(experiment=Path("x"), sample_rate="32000")
    assert (options.sample_rate, options.rate) == ("32k", 32000)


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": "44k"},
        {"batch_size": 0},
        {"total_epoch": 0},
        {"gpus": "0,1"},
        {"version": "v3"},
        {"time_limit_s": float("nan")},
        {"seed": -1},
    ],
)
def test_impossible_choices_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainOptions(experiment=Path("x"), **change)


def test_wrong_arguments_end_with_2(capsys):
    assert main(["--experiment=x", "--batch-size=0"]) == 2
    assert "batch_size is 0" in capsys.readouterr().err


def test_a_missing_experiment_ends_with_3(tmp_path, capsys):
    assert main([f"--experiment={tmp_path / 'none'}", "--device=cpu"]) == 3
    assert "there is no experiment" in capsys.readouterr().out


def test_help_needs_no_torch():
    code = "import infer.stages.train.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
