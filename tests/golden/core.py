"""Golden cases: finding them, comparing arrays with their tolerance, one line for each case."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


class Folder:
    """A folder laid out like the golden data; files of one prefix belong together."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.is_file())

    def find(self, *names: str) -> Path | None:
        """The first of `names` that exists."""
        return next((self.root / name for name in names if (self.root / name).is_file()), None)

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
    """One golden file: its arrays, completed by those of its sister of the other version."""

    def __init__(self, folder: Folder, path: Path, kind: str):
        self.folder, self.path, self.kind = folder, path, kind
        self.arrays = dict(np.load(path)) if path.suffix == ".npz" else {}
        sister = re.sub(r"_23(?=\.npz$)", "_22", path.name)
        # Files that end in _23 hold the results only; the inputs are those of _22.
        self.inputs = {**_arrays(folder.find(sister)), **self.arrays} if sister != path.name else self.arrays

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

    def token(self, pattern: str, default: str) -> str:
        """The part of the file name that matches, between underscores."""
        match = re.search(rf"(?:^|_)({pattern})(?=_|$)", self.name)
        return match[1] if match else default

    @property
    def version(self) -> str:
        return self.token("v1|v2", "v2")

    @property
    def rate_label(self) -> str:
        return self.token("32k|40k|48k", "40k")

    @property
    def sample_rate(self) -> int:
        return int(self.rate_label[:-1]) * 1000

    @property
    def use_f0(self) -> bool:
        return self.token("f0|nof0", "f0") == "f0"

    def model(self, family: str) -> str:
        return f"{family}.{self.version}.{self.rate_label}.{'f0' if self.use_f0 else 'nof0'}"

    def json(self) -> dict:
        """The JSON file beside the arrays (of this version or its sister's)."""
        beside = self.folder.find(self.path.with_suffix(".json").name)
        return json.loads(beside.read_text(encoding="utf-8")) if beside else {}

    def scalar(self, *names: str, default: float) -> float:
        """A setting stored with the case, else the documented one."""
        for name in names:
            if name in self.inputs and np.size(self.inputs[name]) == 1:
                return np.asarray(self.inputs[name]).reshape(()).item()
        return default

    def index_path(self, dim: int) -> Path | None:
        """The index the case names, else the one of its own prefix, else the common one."""
        named = [str(a) for a in map(_text, self.inputs.values()) if a and a.endswith(".index")]
        wanted = [*named, f"{self.prefix}index_parts_{dim}.index", f"index_parts_{dim}.index"]
        return self.folder.find(*wanted) or next(
            iter(sorted(self.folder.root.glob(f"*index*{dim}*.index"))), None
        )

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
