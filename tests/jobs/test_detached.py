import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infer.jobs.command import Command
from infer.jobs.detached import JobStore
from infer.jobs.events import Finished, Metric, Started, from_line
from infer.jobs.experiment import Experiment
from infer.jobs.job_folder import JobFolder
from infer.jobs.runner import Step
from infer.lib.errors import BadInput
from infer.lib.files import REPO
from tests.jobs.conftest import ALLOWED, alive, until
from tests.jobs.gated_stage import GatedOptions

pytestmark = pytest.mark.skipif(os.name == "nt", reason="looks at processes through /proc")


def test_a_job_runs_its_steps_and_tells_what_came_out(jobs):
    jobs.let_go("one", "two")
    steps = [jobs.step("one"), jobs.step("two", count=7)]
    job_id = jobs.store.start('둘 "steps"', steps, experiment=jobs.root / "exp 1")
    job = jobs.wait(job_id, "done", "failed")
    assert (job.state, job.reason, job.title) == ("done", "", '둘 "steps"')
    assert (job.steps, job.step) == (("one", "two"), 1)
    assert job.summary == {"one": {"items": 4}, "two": {"items": 7}}
    assert job.created_s <= job.started_s <= job.ended_s
    progress = jobs.store.progress(job_id)
    assert (progress.done, progress.total, progress.fraction, progress.eta_s) == (7, 7, 1.0, None)
    assert "two: done, items 7" in progress.lines
    for file in (jobs.store.folder(job_id).events_file, Experiment(jobs.root / "exp 1").events_file):
        events = [from_line(line) for line in file.read_text().splitlines()]
        assert [e.total for e in events if isinstance(e, Started)] == [4, 7]
        assert [e.stage for e in events if isinstance(e, Finished)] == ["one", "two"]


def test_the_shown_command_line_runs_as_it_is(jobs):
    jobs.let_go("one")
    step = jobs.step("one", fail='it\'s -- "so" $HOME; 새')
    job = jobs.wait(jobs.store.start("one", [step]), "failed")
    assert job.displays == (step.commands[0].display(),)
    assert f"$ {job.displays[0]}" in jobs.store.progress(job.id).lines
    done = subprocess.run(shlex.split(job.displays[0]), cwd=REPO, capture_output=True, text=True)
    reasons = [json.loads(line)["reason"] for line in done.stdout.splitlines() if "failed" in line]
    assert (done.returncode, reasons) == (3, [job.reason])


def test_commands_work_in_the_folder_of_whoever_started_them(jobs, monkeypatch):
    monkeypatch.chdir(jobs.root)
    jobs.let_go("one")
    job = jobs.wait(jobs.start("one"), "done")
    assert f"works in {jobs.root}" in jobs.store.progress(job.id).lines


def test_a_failure_names_the_reason_and_ends_the_chain(jobs):
    jobs.let_go("one")
    steps = [jobs.step("one", fail="a.wav is empty"), jobs.step("two")]
    job = jobs.wait(jobs.store.start("chain", steps), "failed")
    assert (job.step, job.reason) == (0, "a.wav is empty")
    assert not (jobs.root / "two").exists()


def test_a_bug_shows_its_traceback(jobs):
    from tests.jobs.toy_stage import ToyOptions

    step = Step("toy", [Command("tests.jobs.toy_stage", ToyOptions(fail="bug"))], jobs.root / "toy.log")
    job = jobs.wait(jobs.store.start("toy", [step]), "failed")
    assert "KeyError" in job.reason
    assert any("Traceback" in line for line in jobs.store.progress(job.id).lines)


def test_one_job_at_a_time_in_the_order_of_creation(jobs):
    names = ["a", "b", "c"]
    ids = [jobs.start(name) for name in names]
    elsewhere = jobs.start("n", lane="network")
    jobs.left("a", "pid")
    jobs.left("n", "pid")  # another lane does not wait
    until(lambda: [jobs.store.job(i).ahead for i in ids] == [0, 1, 2])
    assert [jobs.store.job(i).state for i in ids] == ["running", "queued", "queued"]
    jobs.let_go("a", "n")
    jobs.left("b", "pid")
    assert not (jobs.root / "c").exists()
    jobs.let_go("b", "c")
    ended = [jobs.wait(job_id, "done") for job_id in [*ids, elsewhere]]
    assert ended[0].ended_s <= ended[1].started_s and ended[1].ended_s <= ended[2].started_s


def test_a_queued_job_that_is_stopped_never_begins(jobs):
    first, second = jobs.start("a"), jobs.start("b")
    jobs.left("a", "pid")
    jobs.store.stop(second)
    assert jobs.wait(second, "stopped").reason
    assert not (jobs.root / "b").exists()
    assert jobs.store.job(first).state == "running"


def test_stopping_saves_and_ends_the_children_and_resuming_goes_on(jobs):
    job_id = jobs.start("a", child=True, experiment="exp")
    pid, child = jobs.left("a", "pid"), jobs.left("a", "child")
    jobs.store.stop(job_id)
    assert jobs.store.job(job_id).stopping or not jobs.store.job(job_id).living
    assert jobs.wait(job_id, "stopped").step == 0
    assert jobs.left("a", "saved") == 1
    until(lambda: not alive(pid) and not alive(child))
    jobs.let_go("a")
    again = jobs.store.resume(job_id)
    assert again != job_id
    assert jobs.wait(again, "done").displays == jobs.store.job(job_id).displays
    assert [job.id for job in jobs.store.jobs(jobs.root / "exp")] == [again, job_id]


def test_a_terminated_supervisor_stops_its_children(jobs):
    job_id = jobs.start("a")
    pid = jobs.left("a", "pid")
    os.kill(jobs.supervisor(job_id), signal.SIGTERM)
    jobs.wait(job_id, "stopped")
    assert jobs.left("a", "saved") == 1
    until(lambda: not alive(pid))


def test_a_killed_supervisor_leaves_no_orphan_and_a_job_that_resumes(jobs):
    job_id, waiting = jobs.start("a", experiment="exp"), jobs.start("b")
    pid = jobs.left("a", "pid")
    os.kill(jobs.supervisor(job_id), signal.SIGKILL)
    assert not jobs.wait(job_id, "interrupted").living
    until(lambda: not alive(pid))
    assert jobs.left("a", "saved") == 1  # it noticed that nobody listens, and saved
    jobs.left("b", "pid")  # a dead supervisor does not block the lane
    jobs.let_go("a", "b")
    jobs.wait(jobs.store.resume(job_id), "done")
    jobs.wait(waiting, "done")


def test_killing_the_starter_stops_nothing_and_a_new_store_sees_the_job(jobs):
    code = (
        "import sys, time; from pathlib import Path; from tests.jobs.conftest import Jobs\n"
        "print(Jobs(Path(sys.argv[1])).start('a', experiment='exp'), flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(jobs.root)], cwd=REPO, stdout=subprocess.PIPE, start_new_session=True
    )
    job_id = starter.stdout.readline().decode().strip()
    pid = jobs.left("a", "pid")
    os.killpg(starter.pid, signal.SIGKILL)  # everything in its group, as a closed console does
    starter.communicate()
    assert jobs.store.job(job_id).state == "running" and alive(pid)
    until(lambda: jobs.store.progress(job_id).total == 4)
    jobs.let_go("a")
    assert jobs.wait(job_id, "done").summary == {"a": {"items": 4}}


def test_an_experiment_has_one_job_at_a_time(jobs):
    jobs.start("a", experiment="exp")
    with pytest.raises(BadInput, match='"a" is (queued|running) on the experiment exp'):
        jobs.start("b", experiment="exp")
    with pytest.raises(BadInput, match="still"):
        jobs.store.resume(jobs.store.jobs()[0].id)
    jobs.start("c", experiment="another")


def test_starts_at_once_from_many_threads_give_one_job(jobs):
    def start(number):
        try:
            return jobs.start(f"n{number}", experiment="exp")
        except BadInput:
            return None

    with ThreadPoolExecutor(6) as pool:
        started = [job_id for job_id in pool.map(start, range(6)) if job_id]
    assert len(started) == 1


def test_only_this_programs_commands_are_accepted(jobs, tmp_path):
    step = jobs.step("a")
    with pytest.raises(BadInput, match="no command of this program"):
        JobStore(tmp_path / "jobs").start("a", [step])
    prefixed = Command("tests.jobs.gated_stage", GatedOptions(tmp_path), prefix=("-c", "print()"))
    with pytest.raises(BadInput, match="another program"):
        jobs.store.start("a", [Step("a", [prefixed])])
    for module in ("os", "infer.stages", "infer.stages.", "infer.stages.x;y", "../infer.stages.x", "-c"):
        with pytest.raises(BadInput):
            JobStore(tmp_path / "jobs").start("a", [Step("a", [Command(module, GatedOptions(tmp_path))])])
    assert not (tmp_path / "jobs").exists()


def supervise(folder: JobFolder) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "infer.jobs.supervise", f"--allow={ALLOWED[0]}", str(folder.path)]
    return subprocess.run(argv, cwd=REPO, capture_output=True, text=True)


def test_a_changed_plan_cannot_run_something_else(jobs):
    job_id = jobs.start("a")
    jobs.left("a", "pid")
    folder = jobs.store.folder(job_id)
    plan = json.loads(folder.plan_file.read_bytes())
    plan["steps"][0]["commands"][0]["module"] = "http.server"
    folder.plan_file.write_text(json.dumps(plan))
    assert JobStore(jobs.store.root, ALLOWED).jobs() == []
    argv = [
        sys.executable,
        "-m",
        "infer.jobs.supervise",
        *[f"--allow={w}" for w in ALLOWED],
        str(folder.path),
    ]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 3 and "http.server" in done.stderr
    assert folder.read_state().state == "running"  # its supervisor lives and is not disturbed


def test_a_second_supervisor_leaves_the_job_alone(jobs):
    job_id = jobs.start("a")
    jobs.left("a", "pid")
    folder = jobs.store.folder(job_id)
    argv = [
        sys.executable,
        "-m",
        "infer.jobs.supervise",
        *[f"--allow={w}" for w in ALLOWED],
        str(folder.path),
    ]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 3
    assert jobs.store.job(job_id).state == "running"


def test_damaged_folders_are_no_jobs(jobs):
    good = jobs.start("a")
    jobs.left("a", "pid")
    root = jobs.store.root
    for number, text in enumerate(["", "{", "[]", "{}", '{"title": 1}', "\xff\x00"]):
        folder = root / f"{number:016d}-abcd"
        folder.mkdir()
        (folder / "job.json").write_text(text, encoding="latin-1")
    (root / "9999999999999999-abcd").mkdir()
    (root / "not a job").mkdir()
    (root / "0000000000000009-abcd").write_text("a file")
    assert [job.id for job in jobs.store.jobs()] == [good]
    jobs.let_go("a")
    jobs.wait(good, "done")
    jobs.store.folder(good).state_file.write_text("{half")
    assert JobStore(root, ALLOWED).job(good).state in ("queued", "interrupted")
    shutil.rmtree(jobs.store.folder(good).path)
    with pytest.raises(BadInput, match="no job"):
        jobs.store.job("../../etc")
    with pytest.raises(BadInput, match="no job"):
        jobs.store.stop("0000000000000000-abcd")


def test_a_job_whose_supervisor_never_came_is_waited_for_and_then_interrupted(jobs, monkeypatch):
    monkeypatch.setattr(JobStore, "_spawn", lambda *_: None)
    job_id = jobs.start("a")
    assert jobs.store.job(job_id).state == "queued"
    monkeypatch.setattr("infer.jobs.job_folder.START_GRACE_S", 0.0)
    until(lambda: jobs.store.job(job_id).state == "interrupted")


def test_ids_grow_even_when_the_clock_is_set_back(jobs, monkeypatch):
    jobs.let_go("a", "b")
    first = jobs.start("a", lane="x")
    monkeypatch.setattr("time.time_ns", lambda: 0)
    second = jobs.start("b", lane="y")
    assert second > first


def test_old_jobs_are_cleared_away_but_none_that_lives(jobs):
    jobs.let_go("a", "b", "c")
    ids = [jobs.start(name, lane=name) for name in "abc"]
    for job_id in ids:
        jobs.wait(job_id, "done")
    living = jobs.start("d")
    jobs.left("d", "pid")
    jobs.store.prune(keep=1)
    assert [job.id for job in jobs.store.jobs()] == [living, ids[-1]]
    with pytest.raises(BadInput, match="no job"):
        jobs.store.progress(ids[0])


def test_supervised_work_leaves_the_page_its_share_of_the_cpu(jobs):
    jobs.let_go("a")
    jobs.wait(jobs.start("a"), "done")
    assert jobs.left("a", "nice") == os.nice(0) + 10
    step = jobs.step("a")
    subprocess.run(step.commands[0].argv, cwd=REPO, check=True, capture_output=True)
    assert jobs.left("a", "nice") == os.nice(0)  # typed by hand it runs as everything else


def test_many_readers_see_one_truth(jobs):
    job_id = jobs.start("a", count=60, pace_s=0.01, experiment="exp")
    jobs.let_go("a")
    problems = []

    def read():
        steps = []
        while not steps or steps[-1] < 60:
            try:
                steps += [m.step for m in jobs.store.metrics(jobs.root / "exp")][-1:] or [0]
                jobs.store.progress(job_id)
            except BaseException as error:  # noqa: BLE001 - told in the main thread
                problems.append(error)
                return
        if steps != sorted(steps):
            problems.append(steps)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == [] and not any(thread.is_alive() for thread in threads)
    metrics = jobs.store.metrics(jobs.root / "exp")
    assert [metric.step for metric in metrics] == list(range(1, 61))
    assert isinstance(metrics[0], Metric)


def test_the_signature_changes_with_every_change_of_state(jobs):
    seen = [jobs.store.signature()]
    job_id = jobs.start("a")
    jobs.left("a", "pid")
    jobs.wait(job_id, "running")
    seen.append(jobs.store.signature())
    jobs.let_go("a")
    jobs.wait(job_id, "done")
    seen.append(jobs.store.signature())
    assert len(set(seen)) == 3 == len(seen)


def test_the_supervisor_is_light(jobs):
    pid = jobs.supervisor(jobs.start("a"))
    jobs.left("a", "pid")
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert not any(name in maps for name in ("libtorch", "numpy", "scipy"))
    memory = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line]
    assert int(memory[0].split()[1]) < 40_000  # kB
