"""Rows of many feature files, read in blocks: memory does not grow with the training set."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infer.lib.errors import BadInput

BLOCK_ROWS = 8192
BATCH_ROWS = 16384  # of one step of k-means


@dataclass(frozen=True)
class FeatureRows:
    """The usable rows of feature files [N, dim]; `digest` changes with any byte of them."""

    dim: int
    counts: dict[Path, int]  # finite rows in each usable file, in order
    digest: str
    left_out: dict[str, str] = field(default_factory=dict)  # file name -> reason

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def shuffled(self, seed: int) -> np.ndarray:
        """All rows in a random order that `seed` fixes, [N, dim] float32, without a second copy."""
        places = np.random.default_rng(seed).permutation(self.total)
        rows, start = np.empty((self.total, self.dim), np.float32), 0
        for block in self._blocks(self.counts):
            rows[places[start : start + len(block)]] = block
            start += len(block)
        return rows

    def sample(self, n_rows: int, seed: int) -> np.ndarray:
        """`n_rows` different rows, [n_rows, dim] float32."""
        chosen = np.sort(np.random.default_rng(seed).choice(self.total, n_rows, replace=False))
        picked, start = [], 0
        for block in self._blocks(self.counts):
            low, high = np.searchsorted(chosen, (start, start + len(block)))
            picked.append(block[chosen[low:high] - start])
            start += len(block)
        return np.concatenate(picked)

    def batches(self, seed: int) -> Iterator[np.ndarray]:
        """All rows once in batches of about BATCH_ROWS, files in a random order that `seed` fixes."""
        paths = list(self.counts)
        np.random.default_rng(seed).shuffle(paths)
        waiting: list[np.ndarray] = []
        for block in self._blocks(paths):
            waiting.append(block)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)

    def _blocks(self, paths) -> Iterator[np.ndarray]:
        for path in paths:
            for block in read_blocks(path, self.dim):
                yield block[np.isfinite(block).all(axis=1)]


def scan(paths: Sequence[Path], dim: int, tick: Callable[[int, str], None]) -> FeatureRows:
    """Reads every file once: which rows are usable, and the digest. `tick(done, name)` after each."""
    counts, left_out, digest = {}, {}, hashlib.sha256()
    for done, path in enumerate(paths, 1):
        try:
            finite, total = _count(path, dim, digest)
        except BadInput as error:
            left_out[path.name] = str(error)
        else:
            if finite:
                counts[path] = finite
            if finite < total:
                left_out[path.name] = f"{total - finite} of {total} rows are not finite"
        tick(done, path.name)
    return FeatureRows(dim, counts, digest.hexdigest(), left_out)


def read_blocks(path: Path, dim: int) -> Iterator[np.ndarray]:
    """[n, dim] float32 blocks of a .npy file. Not mapped: mapped pages count as memory in use.

    Raises BadInput for a file that holds no [T, dim] floats, or less than it says.
    """
    with path.open("rb") as file:
        n_rows, dtype = _header(file, path, dim)
        for start in range(0, n_rows, BLOCK_ROWS):
            wanted = min(BLOCK_ROWS, n_rows - start)
            block = np.fromfile(file, dtype, wanted * dim)
            if len(block) < wanted * dim:
                raise BadInput(f"{path} is cut off", "extract the content features again")
            yield block.reshape(wanted, dim).astype(np.float32)


def _header(file, path: Path, dim: int) -> tuple[int, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version](file)
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        raise BadInput(f"{path} is no .npy file", "extract the content features again") from error
    if len(shape) != 2 or shape[1] != dim or fortran or dtype.kind != "f":
        raise BadInput(
            f"{path} holds {dtype} of shape {list(shape)}, not [T, {dim}]",
            "extract the content features again",
        )
    return shape[0], dtype


def _count(path: Path, dim: int, digest) -> tuple[int, int]:
    finite = total = 0
    digest.update(path.name.encode())
    for block in read_blocks(path, dim):
        digest.update(block)
        finite += int(np.isfinite(block).all(axis=1).sum())
        total += len(block)
    return finite, total
