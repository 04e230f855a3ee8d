"""What is read of a job while it is written: lines, metrics, pace, and what is written in the first place."""

import json
import threading
import time

import pytest

from infer.jobs.event_log import EventLog
from infer.jobs.events import Failed, Log, Metric, Progress, Started, from_line, to_line
from infer.jobs.job_folder import JobFolder
from infer.jobs.journal import Journal
from infer.jobs.metrics import MetricReader
from infer.jobs.pace import Pace
from infer.jobs.progress import LINES, ProgressReader
from infer.jobs.tail import Tail


def loss(step: int, value: float = 1.0, **more) -> Metric:
    return Metric(step, step // 10 + 1, {"loss_mel": value, **more})


def append(path, *events):
    with path.open("a") as file:
        file.writelines(to_line(event) + "\n" for event in events)


# ---- tail ----------------------------------------------------------------------------------------


def test_every_line_is_read_once_and_only_when_it_is_whole(tmp_path):
    path = tmp_path / "x"
    tail = Tail(path)
    assert tail.read() == []
    path.write_bytes(b"one\ntwo\nthr")
    assert tail.read() == ["one", "two"]
    with path.open("ab") as file:
        file.write(b"ee\n")
    assert (tail.read(), tail.read()) == (["three"], [])


def test_the_first_look_may_be_at_the_end_only_and_a_new_file_is_read_afresh(tmp_path):
    path = tmp_path / "x"
    path.write_text("".join(f"line {n}\n" for n in range(1000)))
    tail = Tail(path, last_bytes=30)
    assert tail.read() == ["line 997", "line 998", "line 999"]
    path.write_text("new\n")
    assert tail.read() == ["new"] and tail.restarted


# ---- pace ----------------------------------------------------------------------------------------


def test_no_estimate_before_it_means_something():
    pace = Pace()
    assert pace.seconds_each is None
    pace.add(0, 0)
    pace.add(1, 10)
    assert pace.seconds_each is None
    pace.add(4, 40)
    assert pace.seconds_each == pytest.approx(0.1)


def test_what_was_done_before_the_run_is_no_speed():
    pace = Pace()
    for second in range(20):
        pace.add(1000 + second, 150 + second / 10)  # resumed at epoch 150, ten seconds each
    assert pace.seconds_each == pytest.approx(10.0)


def test_the_recent_past_counts_and_a_long_run_forgets_a_slow_start():
    pace, done = Pace(), 0.0
    for second in range(2000):
        pace.add(second, done)
        done += 0.1 if second < 500 else 1.0
    assert pace.seconds_each == pytest.approx(1.0, rel=0.02)


def test_a_stalled_item_makes_the_estimate_longer_not_absent():
    pace = Pace()
    for second in range(10):
        pace.add(second, second)
    pace.add(200, 10)
    assert pace.seconds_each > 10


def test_another_step_begins_anew():
    pace = Pace()
    for second in range(10):
        pace.add(second, second * 5)
    pace.add(11, 1)
    assert pace.seconds_each is None


# ---- metrics -------------------------------------------------------------------------------------


def steps(metrics):
    return [metric.step for metric in metrics]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = MetricReader(path)
    assert reader.read() == []
    append(path, *(loss(step, 1.0) for step in range(0, 100, 10)))
    assert steps(reader.read()) == list(range(0, 100, 10))
    append(path, Log("Resuming from epoch 6, step 50"), loss(50, 2.0), loss(60, 2.0))
    metrics = reader.read()
    assert steps(metrics) == [0, 10, 20, 30, 40, 50, 60]
    assert [metric.values["loss_mel"] for metric in metrics][-3:] == [1.0, 2.0, 2.0]


def test_values_of_one_step_that_differ_in_kind_are_all_kept(tmp_path):
    path = tmp_path / "events.jsonl"
    of_epoch, held_out = loss(40, 1.0, epoch_s=3.0), Metric(40, 4, {"heldout_mel": 0.5})
    append(path, of_epoch, held_out, loss(40, 2.0), loss(45, 2.0), loss(40, 3.0))
    assert MetricReader(path).read() == [of_epoch, held_out, loss(40, 3.0)]


def test_damaged_lines_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    append(path, loss(1))
    with path.open("ab") as file:
        file.write(b'{"event": "metric", "step": 2, "ep\n\xff\xfe\n{"event": "metric"}\n')
    append(path, loss(3))
    assert steps(MetricReader(path).read()) == [1, 3]


# ---- what is written -----------------------------------------------------------------------------


def test_progress_is_thinned_on_disk_and_everything_else_kept(tmp_path):
    path = tmp_path / "deep" / "events.jsonl"
    write = EventLog(path)
    for number in range(1, 1001):
        write(Progress(number, 1000))
        if number % 100 == 0:
            write(Log(f"{number}"))
    events = [from_line(line) for line in path.read_text().splitlines()]
    assert len([e for e in events if isinstance(e, Log)]) == 10
    assert [e.done for e in events if isinstance(e, Progress)] == [1, 1000]


def test_half_a_line_of_a_killed_process_costs_nothing_else(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "lo')
    EventLog(path)(Log("next"))
    assert [from_line(line) for line in path.read_text().splitlines()] == [None, Log("next")]


def test_a_thousand_epochs_stay_small_and_quick_to_replay(tmp_path):
    """As training reports them: per epoch one mean, some steps, and a save every fifth."""
    losses = dict.fromkeys(("loss_disc", "loss_gen", "loss_fm", "loss_mel", "loss_kl"), 12.345678)
    journal = Journal(JobFolder(tmp_path))
    for epoch in range(1, 1001):
        for number in range(20):
            journal(Progress(epoch - 1, 1000, f"epoch {epoch}, step {number} of 20", number / 20))
        if epoch % 10 == 0:
            for text in (f"Train Epoch: {epoch} [0%]", "[2000, 0.0001]", "loss_disc=3.4, " * 5):
                journal(Log(text))
            journal(Metric(20 * epoch, epoch, {**losses, "learning_rate": 1e-4}))
        journal(Metric(20 * epoch, epoch, {**losses, "epoch_s": 10.0, "steps_per_s": 2.0}))
        if epoch % 5 == 0:
            journal(Metric(20 * epoch, epoch, {"heldout_mel": 20.0}))
    size = (tmp_path / "events.jsonl").stat().st_size
    assert size < 600_000
    reader = MetricReader(tmp_path / "events.jsonl")
    assert len(reader.read()) == 1000 + 100 + 200
    assert reader.read() == reader.read()


def test_a_full_disk_does_not_end_the_job(tmp_path, monkeypatch, capsys):
    journal = Journal(JobFolder(tmp_path / "gone"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infer.jobs.event_log.to_line", full)
    for number in range(3):
        journal(Log(f"{number}"))
    assert capsys.readouterr().err.count("No space left") == 1


# ---- what the page reads -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> JobFolder:
    return JobFolder(tmp_path)


def test_the_last_progress_reaches_the_reader_even_if_it_came_at_once(folder):
    journal, reader = Journal(folder), ProgressReader(folder)
    journal.begin(1, "extract_f0")
    journal(Started("extract_f0", 40))
    for number in (1, 2, 3):
        journal(Progress(number, 40, f"{number}.wav"))
    journal.flush(force=True)
    progress = reader.read(("preprocess", "extract_f0"), "running")
    assert (progress.step, progress.done, progress.total, progress.item) == ("extract_f0", 3, 40, "3.wav")
    assert progress.fraction == pytest.approx(3 / 40)
    assert progress.lines == ("extract_f0: started, 40 to do",)
    assert (progress.epoch, progress.eta_s) == (None, None)


def test_a_resumed_training_knows_its_epoch_and_its_time(folder, monkeypatch):
    now = [5000.0]
    monkeypatch.setattr("infer.jobs.journal.time", type("Clock", (), _clock(now)))
    monkeypatch.setattr("infer.jobs.progress.time", type("Clock", (), _clock(now)))
    journal, reader = Journal(folder), ProgressReader(folder)
    journal.begin(0, "train")
    journal(Started("train", 200))
    for number in range(21):  # two seconds a step, twenty steps an epoch
        journal(Progress(150 + number // 20, 200, "", number % 20 / 20))
        now[0] += 2
    journal.flush(force=True)
    progress = reader.read(("train",), "running")
    assert (progress.epoch, progress.total_epochs) == (152, 200)
    assert progress.eta_s == pytest.approx(49 * 40, abs=3)
    assert progress.fraction == pytest.approx(151 / 200)
    now[0] += 10_000  # nothing was heard for long: one epoch's worth is all that is taken off
    assert reader.read(("train",), "running").eta_s == pytest.approx(48 * 40, abs=3)
    assert reader.read(("train",), "done").eta_s is None


def _clock(now):
    return {"time": staticmethod(lambda: now[0]), "monotonic": staticmethod(lambda: now[0])}


def test_only_the_last_sentences_are_kept_and_none_is_endless(folder):
    append(folder.events_file, *(Log(f"{number} " + "x" * 5000) for number in range(2 * LINES)))
    lines = ProgressReader(folder).read((), "running").lines
    assert len(lines) <= LINES and lines[-1].startswith(f"{2 * LINES - 1} ")
    assert max(map(len, lines)) < 1000


def test_a_damaged_progress_file_is_passed_over(folder):
    reader = ProgressReader(folder)
    folder.progress_file.write_text("{")
    assert reader.read(("a",), "running").total == 0
    folder.progress_file.write_text(json.dumps({"done": 1}))
    assert reader.read(("a",), "running").total == 0


def test_readers_in_many_threads_see_whole_lines_only(folder):
    journal, reader = Journal(folder), ProgressReader(folder)
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.extend(reader.read(("a",), "running").lines)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(300):
        journal(Failed("x", f"reason {number} " + "y" * 100))
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert {line.rpartition(" ")[2] for line in seen} == {"y" * 100}
    assert reader.read(("a",), "running").lines[-1].startswith("x failed: reason 299")
