"""A text for asking others for help: this machine, the last job, its reason; nobody's folders or name."""

import getpass
import ntpath
import os
import posixpath
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from infer.jobs.detached import Job
from infer.web.home import Home
from infer.web.machine import Facts

LOG_LINES = 40
ANYBODY = "USER"
_SHORTEST_NAME = 3  # shorter user names are parts of too many words
# A name with blanks is told from a sentence by the separator behind it.
_HOMES = re.compile(
    r"""(?i)((?:/home|/users|[a-z]:[\\/]+users)[\\/]+)(?:[^\\/'":;,\n]+(?=[\\/])|[^\\/\s'":;,]+)"""
)


def diagnostics(facts: Facts, home: Home, device: str, jobs: Sequence[Job] = (), lines=lambda job: ()) -> str:
    """English, as it is for those who help. `lines(job.id)` gives the last sentences of a job."""
    job = telling(jobs)
    parts = [_machine(facts, device)]
    if job:
        parts.append(_job(job, lines(job.id)))
    return without_private("\n\n".join(parts), home, job.displays if job else ())


def telling(jobs: Sequence[Job]) -> Job | None:
    """The newest job that went wrong, else the newest."""
    wrong = (job for job in jobs if job.state in ("failed", "interrupted"))
    return next(wrong, jobs[0] if jobs else None)


def without_private(text: str, home: Home, command_lines: Iterable[str] = ()) -> str:
    """`text` without the user's folders and name.

    The program's folder becomes ".", the user's "~"; what a command line of a job was given as a folder
    elsewhere becomes the flag's name.
    """
    known = [(str(home.root), "."), (str(Path.home()), "~"), (tempfile.gettempdir(), "TEMP")]
    known.append((sys.executable, "python"))
    folders = {"LOGS": home.logs, "WEIGHTS": home.weights, "ASSETS": home.assets, "OUTPUT": home.output}
    known += [(str(path), word) for word, path in folders.items() if not path.is_relative_to(home.root)]
    given = [pair for line in command_lines for pair in _given(line)]
    known += [pair for pair in given if not pair[0].startswith((str(home.root), sys.executable))]
    for path, word in sorted(known, key=lambda pair: -len(pair[0])):
        text = _replaced(text, path, word)
    text = _HOMES.sub(rf"\1{ANYBODY}", text)
    name = _user_name()
    if len(name) >= _SHORTEST_NAME:
        text = re.sub(rf"(?i)(?<![^\W_]){re.escape(name)}(?![^\W_])", ANYBODY, text)
    return text


def _machine(facts: Facts, device: str) -> str:
    lines = [f"device in use: {device}"]
    if facts.failure:
        lines.append(f"doctor: {facts.failure}")
    for section, findings in groupby(facts.findings, key=lambda finding: finding.section):
        lines.append(f"{section}:")
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            lines.append(f"  {finding.name}: {finding.value}{remedy}")
    return "\n".join(lines)


def _job(job: Job, lines: Iterable[str]) -> str:
    told = [f"last job: {job.state}, step {job.step + 1} of {len(job.steps)} ({', '.join(job.steps)})"]
    if job.reason:
        told.append(f"reason: {job.reason}")
    told += [f"$ {line}" for line in job.displays]
    return "\n".join([*told, "log:", *(f"  {line}" for line in list(lines)[-LOG_LINES:])])


def _given(command_line: str) -> list[tuple[str, str]]:
    """(path, word to show) of everything absolute in a command line, the interpreter included."""
    found = []
    for word in _words(command_line):
        flag, equals, value = word.partition("=")
        value, flag = (value, flag) if equals and flag.startswith("--") else (word, "PATH")
        if len(value) > 1 and (posixpath.isabs(value) or ntpath.splitdrive(value)[0]):
            found.append((value, f"<{flag.lstrip('-')}>"))
    return found


def _words(command_line: str) -> list[str]:
    if os.name == "nt":
        return [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', command_line)]
    try:
        return shlex.split(command_line)
    except ValueError:
        return command_line.split()


def _replaced(text: str, path: str, word: str) -> str:
    """Also where the path is written as Python or JSON would, or with the other slash."""
    forms = {path, path.replace("\\", "\\\\"), path.replace("\\", "/"), repr(path)[1:-1]}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) > 1:
            text = text.replace(form, word)
    return text


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # a container without an entry for its user
