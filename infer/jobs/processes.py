"""Processes that can be ended with all their children, and what they need to find this project."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence

from infer.lib.files import REPO

STOP_GRACE_S = 5.0
NICENESS = 10  # work in the background leaves the page its share of the CPU


def new_group(background: bool = False) -> dict:
    """Popen arguments that put a child into a process group of its own, so that all of it can be stopped."""
    if os.name == "nt":
        priority = subprocess.BELOW_NORMAL_PRIORITY_CLASS if background else 0
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | priority}
    return {"start_new_session": True}


def detached() -> dict:
    """Popen arguments of a child that outlives this process, its console and its terminal."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def step_back(process: subprocess.Popen) -> None:
    """Lowers the priority of a child started with `new_group()`; Windows did so at its start."""
    if os.name != "nt":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)


def stop_tree(process: subprocess.Popen, grace_s: float = STOP_GRACE_S) -> None:
    """Ends a process started with `new_group()` and its children; kills what has not ended in time."""
    if process.poll() is None:
        stop_trees([process], grace_s)


def stop_trees(processes: Sequence[subprocess.Popen], grace_s: float = STOP_GRACE_S) -> None:
    """Likewise for several, which share the time. They must not have been waited for: see stop_tree."""
    deadline = time.monotonic() + grace_s
    for process in processes:
        _signal_group(process, force=False)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0))
    for process in processes:
        _signal_group(process, force=True)  # also children that outlived their parent
        process.wait()


def kill_group(process: subprocess.Popen) -> None:
    """Ends what is left of a process started with `new_group()` and its children."""
    _signal_group(process, force=True)


def _signal_group(process: subprocess.Popen, force: bool) -> None:
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
    elif force:
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)
    else:
        with contextlib.suppress(OSError):  # the one signal that reaches a group on Windows
            process.send_signal(signal.CTRL_BREAK_EVENT)


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
