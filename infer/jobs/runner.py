"""Starting commands: one or several side by side, their events merged, the process tree stoppable.

A step is a list of commands that run together (the shards of one stage); a chain is a list of
steps that run one after the other and stops at the first failure. Events are appended to the
experiment's `events.jsonl`, so a page that is opened later can replay them.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import Command
from infer.jobs.events import Event, Failed, Finished, Log, Progress, Report, Started, from_line, to_line
from infer.jobs.stage import EXIT_DONE
from infer.lib.errors import RvcError
from infer.lib.files import REPO

STOP_GRACE_S = 5.0


class StageFailed(RvcError):
    """A command of a chain ended with another code than 0; the message is its own reason."""


@dataclass
class Step:
    """Commands that run side by side and succeed together."""

    name: str
    commands: list[Command]
    log: Path | None = None  # standard error of the commands goes here


class Runner:
    """Runs steps and reports their events. `stop()` may be called from another thread."""

    def __init__(self, report: Report, events_file: Path | None = None):
        self._report = report
        self._events_file = events_file
        self._processes: list[subprocess.Popen] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def run_chain(self, steps: Sequence[Step]) -> None:
        """Runs the steps in order; raises StageFailed at the first one that fails."""
        for step in steps:
            self.run_step(step)

    def run_step(self, step: Step) -> dict:
        """Runs one step to its end; returns the summary its (first) command finished with."""
        for command in step.commands:
            self._tell(Log(f"$ {command.display()}"))
        lines: queue.Queue = queue.Queue()
        with self._lock:
            if self._stopping.is_set():
                raise StageFailed(f"{step.name} was stopped")
            self._processes = []
            for command in step.commands:  # one by one: a stop in between finds those that run
                self._processes.append(self._start(command, step.log))
        for number, process in enumerate(self._processes):
            threading.Thread(target=_pump, args=(number, process, lines), daemon=True).start()
        outcome = self._collect(step, lines)
        codes = [process.wait() for process in self._processes]
        self._check(step, codes, outcome)
        return outcome.summary

    def stop(self) -> None:
        """Ends the running commands and their children: asks, waits five seconds, kills."""
        self._stopping.set()
        with self._lock:
            for process in self._processes:
                stop_tree(process)

    def _start(self, command: Command, log: Path | None) -> subprocess.Popen:
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") if log else contextlib.nullcontext(None) as errors:
            return subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=variables(),
                **new_group(),
            )

    def _collect(self, step: Step, lines: queue.Queue) -> "_Outcome":
        outcome = _Outcome(len(step.commands))
        open_pipes = len(step.commands)
        while open_pipes:
            number, line = lines.get()
            if line is None:
                open_pipes -= 1
                continue
            event = from_line(line)
            if event is not None and (merged := outcome.merge(number, event)) is not None:
                self._tell(merged)
        return outcome

    def _check(self, step: Step, codes: list[int], outcome: "_Outcome") -> None:
        if all(code == EXIT_DONE for code in codes):
            self._tell(Finished(step.name, outcome.summary))
            return
        if self._stopping.is_set():
            reason = "stopped; run it again to go on where it was"
        elif outcome.reasons:
            reason = outcome.reasons[0]
        else:
            worst = next(code for code in codes if code != EXIT_DONE)
            reason = f"ended with code {worst}" + (f"; see {step.log}" if step.log else "")
        self._tell(Failed(step.name, reason))
        raise StageFailed(f"{step.name} failed", reason)

    def _tell(self, event: Event) -> None:
        self._report(event)
        if self._events_file:
            self._events_file.parent.mkdir(parents=True, exist_ok=True)
            with self._events_file.open("a", encoding="ascii") as file:
                file.write(to_line(event) + "\n")


class _Outcome:
    """Merges the events of parallel commands: totals and progress add up, the end is told once."""

    def __init__(self, n_commands: int):
        self._n = n_commands
        self._done = [0] * n_commands
        self._total = [0] * n_commands
        self._started = 0
        self.reasons: list[str] = []
        self.summary: dict = {}

    def merge(self, number: int, event: Event) -> Event | None:
        match event:
            case Started(stage, total):
                self._total[number] = total or 0
                self._started += 1
                return Started(stage, sum(self._total) or None) if self._started == self._n else None
            case Progress(done, total, item):
                self._done[number], self._total[number] = done, total
                return Progress(sum(self._done), sum(self._total), item)
            case Finished(_, summary):
                self._add(summary)
                return None
            case Failed(_, reason):
                self.reasons.append(reason)
                return None
        return event

    def _add(self, summary: dict) -> None:
        for key, value in summary.items():
            countable = isinstance(value, int | float) and not isinstance(value, bool)
            if countable and key in self.summary:
                self.summary[key] += value
            else:
                self.summary.setdefault(key, value)


def new_group() -> dict:
    """Popen arguments that put a child into a process group of its own, so that all of it can be stopped."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def stop_tree(process: subprocess.Popen, grace_s: float = STOP_GRACE_S) -> None:
    """Ends a process started with `new_group()` and its children; kills what has not ended in time."""
    if process.poll() is not None:
        return
    _signal_group(process, force=False)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal_group(process, force=True)  # also children that outlived their parent
    process.wait()


def _signal_group(process: subprocess.Popen, force: bool) -> None:
    if os.name == "nt":
        how = ["/F"] if force else []
        command = ["taskkill", *how, "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)


def _pump(number: int, process: subprocess.Popen, lines: queue.Queue) -> None:
    with process.stdout as output:
        for raw in output:
            lines.put((number, raw.decode("utf-8", "replace")))
    lines.put((number, None))


@contextlib.contextmanager
def stopped_by_signals(runner: Runner) -> Iterator[Runner]:
    """Ctrl+C and SIGTERM end the running commands too; they are then raised as StageFailed."""

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    watched = threading.current_thread() is threading.main_thread()  # others may not watch signals
    old = signal.signal(signal.SIGTERM, interrupt) if watched else None
    try:
        yield runner
    except KeyboardInterrupt as interruption:
        runner.stop()
        raise StageFailed("stopped", "run the same command again to go on") from interruption
    finally:
        if watched:
            signal.signal(signal.SIGTERM, old)


def variables() -> dict[str, str]:
    """Commands find this project's modules, yet work in the user's folder: relative paths stay right."""
    paths = [str(REPO), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONSAFEPATH": "1",  # a config.py in the user's folder is not ours
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }
