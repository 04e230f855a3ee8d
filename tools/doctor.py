"""What this machine has, and what is missing: `python -m tools.doctor`. Paste its output into a report."""

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # started as a file, which hides the project's modules: once more as a module
    home = str(Path(__file__).resolve().parent.parent)
    again = [sys.executable, "-P", "-m", "tools.doctor", *sys.argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, "PYTHONPATH": home}).returncode)

import config
from infer.jobs.command import option, parse
from infer.jobs.stage import EXIT_DONE, EXIT_EXPECTED
from infer.lib import devices
from infer.lib.errors import RvcError
from tools.asset_list import SHOWN_GROUPS, presence
from tools.doctor_facts import facts, why_not
from tools.environment import find_cards

STARTER = "starter/content_encoder.safetensors"
LOW_DISK_GIB = 5
RUNTIME_DLL = "on Windows install the Microsoft Visual C++ Redistributable (x64)"
REINSTALL = "delete the folder .venv and start go-web again"


@dataclass(frozen=True)
class Library:
    """A package with native code: its import name, its name in requirements.txt, what fails without it."""

    module: str
    package: str
    serves: str
    needed: bool = True  # without it neither conversion nor training works


LIBRARIES = (
    Library("torch", "torch", "everything"),
    Library("torchaudio", "torchaudio", "the HuBERT content encoder and rmvpe"),
    Library("numpy", "numpy", "everything"),
    Library("scipy", "scipy", "filters"),
    Library("soundfile", "soundfile", "wav, flac and ogg files"),
    Library("av", "av", "mp3, m4a and video files"),
    Library("soxr", "soxr", "resampling"),
    Library("librosa", "librosa", "mel filters"),
    Library("safetensors", "safetensors", "the shipped content encoder"),
    Library("faiss", "faiss-cpu", "the feature index", needed=False),
    Library("pyworld", "pyworld", "pitch methods harvest and dio", needed=False),
    Library("parselmouth", "praat-parselmouth", "pitch method pm", needed=False),
    Library("torchcrepe", "torchcrepe", "pitch methods crepe and crepe-tiny", needed=False),
    Library("torchfcpe", "torchfcpe", "pitch method fcpe", needed=False),
    Library("tensorboard", "tensorboard", "training curves", needed=False),
    Library("httpx", "httpx", "downloads", needed=False),
    Library("huggingface_hub", "huggingface_hub", "downloads", needed=False),
    Library("gradio", "gradio", "the page", needed=False),
)


@dataclass(frozen=True)
class DoctorOptions:
    """Show versions, devices, models, native libraries and free disk. Ends with 3 if something is broken."""

    json: bool = option(False, help="one JSON object instead of text")


@dataclass(frozen=True)
class Finding:
    """One line of the answer. `remedy` is empty where all is well; `fatal` makes the exit code 3."""

    name: str
    value: str
    remedy: str = ""
    fatal: bool = False


def examine() -> dict[str, list[Finding]]:
    """Everything, by section."""
    return {
        "system": system(),
        "devices": graphics() + chosen(),
        "libraries": [check_library(library) for library in LIBRARIES],
        "models": models(config.ASSETS),
        "disk": [disk(config.ROOT)],
    }


def system() -> list[Finding]:
    """Python, operating system, cores and memory."""
    return [
        Finding("Python", platform.python_version()),
        Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Finding("cores", str(devices.core_count())),
        Finding("free memory", f"{devices.free_ram_gib():.1f} of {devices.total_ram_gib():.1f} GiB"),
    ]


def graphics() -> list[Finding]:
    """The GPUs, and for each that cannot be used the reason."""
    try:
        found = devices.gpus()
    except (ImportError, OSError) as error:
        return [Finding("GPU", f"unknown, torch does not load ({error})", REINSTALL, fatal=True)]
    if not found:
        remedy = (
            "the driver shows a GPU: start go-web --gpu once, or update the driver" if find_cards() else ""
        )
        return [Finding("GPU", "none that torch can use; on the CPU training is slow", remedy)]
    return [Finding(gpu.device, str(gpu).removeprefix(f"{gpu.device} "), why_not(gpu)) for gpu in found]


def chosen() -> list[Finding]:
    """What config.py comes to on this machine."""
    try:
        settings = config.settings()
    except RvcError as error:
        return [Finding("config.py", "cannot be used", str(error), fatal=True)]
    except (ImportError, OSError):
        return []  # reported with the libraries
    plan = f"{settings.x_pad}, {settings.x_query}, {settings.x_center}, {settings.x_max}"
    return [
        Finding("conversion", f"{settings.device}, {settings.precision}"),
        Finding("training", f"{settings.device}, {settings.training_precision}"),
        Finding("x_pad, x_query, x_center, x_max", plan),
        Finding("workers", str(settings.workers)),
    ]


def check_library(library: Library) -> Finding:
    """Does it load? A missing DLL or a damaged package shows here, not in the middle of a run."""
    try:
        importlib.import_module(library.module)
        return Finding(library.package, importlib.metadata.version(library.package))
    except (ImportError, OSError, AttributeError, RuntimeError, ValueError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == library.module
        reason = "is missing" if missing else f"does not load ({type(error).__name__}: {error})"
        remedy = REINSTALL if missing else f"{REINSTALL}; {RUNTIME_DLL}"
        return Finding(library.package, f"{reason}; it serves {library.serves}", remedy, library.needed)


def models(assets: Path) -> list[Finding]:
    """Which models are there. Only the shipped starter must be."""
    found = []
    if not (assets / STARTER).is_file():
        found.append(Finding("starter", "missing", "restore assets/starter from the program's archive", True))
    else:
        found.append(Finding("starter", "there"))
    for group in SHOWN_GROUPS:
        now = presence(group, assets)
        remedy = f"incomplete: go-web download {group}" if now.short else ""
        found.append(Finding(group, f"{now.there} of {now.wanted} files", remedy))
    voices = [path for folder in (config.WEIGHTS, assets / "weights") for path in folder.glob("*.pth")]
    return [*found, Finding("voices", str(len(voices)))]


def disk(root: Path) -> Finding:
    """Free space where experiments and voices are written."""
    free = shutil.disk_usage(root).free / devices.GIB
    remedy = "training checkpoints need a few GiB each run" if free < LOW_DISK_GIB else ""
    return Finding("free disk", f"{free:.1f} GiB", remedy)


def as_text(sections: dict[str, list[Finding]]) -> str:
    """Aligned lines; what needs attention is marked."""
    lines = []
    for title, findings in sections.items():
        lines.append(f"{title}:")
        width = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            lines.append(f"  {finding.name:{width}}  {finding.value}")
            if finding.remedy:
                lines.append(f"  {'':{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def without_home(text: str) -> str:
    """The user's name stays private: error messages hold paths (in JSON with doubled backslashes)."""
    for path, short in ((config.ROOT, "."), (Path.home(), "~")):
        text = text.replace(json.dumps(str(path))[1:-1], short).replace(str(path), short)
    return text


def main(argv: list[str] | None = None) -> int:
    """0 if the program can work here, 3 if something is broken."""
    options = parse(DoctorOptions, sys.argv[1:] if argv is None else argv, "python -m tools.doctor")
    sections = examine()
    fatal = any(finding.fatal for findings in sections.values() for finding in findings)
    if options.json:
        plain = {title: [asdict(finding) for finding in findings] for title, findings in sections.items()}
        print(without_home(json.dumps({"works": not fatal, **plain, "facts": facts()}, indent=1)))
    else:
        print(without_home(as_text(sections)))
        print("Something is broken: see the lines with ->." if fatal else "The program can work here.")
    return EXIT_EXPECTED if fatal else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
