"""The main() that all commands share: parse, resolve, run, report, exit code.

Exit codes: 0 done, 1 a bug (traceback), 2 wrong arguments, 3 an expected failure.
The module with the work is imported only after the arguments were read, so that `--help`
and a wrong flag answer at once, without torch.
"""

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from infer.jobs.command import parse
from infer.jobs.events import Failed, Report, Reporter
from infer.jobs.lifeline import tied_to_reader
from infer.lib.errors import RvcError

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_EXPECTED = 0, 1, 2, 3
_CHOOSE = "choose a folder that can be written, or change its permissions"
REMEDIES = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EROFS: _CHOOSE,
    errno.EACCES: _CHOOSE,
    errno.EPERM: _CHOOSE,
    errno.EEXIST: "a file stands where a folder is needed; choose another name",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another name",
}


def stage_main(
    options_class: type,
    run_module: str,
    argv: Sequence[str] | None = None,
    settle: Callable[[Any], Any] | None = None,
    report: Report | None = None,
    *,
    prog: str | None = None,
) -> int:
    """Parse `argv`, import `run_module`, call its `run(options, report)`; returns the exit code.

    `settle` turns "auto" fields into this machine's values (see config.py). `prog` is what `--help`
    calls the command, if it is more than the module of `run`.
    """
    name = run_module.removesuffix(".run").rpartition(".")[2]
    _utf8_streams()
    try:
        options = parse(options_class, sys.argv[1:] if argv is None else argv, prog or _prog(run_module))
    except SystemExit as stop:
        return int(stop.code or 0)
    report = report or Reporter()
    with tied_to_reader(sys.stdout):
        return _run(options, (name, run_module), settle, report)


def _run(options: Any, stage: tuple[str, str], settle: Callable[[Any], Any] | None, report: Report) -> int:
    """Imports and runs the work; every failure is told and becomes an exit code."""
    name, run_module = stage
    try:
        options = settle(options) if settle else options
        module = importlib.import_module(run_module)
        name = getattr(module, "STAGE", name)
        module.run(options, report)
        return EXIT_DONE
    except RvcError as error:
        report(Failed(name, str(error)))
        return EXIT_EXPECTED
    except OSError as error:
        report(Failed(name, os_sentence(error)))
        return EXIT_EXPECTED
    except KeyboardInterrupt:
        report(Failed(name, "stopped; run the same command again to go on"))
        return EXIT_EXPECTED
    except Exception as error:  # noqa: BLE001 - the outermost frame of a command
        traceback.print_exc()
        report(Failed(name, f"internal error: {type(error).__name__}: {error}"))
        return EXIT_BUG


def os_sentence(error: OSError) -> str:
    """A full disk or a read-only folder, in one sentence."""
    where = f" {error.filename}" if error.filename else ""
    remedy = REMEDIES.get(error.errno, "")
    return f"the system refused to read or write{where}: {error.strerror or error}{remedy and '; '}{remedy}"


def _prog(run_module: str) -> str:
    return f"python -m {run_module.removesuffix('.run')}"


def _utf8_streams() -> None:
    """File names in any language reach a Windows console or a C-locale pipe unharmed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    os.environ.setdefault("PYTHONIOENCODING", "utf-8")
