"""Retrieval: content is drawn towards the nearest training vectors of the voice (a faiss index).

`build` makes RVC's index (IVF, flat, L2, nprobe 1); `FeatureIndex` searches one, whoever made it.
Index files are opened by Python, since faiss itself cannot open every path on Windows.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import atomic_path, write_text

NEIGHBOURS = 8
ADD_BATCH = 8192
SEARCH_BATCH = 2048  # bounds the neighbours held at once to 2048 x 8 x 768 floats
ROWS_PER_LIST = 39  # faiss wants that many training rows for each list
N_PROBE = 1
SEED = 1234
READ_BLOCK = 1 << 20
K_MEANS_ROUNDS, K_MEANS_MOST = 20, 256  # rounds; rows looked at for each centre

_FILE_NAME = re.compile(
    r"(trained|added)_IVF(?P<lists>\d+)_Flat_nprobe_1_(?P<name>.+)_(?P<version>v[12])\.index"
)


def n_ivf(n_rows: int) -> int:
    """Number of lists: min(16 sqrt(N), N / 39), at least 1."""
    return max(1, min(int(16 * np.sqrt(n_rows)), n_rows // ROWS_PER_LIST))


@dataclass(frozen=True)
class IndexNames:
    """File names of a trained (empty) index and of the one with the vectors."""

    trained: str
    added: str


def index_file_names(lists: int, experiment: str, version: str) -> IndexNames:
    """RVC's names for an index of `lists` lists."""
    tail = f"IVF{lists}_Flat_nprobe_{N_PROBE}_{experiment}_{version}.index"
    return IndexNames(f"trained_{tail}", f"added_{tail}")


def is_index_of(file_name: str, experiment: str, version: str) -> bool:
    """Whether a file name is one that `index_file_names` makes, with any number of lists."""
    match = _FILE_NAME.fullmatch(file_name)
    return bool(match) and (match["name"], match["version"]) == (experiment, version)


def lists_of(file_name: str) -> int | None:
    """The number of lists that an index file's name tells."""
    match = _FILE_NAME.fullmatch(file_name)
    return int(match["lists"]) if match else None


def set_threads(count: int) -> None:
    """Threads of faiss in this process; 0 leaves its own choice."""
    if count > 0:
        _faiss().omp_set_num_threads(count)


def build(rows: np.ndarray, keep_trained: Callable[[object], None] = lambda index: None):
    """A faiss index of `rows` [N, D] float32, N >= 1, all finite; `keep_trained` gets it while empty.

    Rows are added in the order given: shuffle before.
    """
    faiss = _faiss()
    index = faiss.index_factory(rows.shape[1], f"IVF{n_ivf(len(rows))},Flat")
    index.nprobe = N_PROBE
    index.cp.seed = SEED
    index.cp.min_points_per_centroid = 1  # a handful of rows is fine, no warning needed
    index.train(rows)
    keep_trained(index)
    for start in range(0, len(rows), ADD_BATCH):
        index.add(rows[start : start + ADD_BATCH])
    return index


def flat(rows: np.ndarray):
    """A faiss index that searches all of a few `rows` [N, D] float32."""
    index = _faiss().IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    return index


def k_means(rows: np.ndarray, n_centres: int) -> np.ndarray:
    """At most `n_centres` means [K, D] that stand for `rows` [N, D] float32; the rows if they are as few."""
    if len(rows) <= n_centres:
        return rows
    kmeans = _faiss().Kmeans(
        rows.shape[1], n_centres, niter=K_MEANS_ROUNDS, seed=SEED, min_points_per_centroid=1,
        max_points_per_centroid=K_MEANS_MOST,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(rows))
    return kmeans.centroids


def cluster_centres(batches: Iterable[np.ndarray], first: np.ndarray) -> np.ndarray:
    """Mini-batch k-means from the centres `first` [K, D]: one batch [n, D] in memory at a time.

    Each centre moves to the running mean of the rows it attracted, itself included (Sculley 2010).
    """
    faiss = _faiss()
    centres = first.astype(np.float64)
    counts = np.ones(len(first))
    for batch in batches:
        nearest = faiss.IndexFlatL2(first.shape[1])
        nearest.add(centres.astype(np.float32))
        labels = nearest.search(batch, 1)[1][:, 0]
        order = np.argsort(labels, kind="stable")
        hit, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        sums = np.add.reduceat(batch[order].astype(np.float64), starts, axis=0)
        counts[hit] += sizes
        centres[hit] += (sums - sizes[:, None] * centres[hit]) / counts[hit, None]
    return centres.astype(np.float32)


def save(index, path: Path) -> None:
    """Writes a faiss index atomically, without a second copy of it in memory."""
    faiss = _faiss()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        writer = faiss.PyCallbackIOWriter(file.write)
        faiss.write_index(index, writer)
        del writer  # flushes what it still holds


def sidecar_path(index_file: Path) -> Path:
    """What an index was made from stands beside it: `<index file>.json`."""
    return index_file.with_name(index_file.name + ".json")


def read_sidecar(index_file: Path) -> dict:
    """The sidecar's values, or {} for an index without (a readable) one: a file of RVC."""
    try:
        values = json.loads(sidecar_path(index_file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_sidecar(index_file: Path, values: dict) -> None:
    write_text(sidecar_path(index_file), json.dumps(values, indent=2) + "\n")


class FeatureIndex:
    """An index in memory. `encoder` is the recorded name of its content encoder (None: RVC's)."""

    def __init__(self, index, path: Path, encoder: str | None = None):
        self.path = path
        self.encoder = encoder
        self._index = index

    @classmethod
    def load(cls, path: Path | str) -> "FeatureIndex":
        """Reads an index file. Raises MissingFile, or BadInput for what is no usable index."""
        path = Path(path)
        index = _read(path)
        problem = None
        if index.ntotal == 0:
            problem = "holds no vectors"
        elif index.metric_type != _faiss().METRIC_L2:
            problem = "does not measure squared distances (L2)"
        elif not index.is_trained:
            problem = "was never trained"
        if problem:
            raise BadInput(f"the index {path} {problem}", "use the added_*.index file of the voice")
        feature_index = cls(index, path, read_sidecar(path).get("encoder"))
        # A kind of index that cannot give its vectors back shows it here.
        feature_index.blend(np.zeros((1, index.d), np.float32), 1.0)
        return feature_index

    @property
    def dim(self) -> int:
        return self._index.d

    def __len__(self) -> int:
        return self._index.ntotal

    def blend(self, content: np.ndarray, rate: float) -> np.ndarray:
        """rate * (mean of the nearest vectors, weighted by 1 / D^2) + (1 - rate) * content, [T, D] float32.

        rate 0 returns `content` itself. A frame without any neighbour stays as it is. Raises BadInput
        if the widths differ.
        """
        if rate == 0:
            return content
        if content.shape[1] != self.dim:
            raise BadInput(
                f"the index {self.path} holds vectors of {self.dim} values, not {content.shape[1]}",
                "it belongs to a voice of the other version (v1: 256, v2: 768)",
            )
        content = np.ascontiguousarray(content, np.float32)
        pieces = [
            self._blend_piece(content[start : start + SEARCH_BATCH], rate)
            for start in range(0, len(content), SEARCH_BATCH)
        ]
        return np.concatenate(pieces) if pieces else content

    def _blend_piece(self, content: np.ndarray, rate: float) -> np.ndarray:
        try:
            distances, ids, vectors = self._index.search_and_reconstruct(content, NEIGHBOURS)
        except RuntimeError as error:
            raise BadInput(
                f"the index {self.path} cannot give its vectors back ({type(self._index).__name__})",
                "build it again on the training tab",
            ) from error
        vectors[ids < 0] = 0  # faiss fills the places of missing neighbours with NaN
        weights = neighbour_weights(distances, ids)
        blended = np.einsum("tk,tkd->td", weights, vectors)
        found = weights.any(axis=1)
        mixed = np.float32(rate) * blended + np.float32(1 - rate) * content
        return np.where(found[:, None], mixed, content)


def neighbour_weights(distances: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Squared distances and ids [T, K] -> weights [T, K] float32: 1 / D^2, summing to 1 in each row.

    Id -1 (no such neighbour) weighs nothing. An exact hit (D = 0) takes all the weight. A row without
    neighbours is all zero.
    """
    present = ids >= 0
    exact = present & (distances <= 0)
    near = present & ~exact
    weights = np.zeros(distances.shape)
    weights[near] = distances[near].astype(np.float64) ** -2
    hit = exact.any(axis=1)
    weights[hit] = exact[hit]
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0).astype(np.float32)


def _read(path: Path):
    faiss = _faiss()
    if not path.is_file():
        raise MissingFile(f"there is no index {path}", "build it on the training tab, or clear the field")
    try:
        with path.open("rb") as file:
            return faiss.read_index(faiss.PyCallbackIOReader(file.read, READ_BLOCK))
    except (RuntimeError, MemoryError, AssertionError) as error:
        raise BadInput(f"{path} is no faiss index, or it is damaged", "build it again") from error


def _faiss():
    try:
        import faiss
    except ImportError as error:
        raise MissingFile("the package faiss-cpu is not installed", "run `pip install faiss-cpu`") from error
    return faiss
