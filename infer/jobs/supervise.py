"""`python -m infer.jobs.supervise FOLDER`: runs one job of a JobStore to its end. Light: no torch.

Started by infer/jobs/detached.py in a session of its own, so that neither the page's end nor its
console's takes the work along. It waits its turn in the job's lane, runs the steps, and writes down
what happens. Whoever holds the lock in the folder is the job's supervisor: there is at most one.
"""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

from infer.jobs.events import Failed, Log
from infer.jobs.experiment import Experiment
from infer.jobs.job_folder import ALLOWED, JobFolder, State
from infer.jobs.journal import Journal
from infer.jobs.lane import Lane
from infer.jobs.lock import alone, if_free, is_held
from infer.jobs.runner import Runner, StageFailed
from infer.jobs.stage import EXIT_BUG, EXIT_DONE, EXIT_EXPECTED, os_sentence
from infer.lib.errors import RvcError

LOOK_EVERY_S = 0.25
STOP_GRACE_S = 30.0  # training saves first: a step on the CPU may take long
EARLIER_RUN_S = 60.0  # for the stage of a killed supervisor to save and end
LOG_TAIL_BYTES, LOG_TAIL_LINES = 8000, 30


class Supervisor:
    """One job, from its turn in the queue to its last state."""

    def __init__(self, folder: JobFolder, allowed: tuple[str, ...] = ALLOWED):
        self.folder, self.plan = folder, folder.read_plan(allowed)
        self.state = State()
        further = [Experiment(self.plan.experiment).events_file] if self.plan.experiment else []
        self.journal = Journal(folder, further)
        self.runner = Runner(self.journal, background=True, grace_s=STOP_GRACE_S)
        self.stopping = threading.Event()
        self.log_size = 0  # of the step's log, before the step
        self.lane = Lane(folder.path.parent, self.plan.lane, allowed)

    def run(self) -> None:
        self._become(State(pid=os.getpid()))
        threading.Thread(target=self._watch, daemon=True).start()
        while not self.stopping.is_set():
            if not self.lane.before(self.plan.id):
                with if_free(self.folder.lane_file(self.plan.lane)) as mine:
                    if mine:
                        return self._work()
            self.stopping.wait(LOOK_EVERY_S)
        return self._end("stopped", "stopped before it began")

    def request_stop(self, *_signal) -> None:
        self.stopping.set()

    def _watch(self) -> None:
        """Passes a stop on, however it was asked for, and keeps the progress on disk fresh."""
        while not (self.stopping.is_set() or self.folder.stop_file.exists()):
            self.journal.flush()
            time.sleep(LOOK_EVERY_S)
        self.stopping.set()
        self.runner.stop()

    def _work(self) -> None:
        self._become(replace(self.state, state="running", started_s=time.time()))
        try:
            self._await_earlier_run()
            summary = self.runner.run_chain(self.plan.steps, self._begin)
        except StageFailed as failure:
            if self.stopping.is_set():
                return self._end("stopped", failure.hint)
            if failure.unexpected:
                self._show_log_tail()
            return self._end("failed", failure.hint or failure.message)
        except OSError as error:  # a command could not be started
            self.runner.stop()
            reason = os_sentence(error)
            self.journal(Failed(self._step_name, reason))
            return self._end("failed", reason)
        return self._end("done", "", summary)

    def _await_earlier_run(self) -> None:
        """A stage that lost its supervisor saves before it ends; it holds the experiment until then."""
        if not self.plan.experiment:
            return
        lock = Experiment(self.plan.experiment).lock_file
        deadline, told = time.monotonic() + EARLIER_RUN_S, False
        while is_held(lock) and time.monotonic() < deadline and not self.stopping.is_set():
            if not told:
                self.journal(Log("waiting until the earlier run has saved and ended"))
                told = True
            self.stopping.wait(LOOK_EVERY_S)

    def _begin(self, number: int) -> None:
        step = self.plan.steps[number]
        self.log_size = step.log.stat().st_size if step.log and step.log.is_file() else 0
        self._become(replace(self.state, step=number))
        self.journal.begin(number, step.name)

    def _show_log_tail(self) -> None:
        """The last lines that the failed step wrote to its log, for whoever looks at the page only."""
        log = self.plan.steps[self.state.step].log
        if log is None or not log.is_file():
            return
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(self.log_size, size - LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        for line in lines[-LOG_TAIL_LINES:]:
            self.journal(Log(line))

    @property
    def _step_name(self) -> str:
        return self.plan.steps[self.state.step].name

    def _end(self, state: str, reason: str, summary: dict | None = None) -> None:
        self.journal.flush(force=True)
        self._become(
            replace(self.state, state=state, reason=reason, summary=summary or {}, ended_s=time.time())
        )

    def _become(self, state: State) -> None:
        self.state = state
        self.folder.write_state(state)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infer.jobs.supervise", description=__doc__)
    parser.add_argument("folder", type=Path, help="the job's folder")
    parser.add_argument("--allow", action="append", help="what the modules that may run begin with")
    options = parser.parse_args(argv)
    folder = JobFolder(options.folder.absolute())
    try:
        supervisor = Supervisor(folder, tuple(options.allow or ALLOWED))
        with alone(folder.lock_file, f"job {folder.id}"):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, supervisor.request_stop)
            supervisor.run()
        return EXIT_DONE
    except RvcError as error:
        print(error, file=sys.stderr)
        return _gave_up(folder, str(error), EXIT_EXPECTED)
    except Exception as error:  # noqa: BLE001 - the outermost frame of a command
        traceback.print_exc()
        return _gave_up(folder, f"internal error: {type(error).__name__}: {error}", EXIT_BUG)


def _gave_up(folder: JobFolder, reason: str, code: int) -> int:
    """The page tells the reason, unless another supervisor has the job."""
    if folder.path.is_dir() and not is_held(folder.lock_file):
        now = time.time()
        folder.write_state(State("failed", os.getpid(), started_s=now, ended_s=now, reason=reason))
    return code


if __name__ == "__main__":
    sys.exit(main())
