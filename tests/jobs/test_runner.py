import os
import signal
import threading
import time
from pathlib import Path

import pytest

from infer.jobs.command import Command
from infer.jobs.events import Failed, Finished, Log, Progress, Started, from_line
from infer.jobs.runner import Runner, StageFailed, Step, stopped_by_signals
from infer.stages.preprocess.options import PreprocessOptions
from tests.jobs.gated_stage import GatedOptions
from tests.jobs.toy_stage import ToyOptions


def toy(**options):
    return Command("tests.jobs.toy_stage", ToyOptions(**options))


def test_shards_run_together_and_their_events_are_merged(events, tmp_path):
    summary = Runner(events, tmp_path / "events.jsonl").run_step(Step("toy", [toy(count=2), toy(count=3)]))
    assert summary == {"items": 5}
    assert events.of(Started) == [Started("toy", 5)]
    last = events.of(Progress)[-1]
    assert (last.done, last.total) == (5, 5)
    assert events.of(Finished) == [Finished("toy", {"items": 5})]
    assert sum("toy_stage" in event.message for event in events.of(Log)) == 2  # the commands are shown
    kept = [from_line(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [e for e in kept if not isinstance(e, Progress)] == [
        e for e in events.list if not isinstance(e, Progress)
    ]
    assert [e for e in kept if isinstance(e, Progress)][-1] == last  # history needs no more


def test_a_chain_gives_the_summaries_and_says_where_it_is(events):
    begun = []
    summaries = Runner(events).run_chain([Step("one", [toy()]), Step("two", [toy(count=5)])], begun.append)
    assert (summaries, begun) == ({"one": {"items": 2}, "two": {"items": 5}}, [0, 1])


def test_a_child_left_behind_does_not_hold_up_the_chain(events, tmp_path, monkeypatch):
    monkeypatch.setattr("infer.jobs.runner.LEFTOVERS_S", 0.2)
    (tmp_path / "go").touch()
    command = Command("tests.jobs.gated_stage", GatedOptions(tmp_path, child=True))
    assert Runner(events).run_step(Step("gated", [command])) == {"items": 4}
    assert _ends(int((tmp_path / "child").read_text()))


def test_crashes_are_told_from_expected_failures(events):
    for fail, unexpected in (("bug", True), ("expected", False)):
        with pytest.raises(StageFailed) as caught:
            Runner(events).run_step(Step("toy", [toy(fail=fail)]))
        assert caught.value.unexpected is unexpected


def test_a_chain_stops_at_the_first_failure_with_its_reason(events, tmp_path):
    steps = [Step("one", [toy()]), Step("two", [toy(fail="expected")]), Step("three", [toy()])]
    with pytest.raises(StageFailed, match="two failed: a.wav is empty"):
        Runner(events).run_chain(steps)
    assert [event.stage for event in events.of(Finished)] == ["one"]
    assert events.list[-1] == Failed("two", "a.wav is empty: record it again")


def test_a_bug_leaves_its_traceback_in_the_log(events, tmp_path):
    with pytest.raises(StageFailed):
        Runner(events).run_step(Step("toy", [toy(fail="bug")], log=tmp_path / "toy.log"))
    assert "KeyError" in (tmp_path / "toy.log").read_text()


def test_stopping_ends_the_whole_process_tree(events, tmp_path):
    runner = Runner(events)
    pid_file = tmp_path / "pid"
    stopper = threading.Thread(target=lambda: (_wait_for(pid_file), runner.stop()))
    stopper.start()
    with pytest.raises(StageFailed, match="stopped"):
        runner.run_step(Step("toy", [toy(hang=pid_file)]))
    stopper.join()
    assert _ends(int(pid_file.read_text()))
    with pytest.raises(StageFailed, match="stopped"):
        runner.run_step(Step("toy", [toy()]))


def test_a_terminated_chain_ends_its_commands(events, tmp_path):
    pid_file, before = tmp_path / "pid", signal.getsignal(signal.SIGTERM)
    killer = threading.Thread(target=lambda: (_wait_for(pid_file), os.kill(os.getpid(), signal.SIGTERM)))
    killer.start()
    with pytest.raises(StageFailed, match="stopped"), stopped_by_signals(Runner(events)) as runner:
        runner.run_step(Step("toy", [toy(hang=pid_file)]))
    killer.join()
    assert _ends(int(pid_file.read_text()))
    assert signal.getsignal(signal.SIGTERM) is before


def _wait_for(path: Path):
    deadline = time.monotonic() + 30
    while not (path.is_file() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)


def _ends(pid: int) -> bool:
    """Soon: a killed process closes its files a moment before it is gone."""
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if status.parent.parent.is_dir() and os.name != "nt":
        return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    os.kill(pid, 0)
    return True


def test_commands_work_in_the_users_folder(events, tmp_path, monkeypatch):
    (tmp_path / "config.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    command = Command("infer.stages.preprocess", PreprocessOptions(Path("songs"), tmp_path / "logs" / "x"))
    Path("songs").mkdir()
    with pytest.raises(StageFailed, match="songs") as caught:
        Runner(events).run_step(Step("preprocess", [command]))
    assert "does not exist" not in str(caught.value)
