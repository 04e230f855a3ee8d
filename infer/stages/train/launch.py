"""One command for several GPUs: starts one process for each and waits for them. Light: no torch.

The processes are numbered as torchrun numbers them, so torchrun itself (several machines) works too.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from infer.jobs.command import to_argv
from infer.jobs.events import Event, Failed, Report, Reporter
from infer.jobs.runner import variables
from infer.lib import devices
from infer.stages.train.options import TrainOptions
from infer.stages.train.stop import stop_signals

POLL_S = 0.2
GRACE_S = 30.0  # for the other processes when one has ended badly, or to save after a stop


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def rank_report() -> Report | None:
    """Rank 0 reports (None: as usual). The others only say on stderr why they failed."""
    if rank() == 0:
        return None
    complain = Reporter(sys.stderr, as_json=False)

    def report(event: Event) -> None:
        if isinstance(event, Failed):
            complain(event)

    return report


def settle_for_rank(settle: Callable[[TrainOptions], TrainOptions]) -> Callable[[TrainOptions], TrainOptions]:
    """`settle`, after giving this process its entry of --gpus. Without any GPU the CPU trains."""

    def settled(options: TrainOptions) -> TrainOptions:
        gpus = options.gpu_list
        if gpus and options.device == "auto" and devices.gpus():
            local = int(os.environ.get("LOCAL_RANK", "0"))
            options = replace(options, device=f"cuda:{gpus[local % len(gpus)]}")
        return settle(options)

    return settled


def needs_launch(options: TrainOptions) -> bool:
    """Several GPUs were asked for and nobody has numbered this process yet."""
    return len(options.gpu_list) > 1 and options.device != "cpu" and "WORLD_SIZE" not in os.environ


def launch(options: TrainOptions) -> None:
    """Runs one process per GPU and ends this one with their exit code. Raises NoDevice for a wrong GPU."""
    found = devices.gpus()
    for gpu in options.gpu_list:
        devices.choose(f"cuda:{gpu}", found)
    argv = [sys.executable, "-m", "infer.stages.train", *to_argv(replace(options, device="auto"))]
    size, port = len(options.gpu_list), _free_port()
    children = [subprocess.Popen(argv, env=_environment(number, size, port)) for number in range(size)]
    code = _wait(children)
    if code:
        raise SystemExit(code)


def _environment(number: int, size: int, port: int) -> dict[str, str]:
    numbers = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    return {
        **variables(),
        **{name: str(value) for name, value in numbers.items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _wait(children: list[subprocess.Popen]) -> int:
    """Passes stops on, and ends all when one has failed. Returns the first bad exit code, or 0."""
    old = {number: signal.signal(number, lambda *_: _ask_to_stop(children)) for number in stop_signals()}
    first_bad, deadline = 0, None
    try:
        while None in (codes := [child.poll() for child in children]):
            time.sleep(POLL_S)
            bad = [code for code in codes if code]
            if bad and deadline is None:
                first_bad, deadline = bad[0], time.monotonic() + GRACE_S
            if deadline is not None and time.monotonic() > deadline:
                _end(children)
    finally:
        _end(children)
        for number, handler in old.items():
            signal.signal(number, handler)
    return first_bad or next((child.returncode for child in children if child.returncode), 0)


def _ask_to_stop(children: list[subprocess.Popen]) -> None:
    """Always by SIGTERM: a terminal's Ctrl+C reaches the children by itself, and a second SIGINT would
    end them without saving. On Windows the console tells them, and there is no signal to pass on."""
    for child in children:
        if child.poll() is None and os.name != "nt":
            child.send_signal(signal.SIGTERM)


def _end(children: list[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
