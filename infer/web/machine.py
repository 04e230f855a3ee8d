"""What this machine has, for the page: asked from the doctor in a process of its own.

The page itself never loads torch for it. The answer is kept; `refresh` asks again. Nothing here waits
unless it is told to.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infer.jobs.runner import variables
from infer.lib.errors import RvcError
from infer.web.home import Home
from tools.asset_list import BASE_SUMS, GROUPS, Presence, presence

DOCTOR = "tools.doctor"
# What the page offers to download: the larger sets in parts, one for each sample rate.
DOWNLOADS = [group for group in GROUPS if group not in (*BASE_SUMS, "all")]
PATIENCE_S = 300.0  # a first start reads gigabytes of libraries from a slow disk


@dataclass(frozen=True)
class Device:
    """A GPU. `runs`: the installed torch can compute on it; `problem`: the doctor's words against it."""

    device: str
    name: str
    capability: str
    memory_gib: float
    free_gib: float | None
    runs: bool
    usable: bool
    problem: str = ""

    @property
    def label(self) -> str:
        """ "cuda:0 NVIDIA H200 (140 GiB)": proper names only, the same in every language."""
        return f"{self.device} {self.name} ({self.memory_gib:.0f} GiB)"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor. `remedy` is empty where all is well."""

    section: str
    name: str
    value: str
    remedy: str = ""
    fatal: bool = False


@dataclass(frozen=True)
class Facts:
    """The doctor's answer. `settings`: what config.py comes to with each device that can be chosen."""

    works: bool
    devices: tuple[Device, ...] = ()
    findings: tuple[Finding, ...] = ()
    ram_gib: float = 0.0
    free_ram_gib: float = 0.0
    disk_gib: float = 0.0
    free_disk_gib: float = 0.0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    failure: str = ""  # why the doctor gave no answer

    @property
    def problems(self) -> list[Finding]:
        """What needs attention. A GPU that is not chosen is told with the devices."""
        told = {device.device for device in self.devices}
        found = [finding for finding in self.findings if finding.remedy or finding.fatal]
        return [finding for finding in found if finding.name not in told]

    def section(self, name: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.section == name]

    def device(self, name: str) -> Device | None:
        return next((device for device in self.devices if device.device == name), None)


@dataclass
class Machine:
    """The facts, asked once in the background and again on demand. Safe to call from many threads."""

    home: Home
    command: Sequence[str] = (sys.executable, "-m", DOCTOR, "--json")
    _facts: Facts | None = None
    _asking: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def facts(self, wait: bool = False) -> Facts | None:
        """The last answer; None while the first one is on its way. `wait` stays until it is there."""
        if self._facts is None:
            self.refresh(wait)
        return self._facts

    def refresh(self, wait: bool = False) -> None:
        """Asks the doctor (once at a time) in the background."""
        with self._lock:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._ask, name="doctor", daemon=True)
                self._asking.start()
            asking = self._asking
        if wait:
            asking.join()

    def models(self) -> list[Presence]:
        """Which downloads are there now. Looks at the disk itself, which takes no time."""
        return [presence(group, self.home.assets) for group in DOWNLOADS]

    @property
    def busy(self) -> bool:
        asking = self._asking
        return asking is not None and asking.is_alive()

    def _ask(self) -> None:
        try:
            self._facts = read_facts(self._answer())
        except RvcError as error:
            self._facts = Facts(works=False, failure=str(error))

    def _answer(self) -> str:
        try:
            done = subprocess.run(
                list(self.command),
                cwd=self.home.root,
                env=variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=PATIENCE_S,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except subprocess.TimeoutExpired as error:
            raise RvcError("the doctor did not answer in time", "try again") from error
        except OSError as error:
            raise RvcError("the doctor could not be started", str(error)) from error
        if not done.stdout.strip():
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise RvcError("the doctor gave no answer", last[0])
        return done.stdout


def read_facts(text: str) -> Facts:
    """The doctor's JSON. Raises RvcError for anything else (a library may have printed before it)."""
    try:
        answer = json.loads(text[text.index("{\n") :])
        facts = answer["facts"]
        findings = [
            Finding(section, **finding)
            for section, entries in answer.items()
            if isinstance(entries, list)
            for finding in entries
        ]
        return Facts(
            works=answer["works"],
            devices=tuple(Device(**gpu) for gpu in facts["gpus"]),
            findings=tuple(findings),
            settings=facts["settings"],
            **{name: facts[name] for name in ("ram_gib", "free_ram_gib", "disk_gib", "free_disk_gib")},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RvcError("the doctor's answer cannot be read", f"{type(error).__name__}: {error}") from error
