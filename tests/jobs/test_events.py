import io
import json

import pytest

from infer.jobs.events import (
    Failed,
    Finished,
    ItemFailed,
    Log,
    Metric,
    Progress,
    Reporter,
    Started,
    from_line,
    sentence,
    to_line,
)

ALL = [
    Started("preprocess", 3),
    Progress(1, 3, "노래 🎤.wav"),
    Metric(200, 4, {"loss_mel": 21.5}),
    ItemFailed("a b.wav", "is silent"),
    Log("hello"),
    Finished("preprocess", {"clips": 12}),
    Failed("train", "no clips"),
]


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_events_survive_the_pipe_as_ascii(event):
    line = to_line(event)
    assert line.isascii() and "\n" not in line
    assert from_line(line) == event
    assert sentence(event)


def test_non_finite_numbers_stay_valid_json():
    line = to_line(Metric(1, 1, {"loss": float("nan")}))
    assert json.loads(line, parse_constant=pytest.fail)["values"]["loss"] == "nan"


@pytest.mark.parametrize(
    "line", ["", "100%|####| 3/3", '{"event": "unknown"}', '{"event": "log"', '{"event": "log", "x": 1}']
)
def test_other_output_is_not_an_event(line):
    assert from_line(line) is None


def test_progress_is_thinned_but_the_last_one_is_told():
    stream = io.StringIO()
    report = Reporter(stream, as_json=True)
    for done in range(1, 1001):
        report(Progress(done, 1000))
    report(Log("end"))
    told = [from_line(line) for line in stream.getvalue().splitlines() if line]
    assert told[-2:] == [Progress(1000, 1000), Log("end")]
    assert len(told) < 20


def test_json_begins_on_a_fresh_line():
    stream = io.StringIO()
    stream.write("12%|##")
    Reporter(stream, as_json=True)(Log("x"))
    assert [from_line(line) for line in stream.getvalue().splitlines()] == [None, Log("x")]
