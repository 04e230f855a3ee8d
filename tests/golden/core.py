"""Golden cases: finding them, comparing arrays with their tolerance, one line for each case."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.lib.models.spec import FEATURE_DIMS as DIM
from infer.lib.retrieval import FeatureIndex
from tests.golden import synthetic_weights


@dataclass(frozen=True)
class Result:
    """One compared quantity. `error` is what `tolerance` bounds; both in the unit named."""

    name: str
    error: float
    tolerance: float
    unit: str = "of peak"

    @property
    def passed(self) -> bool:
        return bool(np.isfinite(self.error)) and self.error <= self.tolerance

    def line(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        error = f"largest error {self.error:.3g} {self.unit}"
        return f"{verdict} {self.name}: {error}, tolerance {self.tolerance:.3g}"


# Where the golden data lies beside a checkout: other folders may use its indexes and lists.
COMMON = Path(__file__).resolve().parents[3] / "shared" / "golden"


class Folder:
    """A folder laid out like the golden data; files of one prefix belong together."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.is_file())

    def find(self, *names: str) -> Path | None:
        """The first of `names` that exists in this folder."""
        return next((self.root / name for name in names if (self.root / name).is_file()), None)

    def find_common(self, *names: str) -> Path | None:
        """The first of `names` that exists in this folder, else in the common one."""
        return self.find(*names) or Folder(COMMON).find(*names)

    def spec(self, model: str) -> dict:
        """Names and shapes of a network, from this folder's list or from ours."""
        theirs = self.find("specs.json.gz")
        if theirs and model in synthetic_weights.load_specs(theirs)["models"]:
            return synthetic_weights.load_spec(model, theirs)
        return synthetic_weights.load_spec(model)

    def weights(self, model: str) -> dict:
        """Synthetic tensors {name: torch tensor} of a network."""
        import torch

        arrays = synthetic_weights.fill(self.spec(model))
        return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


class Case:
    """One golden file. `arrays` are its own, `inputs` completed by those of its sister of version 2.2."""

    def __init__(self, folder: Folder, path: Path, kind: str):
        self.folder, self.path, self.kind = folder, path, kind
        self.arrays = _arrays(path) if path.suffix == ".npz" else {}
        # Files that end in _23 may hold results only; their inputs are those of _22.
        sister = re.sub(r"_23(?=\.npz$)", "_22", path.name)
        beside = folder.find(sister, sister.removeprefix(self.prefix)) if sister != path.name else None
        self.inputs = {**_arrays(beside), **self.arrays}

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def prefix(self) -> str:
        """What stands before the kind, e.g. `held_`."""
        return self.path.name[: self.path.name.index(self.kind)]

    @property
    def flavour(self) -> str:
        """Which upstream version the numbers belong to."""
        return "2.3" if self.name.endswith("_23") else "2.2"

    def token(self, pattern: str) -> str | None:
        """The part of the file name that matches, between underscores."""
        match = re.search(rf"(?:^|_)({pattern})(?=_|$)", self.name)
        return match[1] if match else None

    @property
    def version(self) -> str:
        """From the name, else from the width of the features, else v2."""
        if found := self.token("v1|v2"):
            return found
        shape = self.inputs["phone"].shape if "phone" in self.inputs else self.inputs.get("batch_shape_phone")
        return "v1" if shape is not None and shape[-1] == DIM["v1"] else "v2"

    @property
    def rate_label(self) -> str:
        if found := self.token("32k|40k|48k"):
            return found
        rate = self.setting("sample_rate", "sr", "rate", default="40k")
        return rate if isinstance(rate, str) else f"{int(rate) // 1000}k"

    @property
    def sample_rate(self) -> int:
        return int(self.rate_label[:-1]) * 1000

    @property
    def use_f0(self) -> bool:
        """From the name, else by the arrays: only a voice with pitch has some."""
        if found := self.token("f0|nof0"):
            return found == "f0"
        return any(name in self.inputs for name in ("pitch", "batch_pitch", "batch_shape_pitch", "coarse"))

    def model(self, family: str) -> str:
        return f"{family}.{self.version}.{self.rate_label}.{'f0' if self.use_f0 else 'nof0'}"

    def json(self) -> dict:
        """The JSON file beside the arrays."""
        beside = self.folder.find(self.path.with_suffix(".json").name)
        values = json.loads(beside.read_text(encoding="utf-8")) if beside else {}
        return values if isinstance(values, dict) else {}

    def setting(self, *names: str, default):
        """A single value stored with the case or in its JSON file, else the documented one."""
        described = self.json()
        for name in names:
            if name in self.inputs and np.size(self.inputs[name]) == 1:
                return np.asarray(self.inputs[name]).reshape(()).item()
            if isinstance(described.get(name), int | float | str):
                return described[name]
        return default

    def index_path(self, dim: int) -> Path:
        """The index of this width: one the case names, else that of its own prefix, else the common one."""
        texts = [*map(_text, self.inputs.values()), *self.json().values()]
        named = [Path(text).name for text in texts if isinstance(text, str) and "index" in text]
        usual = [f"{self.prefix}index_parts_{dim}.index", f"index_parts_{dim}.index"]
        others = sorted(path.name for path in self.folder.root.glob(f"*index*{dim}*.index"))
        for name in [*named, *usual, *others]:
            path = self.folder.find_common(name, f"{name}.index")
            if path and FeatureIndex.load(path).dim == dim:
                return path
        raise FileNotFoundError(f"there is no index of width {dim} for {self.path.name}")

    # comparisons ------------------------------------------------------------------------------

    def of_peak(self, what: str, ours, golden, tolerance: float = 1e-4) -> Result:
        ours, golden = _pair(ours, golden)
        if ours.shape != golden.shape:
            return self.mismatch(what, ours.shape, golden.shape, tolerance)
        peak = max(float(np.abs(golden).max(initial=0)), 1e-30)
        return Result(f"{self.name} {what}", _largest(ours - golden) / peak, tolerance)

    def absolute(self, what: str, ours, golden, tolerance: float) -> Result:
        ours, golden = _pair(ours, golden)
        if ours.shape != golden.shape:
            return self.mismatch(what, ours.shape, golden.shape, tolerance)
        return Result(f"{self.name} {what}", _largest(ours - golden), tolerance, "absolute")

    def relative(self, what: str, ours, golden, tolerance: float) -> Result:
        ours, golden = _pair(ours, golden)
        if ours.shape != golden.shape:
            return self.mismatch(what, ours.shape, golden.shape, tolerance)
        scale = np.maximum(np.abs(golden), 1e-30)
        error = np.where(ours == golden, 0.0, np.abs(ours - golden) / scale)
        return Result(f"{self.name} {what}", _largest(error), tolerance, "relative")

    def equal(self, what: str, ours, golden) -> Result:
        """Exact equality of numbers, texts or structures; the error is 0 or 1."""
        if isinstance(golden, np.ndarray) or isinstance(ours, np.ndarray):
            same = np.shape(ours) == np.shape(golden) and bool(np.array_equal(ours, golden))
        else:
            same = ours == golden
        return Result(f"{self.name} {what}", 0.0 if same else 1.0, 0.0, "(exact)")

    def mismatch(self, what: str, ours, golden, tolerance: float) -> Result:
        return Result(f"{self.name} {what} has shape {tuple(ours)}, not {tuple(golden)}", np.inf, tolerance)


Check = Callable[[Case], Iterator[Result]]


def _arrays(path: Path | None) -> dict[str, np.ndarray]:
    return dict(np.load(path)) if path else {}


def _text(array: np.ndarray) -> str | None:
    return str(array.reshape(-1)[0]) if array.dtype.kind in "US" and array.size == 1 else None


def _pair(ours, golden) -> tuple[np.ndarray, np.ndarray]:
    ours = ours.detach().numpy() if hasattr(ours, "detach") else ours
    return np.asarray(ours, dtype=np.float64), np.asarray(golden, dtype=np.float64)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0)) if np.isfinite(values).all() else float("inf")
