"""The program's own Python environment, `.venv`: made if missing, repaired if half made, else kept.

Runs on the system's Python before anything is installed: standard library only. The file
`.venv/installed.json` is written last and holds what was installed; an environment without it,
or with another content of the requirement files, is completed.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infer.lib.errors import BadInput, MissingFile, RvcError

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 11), (3, 12))
RUNTIME, TESTS = "requirements.txt", "tests/requirements.txt"
NEEDED_GIB = 8  # the CUDA build of torch takes 6 when unpacked

# Builds of torch. "plain" is the package index's own: on Linux it serves GPU and CPU alike, on Windows
# it is for the CPU. The others come from PyTorch's index; cu126 still has code for older GPUs.
PLAIN, CPU, CUDA, OLD_CUDA = "plain", "cpu", "cu130", "cu126"
TORCH_INDEX = "https://download.pytorch.org/whl"
CUDA13_CAPABILITY, CUDA13_DRIVER = (7, 5), 580
CUDA12_CAPABILITY, CUDA12_DRIVER = (5, 3), 525
REACH_S = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Card:
    """A GPU as its driver describes it."""

    driver: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Installed:
    """What `.venv` holds. `files`: requirement file -> sha256 of its content."""

    build: str = ""
    files: dict[str, str] = field(default_factory=dict)


def ensure(root: Path = ROOT, build: str | None = None, tests: bool = False, say: Say = print) -> Path:
    """The environment's Python; installs what is missing. `build`: "gpu", "cpu", or None to look.

    Raises RvcError with what to do, and leaves an unfinished environment to the next call.
    """
    python = python_of(root)
    stamp = root / ".venv" / "installed.json"
    old = read_stamp(stamp) if python.exists() else Installed()
    kept = old.build if old.build and build is None else choose_build(build)
    wanted = {name: _sha256(root / name) for name in ([RUNTIME, TESTS] if tests else [RUNTIME])}
    if old.build == kept and wanted.items() <= old.files.items():
        return python
    say("Preparing the Python environment in .venv; the first time this takes several minutes.")
    if not _runs(python):
        make(root, say)
    stamp.unlink(missing_ok=True)
    install_torch(root, kept, replace=old.build not in ("", kept), say=say)
    for name in wanted:
        pip(python, ["-r", str(root / name)])
    _link(root, python)
    _write_stamp(stamp, Installed(kept, {**old.files, **wanted}))
    return python


def python_of(root: Path) -> Path:
    """Where the environment's interpreter is on this system."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make(root: Path, say: Say = print) -> None:
    """A fresh, empty `.venv`. Raises RvcError if Python or the disk cannot."""
    if sys.version_info[:2] not in SUPPORTED:
        raise BadInput(f"Python {sys.version.split()[0]} is not supported", "install Python 3.11 or 3.12")
    free = shutil.disk_usage(root).free / 1024**3
    if free < NEEDED_GIB:
        raise BadInput(f"only {free:.1f} GiB are free on the disk of {root}", f"{NEEDED_GIB} GiB are needed")
    say(f"Making .venv with Python {sys.version.split()[0]}.")
    try:
        venv.create(root / ".venv", with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError, ImportError) as error:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise MissingFile(
            f"Python cannot make the environment {root / '.venv'} ({error})",
            f"make the folder writable and, on Debian or Ubuntu, install the package {name}",
        ) from error


def choose_build(wanted: str | None, system: str = sys.platform, cards: list[Card] | None = None) -> str:
    """The build of torch for "gpu", "cpu", or what the machine has."""
    windows = system == "win32"
    if wanted == "cpu":
        return CPU if system == "linux" else PLAIN
    cards = find_cards() if cards is None else cards
    newest = CUDA if windows else PLAIN
    if any(card.capability >= CUDA13_CAPABILITY and card.driver >= CUDA13_DRIVER for card in cards):
        return newest
    if any(card.capability >= CUDA12_CAPABILITY and card.driver >= CUDA12_DRIVER for card in cards):
        return OLD_CUDA
    return newest if wanted == "gpu" else PLAIN


def find_cards() -> list[Card]:
    """NVIDIA's cards, empty if there are none or the driver is broken."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        Card(int(match[1]), (int(match[2]), int(match[3])))
        for match in re.finditer(r"^\s*(\d+)[\d.]*\s*,\s*(\d+)\.(\d+)\s*$", answer, re.MULTILINE)
    ]


def install_torch(root: Path, build: str, replace: bool, say: Say = print) -> None:
    """torch and torchaudio first, from the index of their build; the other packages then find them."""
    packages = torch_packages(root / RUNTIME)
    source: list[str] = []
    if build != PLAIN:
        index = f"{TORCH_INDEX}/{build}"
        if reachable(index):
            source = ["--index-url", index]
        else:
            say(f"{index} cannot be reached: the package index's own build of torch is installed instead.")
    elif not replace:
        return  # comes with the other requirements
    pip(python_of(root), [*source, *(["--force-reinstall"] if replace else []), *packages])


def torch_packages(requirements: Path) -> list[str]:
    """The pinned lines `torch==...` and `torchaudio==...`."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if re.match(r"torch(audio)?==", line)]


def reachable(url: str) -> bool:
    """Does the server answer at all within a few seconds?"""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/torch/", method="HEAD"), timeout=REACH_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def pip(python: Path, arguments: list[str]) -> None:
    """`pip install`, its output shown. Raises RvcError if it fails."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, env=clean_environment()).returncode:
        raise RvcError(
            "the installation stopped (the reason stands above)",
            "check the internet connection and the free disk space, then run the same command again",
        )


def clean_environment() -> dict[str, str]:
    """This process's variables without those that mix foreign packages into the environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}


def read_stamp(path: Path) -> Installed:
    """What was installed; empty if the file is missing or damaged."""
    try:
        return Installed(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Installed()


def _write_stamp(path: Path, installed: Installed) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(installed), indent=1), encoding="utf-8")
    temporary.replace(path)


def _link(root: Path, python: Path) -> None:
    """Lets the environment's Python find this folder's modules from any working directory."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    try:
        Path(answer.stdout.strip(), "rvc-webui.pth").write_text(f"{root}\n", encoding=None)
    except UnicodeEncodeError:
        return  # the launchers set PYTHONPATH, which can name every folder


def _runs(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
