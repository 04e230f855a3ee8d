"""The pitch curve: F0Curve, its transformations, and the curve file (`seconds,hz` lines)."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import atomic_path

F0_MIN, F0_MAX = 50.0, 1100.0
FRAMES_PER_SECOND = 100
COARSE_BINS = 255
MEDIAN_FROM_RADIUS = 3
MEDIAN_WIDTH = 3  # for every radius: in RVC the radius only switches the filter on
LONGEST_S = 24 * 3600.0


@dataclass(frozen=True)
class F0Curve:
    """100 frames per second; `hz` [T] float64, 0 where unvoiced. Every method returns a new curve."""

    hz: np.ndarray

    def __post_init__(self):
        hz = np.asarray(self.hz, dtype=np.float64)
        if hz.ndim != 1:
            raise ValueError(f"a pitch curve has one dimension, got shape {hz.shape}")
        object.__setattr__(self, "hz", hz)

    def __len__(self) -> int:
        return len(self.hz)

    @property
    def voiced(self) -> np.ndarray:
        """[T] bool."""
        return self.hz > 0

    def shift(self, semitones: float) -> "F0Curve":
        """Transposed; unvoiced frames stay 0."""
        return F0Curve(self.hz * 2 ** (semitones / 12))

    def coarse(self) -> np.ndarray:
        """[T] int64 in 1..255: mel-spaced bins of 50..1100 Hz; 1 also means unvoiced."""
        mel = _mel(self.hz)
        low, high = _mel(F0_MIN), _mel(F0_MAX)
        bins = (mel - low) * (COARSE_BINS - 1) / (high - low) + 1
        return np.rint(np.clip(bins, 1, COARSE_BINS)).astype(np.int64)  # rint: half to even, as in RVC

    def median(self, radius: int) -> "F0Curve":
        """RVC's filter: from radius 3 on a median over 3 frames (zeros beyond the ends), else unchanged."""
        if radius < MEDIAN_FROM_RADIUS or not len(self):
            return self
        padded = np.pad(self.hz, MEDIAN_WIDTH // 2)
        return F0Curve(np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WIDTH), axis=1))

    def fill_unvoiced(self) -> "F0Curve":
        """Unvoiced frames on straight lines between voiced ones, nearest value at the ends (RVC 2.3).

        A curve without any voiced frame stays 0.
        """
        voiced = np.flatnonzero(self.voiced)
        if not len(voiced):
            return self
        return F0Curve(np.interp(np.arange(len(self)), voiced, self.hz[voiced]))

    def fit(self, frames: int) -> "F0Curve":
        """Cut, or padded with unvoiced frames, at the end."""
        return F0Curve(np.pad(self.hz[:frames], (0, max(frames - len(self), 0))))

    def centre(self, frames: int) -> "F0Curve":
        """Padded on both sides, the larger half in front (Praat's track lies inside its sound)."""
        front = max(frames - len(self) + 1, 0) // 2
        return F0Curve(np.pad(self.hz, (front, 0))).fit(frames)

    def replace_from(self, rows: np.ndarray, start_frame: int) -> "F0Curve":
        """Frames from `start_frame` on taken from a curve file's rows [K, 2] (seconds, Hz).

        RVC's rule: the rows are read off at 0, 10, 20... ms, as many times as their span holds;
        what reaches beyond the end is dropped. Apply it after `shift`.
        """
        seconds, values = rows[:, 0], rows[:, 1]
        count = int(np.round((seconds.max() - seconds.min()) * FRAMES_PER_SECOND + 1))
        count = min(count, max(len(self) - start_frame, 0))
        hz = self.hz.copy()
        hz[start_frame : start_frame + count] = np.interp(
            np.arange(count), seconds * FRAMES_PER_SECOND, values
        )
        return F0Curve(hz)


def _mel(hz):
    return 1127 * np.log(1 + hz / 700)


def read_curve_file(path: Path) -> np.ndarray:
    """Rows [K, 2] float64 (seconds, Hz), in the order of time.

    Accepts commas, semicolons, tabs or blanks between the two numbers, blank lines, `#` comments
    and one heading. Raises MissingFile, or BadInput naming the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"the pitch curve file {path} is not there", "check the path")
    rows = []
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if line and not (not rows and _is_heading(line)):
            rows.append(_row(line, f"{path}, line {number}"))
    if not rows:
        raise BadInput(f"the pitch curve file {path} holds no values", "write one 'seconds,hz' a line")
    table = np.array(rows)
    return table[np.argsort(table[:, 0], kind="stable")]


def write_curve_file(path: Path, curve: F0Curve) -> None:
    """One line a frame: `seconds,hz`, atomically."""
    lines = [f"{frame / FRAMES_PER_SECOND:.2f},{hz:.3f}\n" for frame, hz in enumerate(curve.hz)]
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(lines), encoding="ascii", newline="\n")


def _fields(line: str) -> list[str]:
    return line.replace(",", " ").replace(";", " ").split()


def _is_heading(line: str) -> bool:
    """Words, as spreadsheets put into the first line; a broken number is not one."""
    return all(field[0].isalpha() and field.lower() not in ("nan", "inf") for field in _fields(line))


def _row(line: str, where: str) -> tuple[float, float]:
    try:
        seconds, hz = (float(field) for field in _fields(line))
    except ValueError:
        raise BadInput(f"{where} is not 'seconds,hz': {line[:40]!r}") from None
    if not (math.isfinite(seconds) and math.isfinite(hz)):
        raise BadInput(f"{where} holds a value that is not a number: {line[:40]!r}")
    if not (0 <= seconds <= LONGEST_S and 0 <= hz <= 16000):
        raise BadInput(f"{where} is out of range (seconds 0 to 86400, Hz 0 to 16000): {line[:40]!r}")
    return seconds, hz
