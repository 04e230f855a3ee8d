"""F0 methods behind one table: `METHODS` says what exists, `estimator()` makes one work.

Everything here is light (the command line and the page read it); the method's own module, with
its native library or network, is imported when `estimator()` is called. All methods look at
16 kHz audio, every 10 ms, between 50 and 1100 Hz.

A new method: one module with `load(name, device, path) -> tracker` (see tracking.py), and one
line in `METHODS`.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infer.lib.errors import BadInput, MissingFile

if TYPE_CHECKING:
    from infer.lib.f0.curve import F0Curve
    from infer.lib.f0.tracking import Estimator

SAMPLE_RATE = 16000
HOP = 160  # samples: 10 ms


@dataclass(frozen=True)
class Method:
    """One way to find the pitch. `file` is its model below the assets folder, if it needs one."""

    name: str
    module: str
    label: str
    file: str | None = None
    uses_gpu: bool = False
    extra_frame: bool = True  # samples // 160 + 1 frames; Praat's track is centred in samples // 160
    smoothed: bool = False  # the filter radius control applies

    def frames(self, n_samples: int) -> int:
        """Frames of a curve for `n_samples` at 16 kHz, as stored for training."""
        return n_samples // HOP + int(self.extra_frame)

    def path(self, assets: Path) -> Path | None:
        """Where the model file belongs."""
        return Path(assets) / self.file if self.file else None


_TABLE = (
    Method("pm", "pm", "pm: Praat autocorrelation, fastest", extra_frame=False),
    Method("harvest", "harvest", "harvest: WORLD, good for low voices, slow", smoothed=True),
    Method("dio", "dio", "dio: WORLD, fast, for clean recordings"),
    Method("crepe", "crepe", "crepe: neural, accurate, wants a GPU", uses_gpu=True),
    Method("crepe-tiny", "crepe", "crepe-tiny: small crepe", uses_gpu=True),
    Method("rmvpe", "rmvpe", "rmvpe: neural, robust, best for most", file="rmvpe/rmvpe.pt", uses_gpu=True),
    Method("fcpe", "fcpe", "fcpe: neural, fast and accurate", uses_gpu=True),
)
METHODS: dict[str, Method] = {method.name: method for method in _TABLE}

AUTO = "auto"
PREFERRED_METHOD, METHOD_WITHOUT_DOWNLOAD = "rmvpe", "fcpe"


def preferred_method(wanted: str, assets: Path) -> str:
    """`wanted`; "auto" means rmvpe where its model is installed, else fcpe."""
    if wanted != AUTO:
        return wanted
    path = METHODS[PREFERRED_METHOD].path(assets)
    return PREFERRED_METHOD if path.is_file() else METHOD_WITHOUT_DOWNLOAD


def find_method(name: str) -> Method:
    """The method of that name; BadInput lists the names there are."""
    if name not in METHODS:
        raise BadInput(f"there is no pitch method {name!r}", "choose one of " + ", ".join(METHODS))
    return METHODS[name]


def require_file(method: Method, assets: Path) -> Path | None:
    """The method's model file (None if it needs none); MissingFile says how to get it."""
    path = method.path(assets)
    if path is not None and not path.is_file():
        raise MissingFile(
            f"the model of pitch method {method.name} is not there: {path}",
            f"download it with: python tools/download_assets.py {method.name}",
        )
    return path


def estimator(method: str, device: str = "cpu", assets: Path = Path("assets")) -> "Estimator":
    """An estimator that keeps its model in memory; several voices may share it.

    `estimator(...)(audio16k [N] float32, frames=None)` gives an F0Curve, unvoiced frames 0. No
    smoothing is applied to it: see `smooth`. Raises MissingFile for a missing model or package.
    """
    from infer.lib.f0.tracking import Estimator

    entry = find_method(method)
    path = require_file(entry, assets)
    module = importlib.import_module(f"infer.lib.f0.{entry.module}")
    return Estimator(entry, module.load(entry.name, device if entry.uses_gpu else "cpu", path))


def smooth(curve: "F0Curve", method: str, radius: int) -> "F0Curve":
    """The filter radius control: RVC's median filter for harvest, nothing for other methods."""
    return curve.median(radius) if find_method(method).smoothed else curve
