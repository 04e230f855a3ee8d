"""Starting commands: one or several side by side, their events merged, the process tree stoppable.

A step is a list of commands that run together (the shards of one stage); a chain is a list of
steps that run one after the other and stops at the first failure. Events are appended to the
experiment's `events.jsonl`, so a page that is opened later can replay them.
"""

import contextlib
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import Command
from infer.jobs.event_log import EventLog
from infer.jobs.events import Event, Failed, Finished, Log, Report, from_line
from infer.jobs.outcome import Outcome
from infer.jobs.processes import STOP_GRACE_S, kill_group, new_group, step_back, stop_trees, variables
from infer.jobs.stage import EXIT_DONE, EXIT_EXPECTED
from infer.lib.errors import RvcError

__all__ = ["Runner", "StageFailed", "Step", "stopped_by_signals", "variables"]


LEFTOVERS_S = 3.0  # for children of a command that has ended to end too


class StageFailed(RvcError):
    """A command of a chain ended with another code than 0; the hint is its own reason.

    `unexpected`: it crashed or was killed, so that its log may say more.
    """

    def __init__(self, message: str, hint: str = "", unexpected: bool = False):
        super().__init__(message, hint)
        self.unexpected = unexpected


@dataclass
class Step:
    """Commands that run side by side and succeed together."""

    name: str
    commands: list[Command]
    log: Path | None = None  # standard error of the commands goes here


class Runner:
    """Runs steps and reports their events. `stop()` may be called from another thread.

    `background`: the commands get a lower priority. `grace_s`: how long they may take to stop.
    """

    def __init__(
        self,
        report: Report,
        events_file: Path | None = None,
        *,
        background: bool = False,
        grace_s: float = STOP_GRACE_S,
    ):
        self._report = report
        self._keep = EventLog(events_file) if events_file else None
        self._background, self._grace_s = background, grace_s
        self._processes: list[subprocess.Popen] = []  # of the step that runs; not waited for yet
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def run_chain(
        self, steps: Sequence[Step], begin: Callable[[int], None] = lambda number: None
    ) -> dict[str, dict]:
        """Runs the steps in order, after `begin(number)`; returns their summaries by name.

        Raises StageFailed at the first one that fails.
        """
        summaries = {}
        for number, step in enumerate(steps):
            begin(number)
            summaries[step.name] = self.run_step(step)
        return summaries

    def run_step(self, step: Step) -> dict:
        """Runs one step to its end; returns the summary its commands finished with."""
        for command in step.commands:
            self._tell(Log(f"$ {command.display()}"))
        lines: queue.Queue = queue.Queue()
        processes = self._start_all(step)
        for number, process in enumerate(processes):
            read = threading.Event()
            for follow in (_pump, _end_leftovers):
                arguments = (process, read, lambda line, number=number: lines.put((number, line)))
                threading.Thread(target=follow, args=arguments, daemon=True).start()
        outcome = self._collect(len(processes), lines)
        codes = [process.wait() for process in processes]
        with self._lock:
            self._processes = []
        self._check(step, codes, outcome)
        return outcome.summary

    def stop(self) -> None:
        """Ends the running commands and their children: asks, waits, kills."""
        self._stopping.set()
        with self._lock:
            stop_trees(self._processes, self._grace_s)

    def _start_all(self, step: Step) -> list[subprocess.Popen]:
        with self._lock:
            if self._stopping.is_set():
                raise StageFailed(f"{step.name} was stopped", "run it again to go on where it was")
            self._processes = []
            for command in step.commands:  # one by one: a failure in between leaves what runs stoppable
                self._processes.append(self._start(command, step.log))
            return list(self._processes)

    def _start(self, command: Command, log: Path | None) -> subprocess.Popen:
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") if log else contextlib.nullcontext(None) as errors:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=variables(),
                **new_group(self._background),
            )
        if self._background:
            step_back(process)
        return process

    def _collect(self, n_commands: int, lines: queue.Queue) -> Outcome:
        outcome = Outcome(n_commands)
        open_pipes = set(range(n_commands))
        while open_pipes:
            number, line = lines.get()
            if line is None:
                open_pipes.discard(number)
                told = outcome.closed(number)
            else:
                event = from_line(line)
                told = outcome.merge(number, event) if event else []
            for merged in told:
                self._tell(merged)
        return outcome

    def _check(self, step: Step, codes: list[int], outcome: Outcome) -> None:
        if all(code == EXIT_DONE for code in codes):
            self._tell(Finished(step.name, outcome.summary))
            return
        if self._stopping.is_set():
            reason = "stopped; run it again to go on where it was"
        elif outcome.reasons:
            reason = outcome.reasons[0]
        else:
            worst = next(code for code in codes if code != EXIT_DONE)
            reason = f"ended with code {worst}"
            if step.log:
                reason = f"ended with code {worst}; see {step.log}"
        self._tell(Failed(step.name, reason))
        expected = self._stopping.is_set() or set(codes) <= {EXIT_DONE, EXIT_EXPECTED}
        raise StageFailed(f"{step.name} failed", reason, unexpected=not expected)

    def _tell(self, event: Event) -> None:
        self._report(event)
        if self._keep:
            self._keep(event)


def _pump(process: subprocess.Popen, read: threading.Event, put: Callable[[str | None], None]) -> None:
    """Every line, then None."""
    with process.stdout as output:
        for raw in output:
            put(raw.decode("utf-8", "replace"))
    read.set()
    put(None)


def _end_leftovers(
    process: subprocess.Popen, read: threading.Event, put: Callable[[str | None], None]
) -> None:
    """A child that a command left behind holds its pipe open, and would hold up the chain for ever."""
    process.wait()
    if not read.wait(LEFTOVERS_S):
        kill_group(process)
        put(None)


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
