"""`python -m tools.cmd.infer_cli INPUT OUTPUT`: converts a recording, or all recordings of a folder."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started as a file, which hides the project's modules: once more as a module
    home = str(Path(__file__).resolve().parents[2])
    again = [sys.executable, "-P", "-m", "tools.cmd.infer_cli", *sys.argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, "PYTHONPATH": home}).returncode)

import config
from infer.jobs.command import option
from infer.jobs.stage import stage_main
from infer.vc.options import ConvertOptions

DEFAULT_OUTPUT = Path("opt")
PRECISIONS = ("auto", "fp16", "fp32")


@dataclass(frozen=True)
class InferOptions(ConvertOptions):
    """Convert a recording, or a folder with everything below it, to another voice.

    RVC's flag names are understood too. Existing results are replaced.
    """

    input: Path | None = option(None, help="recording or folder", positional=True)
    output: Path | None = option(
        None,
        help="folder, or for one recording a file (.wav .flac .mp3 .m4a .ogg); default opt",
        positional=True,
    )
    input_path: Path | None = option(None, help="the same as INPUT")
    opt_path: Path | None = option(None, help="the same as OUTPUT")
    speaker: str = option("", help="speaker by name, instead of --speaker-id (default: the first)")
    model_name: str | None = option(
        None, help="voice: a file name in weights/, or a path (default: the demo voices, starter)"
    )
    index_path: str | None = option(
        None, help="feature index (default: found by the voice's name below logs/)"
    )
    encoder: str = option(
        "auto", help="content encoder: auto is the one the voice was made with; hubert, starter, or a path"
    )
    device: str = option("auto", help="auto, cpu, cuda:0, ...")
    precision: str = option("auto", help="of the networks", choices=PRECISIONS)
    is_half: bool | None = option(None, help="RVC's flag: yes is --precision=fp16, no is --precision=fp32")
    assets: Path | None = option(None, help="folder of the models (default: assets/)")
    x_pad: float = option(0.0, help="seconds of context around a piece; 0 = as in config.py")
    x_query: float = option(0.0, help="seconds around a cut in which a quiet point is sought")
    x_center: float = option(0.0, help="seconds between cuts")
    x_max: float = option(0.0, help="recordings up to so many seconds are not cut")

    def __post_init__(self):
        super().__post_init__()
        self._same("input", "input_path", "the recording or folder to convert")
        self._same("output", "opt_path", "the output")
        for name in ("x_pad", "x_query", "x_center", "x_max"):
            if not 0 <= getattr(self, name) < math.inf:  # also false for NaN
                raise ValueError(f"{name} is {getattr(self, name)}; it must be seconds, or 0 as in config.py")
        if self.input is None:
            raise ValueError("say what to convert: INPUT, a recording or a folder")
        if self.is_half is not None and self.precision == "auto":
            object.__setattr__(self, "precision", "fp16" if self.is_half else "fp32")

    def _same(self, name: str, other: str, what: str) -> None:
        """One value for a positional and its flag."""
        value, flag = getattr(self, name), getattr(self, other)
        if value is not None and flag is not None and value != flag:
            raise ValueError(f"{what} is given twice: {value} and {flag}")
        for field in (name, other):
            object.__setattr__(self, field, value if value is not None else flag)


def main(argv: list[str] | None = None) -> int:
    return stage_main(
        InferOptions, "tools.cmd.convert", argv, settle=config.settle, prog="python -m tools.cmd.infer_cli"
    )


if __name__ == "__main__":
    sys.exit(main())
