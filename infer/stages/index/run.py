"""Index stage: content features of an experiment -> `added_IVF..._<experiment>_<version>.index`.

Built again whenever the features change. The old index stays until the new one is complete.
"""

import hashlib
from pathlib import Path

import numpy as np

from infer.jobs.events import Finished, ItemFailed, Log, Progress, Report, Started
from infer.jobs.experiment import Experiment
from infer.lib import retrieval
from infer.lib.errors import BadInput
from infer.lib.models.spec import FEATURE_DIMS
from infer.stages.index.options import IndexOptions
from infer.stages.index.rows import FeatureRows, scan

STAGE = "index"
MAX_ROWS = 200_000  # more are represented by N_CENTRES means
N_CENTRES = 10_000


def run(options: IndexOptions, report: Report) -> dict:
    """Builds the index unless it is up to date; returns the summary. Raises BadInput without features."""
    experiment = Experiment.find(options.experiment)
    settings = experiment.read_settings()
    version = options.version if options.version != "auto" else settings.version or "v2"
    paths = _feature_files(experiment, version)
    report(Started(STAGE, len(paths)))
    rows = scan(paths, FEATURE_DIMS[version], lambda done, name: report(Progress(done, len(paths), name)))
    for name, reason in rows.left_out.items():
        report(ItemFailed(name, reason))
    if not rows.total:
        raise BadInput(
            f"no usable row in {experiment.content(version)}", "extract the content features again"
        )
    sidecar = {
        "encoder": settings.encoder,
        "version": version,
        "rows": rows.total,
        "experiment": experiment.name,
        "digest": hashlib.sha256(f"{rows.digest} {settings.encoder}".encode()).hexdigest(),
    }
    path = _up_to_date(experiment, sidecar)
    if path:
        report(Log(f"{path.name} is up to date: the features did not change"))
        return _finish(path, sidecar, report)
    retrieval.set_threads(options.workers)
    return _finish(_build(experiment, rows, sidecar, report), sidecar, report)


def gathered(
    rows: FeatureRows, report: Report, max_rows: int = MAX_ROWS, n_centres: int = N_CENTRES
) -> np.ndarray:
    """All rows shuffled [N, D], or beyond `max_rows` the `n_centres` means that stand for them."""
    if rows.total <= max_rows:
        return rows.shuffled(retrieval.SEED)
    report(Log(f"{rows.total} rows are more than {max_rows}: taking {n_centres} means of them"))
    first = rows.sample(n_centres, retrieval.SEED)

    def batches():
        done = 0
        for batch in rows.batches(retrieval.SEED):
            yield batch
            done += len(batch)
            report(Progress(done, rows.total, "k-means"))

    return retrieval.cluster_centres(batches(), first)


def _feature_files(experiment: Experiment, version: str) -> list[Path]:
    paths = sorted(
        path for path in experiment.content(version).glob("*.npy") if not path.name.startswith(".")
    )
    clips = set(experiment.stems())
    if clips:  # features of a clip that is gone do not count
        paths = [path for path in paths if path.name.split(".")[0] in clips]
    if not paths:
        raise BadInput(
            f"there are no {version} content features in {experiment.root}", "run extract_content first"
        )
    return paths


def _up_to_date(experiment: Experiment, sidecar: dict) -> Path | None:
    for path in experiment.index_files():
        if retrieval.read_sidecar(path).get("digest") != sidecar["digest"]:
            continue
        try:
            retrieval.FeatureIndex.load(path)
            return path
        except BadInput:
            continue  # damaged: build it again
    return None


def _build(experiment: Experiment, rows: FeatureRows, sidecar: dict, report: Report) -> Path:
    vectors = gathered(rows, report)
    names = retrieval.index_file_names(retrieval.n_ivf(len(vectors)), experiment.name, sidecar["version"])
    report(Log(f"building {names.added} from {len(vectors)} vectors"))
    trained, added = experiment.root / names.trained, experiment.root / names.added
    index = retrieval.build(vectors, keep_trained=lambda empty: retrieval.save(empty, trained))
    del vectors
    retrieval.save(index, added)
    retrieval.write_sidecar(added, sidecar)
    _remove_others(experiment, sidecar["version"], {trained, added})
    return added


def _remove_others(experiment: Experiment, version: str, keep: set[Path]) -> None:
    """Indices of this experiment and version from before, and their sidecars."""
    for path in experiment.root.glob("*.index"):
        if path not in keep and retrieval.is_index_of(path.name, experiment.name, version):
            path.unlink()
            retrieval.sidecar_path(path).unlink(missing_ok=True)


def _finish(path: Path, sidecar: dict, report: Report) -> dict:
    lists = retrieval.lists_of(path.name)
    summary = {"rows": sidecar["rows"], "clusters": lists, "file": str(path), "encoder": sidecar["encoder"]}
    report(Finished(STAGE, summary))
    return summary
