import pytest

from infer.jobs.events import from_line
from tests.jobs.toy_stage import main


def events_of(capsys):
    return [event for line in capsys.readouterr().out.splitlines() if (event := from_line(line))]


@pytest.mark.parametrize(
    ("argv", "code", "word"),
    [
        ([], 0, "done"),
        (["--fail=expected"], 3, "a.wav is empty: record it again"),
        (["--fail=disk"], 3, "x.wav: No space left on device; free some space and run the same command"),
        (["--fail=bug"], 1, "KeyError"),
    ],
)
def test_exit_codes_and_the_last_event(argv, code, word, capsys):
    from infer.jobs.events import sentence

    assert main(argv) == code
    assert word in sentence(events_of(capsys)[-1])


@pytest.mark.parametrize("argv", [["--fail=maybe"], ["--nonsense"], ["--count=many"]])
def test_wrong_arguments_are_code_2(argv, capsys):
    assert main(argv) == 2
    assert "usage:" in capsys.readouterr().err
