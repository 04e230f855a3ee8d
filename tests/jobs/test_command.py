from dataclasses import dataclass
from pathlib import Path

import pytest

from infer.jobs.command import Command, option, parse, to_argv


@dataclass(frozen=True)
class Options:
    """An example with every kind of field (100 % of them)."""

    experiment: Path = option(help="folder", aliases=("-e",))
    key: int = option(0, help="semitones, at 50 %")
    rate: float = option(0.75, help="ratio")
    use_f0: bool = option(True, help="pitch guidance", aliases=("-f0",))
    method: str = option("pm", help="how", choices=("pm", "harvest"))
    extra: Path | None = option(None, help="optional file")
    paths: tuple[Path, ...] = option((), help="many")

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must lie between 0 and 1, not {self.rate}")


@dataclass(frozen=True)
class Positional:
    """Two paths."""

    source: Path = option(help="in", positional=True)
    target: Path | None = option(None, help="out", positional=True)
    loud: bool = option(False, help="volume")


HARD_NAMES = [
    "-12",
    "my song.wav",
    "한글 '노래' \"x\"",
    "--rate=3",
    "a;rm $HOME",
    "C:\\some dir\\x",
    "🎤",
    "=",
    "%s",
]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_argv_round_trip_survives_hard_names(name):
    options = Options(Path(name), key=-12, use_f0=False, extra=Path(name), paths=(Path(name), Path("b")))
    assert parse(Options, to_argv(options)) == options


@pytest.mark.parametrize("name", HARD_NAMES)
def test_positional_arguments_survive_hard_names(name):
    options = Positional(Path(name), Path("out"), loud=True)
    assert parse(Positional, to_argv(options)) == options


def test_underscored_and_short_flags_are_accepted():
    options = parse(Options, ["-e", "x", "--use_f0=0", "--key=-3"])
    assert (options.experiment, options.use_f0, options.key) == (Path("x"), False, -3)
    assert parse(Options, ["-e", "x", "-f0", "1"]).use_f0 is True


def test_underscores_in_values_are_kept():
    assert parse(Options, ["--experiment=my_voice_a"]).experiment == Path("my_voice_a")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-e", "x", "--rate=2"],
        ["-e", "x", "--method=mp"],
        ["-e", "x", "--use-f0=maybe"],
        ["-e", "x", "--no-such"],
        ["-e", ""],
        ["-e", "x", "--extra="],
    ],
)
def test_wrong_arguments_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Options, argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err


def test_help_shows_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Options, ["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "0.75" in text and "50 %" in text and "100 %" in text


def test_display_can_be_pasted(tmp_path):
    import shlex

    command = Command("infer.stages.preprocess", Options(Path("my song's; $HOME")))
    assert shlex.split(command.display()) == command.argv
