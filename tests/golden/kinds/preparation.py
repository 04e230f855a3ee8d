"""preprocess_*: slicing of recordings. index_rules*: sizes and names of an index."""

import json
import re
from collections.abc import Iterator

import numpy as np

from infer.lib import retrieval
from infer.lib.audio import highpass_coefficients, resample
from infer.lib.envelope import CausalHighPass, rms_curve
from infer.lib.slicing import WINDOW_HOPS, hop_length, silence_bounds
from infer.stages.preprocess.clips import slice_clip
from tests.golden.core import DIM, Case, Result

MOST_SAMPLES = 400


def check_preprocess(case: Case) -> Iterator[Result]:
    arrays, sample_rate = case.inputs, int(case.json().get("sample_rate", case.sample_rate))
    slice_s = float(case.setting("slice_seconds", "per", default=3.7))
    for name, ours in zip(("highpass_b", "highpass_a"), highpass_coefficients(sample_rate), strict=True):
        if name in arrays:
            yield case.absolute(name, ours, arrays[name], 1e-9)
    number = 0
    while f"signal_{number}" in arrays:
        signal = arrays[f"signal_{number}"].astype(np.float32) / 32768
        yield from _bounds(case, number, signal, sample_rate)
        yield from _clips(case, number, signal, (sample_rate, slice_s))
        number += 1


def _bounds(case: Case, number: int, signal: np.ndarray, sample_rate: int) -> Iterator[Result]:
    hop = hop_length(sample_rate)
    filtered = CausalHighPass(sample_rate)(signal)
    pieces = silence_bounds(rms_curve(filtered, hop, WINDOW_HOPS), len(filtered), sample_rate)
    ours = np.array([[p.first_hop, p.last_hop, p.first, p.last] for p in pieces]).reshape(-1, 4)
    golden = case.inputs.get(f"bounds_{number}", np.zeros((0, 4), int))
    if len(golden):  # a recording without a place to cut has no rows
        yield case.equal(f"bounds_{number}", ours, golden)
    else:
        yield case.equal(f"bounds_{number}: one piece", len(ours), 1)


def _clips(case: Case, number: int, signal: np.ndarray, how: tuple[int, float]) -> Iterator[Result]:
    """Clip k is upstream's write k; of several writes under one name only the last one survived."""
    sample_rate, slice_s = how
    writes = [tuple(row) for row in case.inputs[f"writes_{number}"].tolist()]
    clips = slice_clip(signal, sample_rate, slice_s)
    yield case.equal(f"clips of {number}", [len(clip.audio) for clip in clips], [row[2] for row in writes])
    last = {(i, j): k for k, (i, j, _) in enumerate(writes)}
    for (i, j), k in last.items():
        clip = clips[k].audio if k < len(clips) else np.zeros(0, np.float32)
        for folder, audio, tolerance in (
            ("0_gt_wavs", clip, 1e-5),
            ("1_16k_wavs", resample(clip, sample_rate, 16000), 1e-4),
        ):
            golden = case.inputs.get(f"{folder}/{i}_{j}")
            if golden is not None:
                shown = audio[:: max(1, len(audio) // MOST_SAMPLES)][: MOST_SAMPLES + 1]
                yield case.absolute(f"{folder}/{i}_{j}", shown, golden, tolerance)
    yield from _listed_files(case, {name: clips[k] for name, k in last.items() if k < len(clips)})


def _listed_files(case: Case, clips: dict) -> Iterator[Result]:
    """Sizes, peaks and energies that the JSON lists."""
    for entry in case.json().get("files", []):
        stem = entry["name"].removesuffix(".wav")
        clip = clips.get(tuple(int(part) for part in stem.split("_")))
        if clip is None or "0_gt_wavs" not in entry:
            continue
        listed = entry["0_gt_wavs"]
        yield case.equal(f"{stem} samples", len(clip.audio), listed["samples"])
        yield case.absolute(f"{stem} peak", np.abs(clip.audio).max(), listed["peak"], 1e-5)
        energy = np.square(clip.audio.astype(np.float64)).sum()
        yield case.relative(f"{stem} energy", energy, listed["sum_sq"], 1e-4)


def check_index_rules(case: Case) -> Iterator[Result]:
    rules = json.loads(case.path.read_text(encoding="utf-8"))
    for row in rules["n_ivf"]:
        yield case.equal(
            f"lists for {row['vectors']} rows", retrieval.n_ivf(row["vectors"]), row["n_ivf_2.3"]
        )
    for made in rules["runs_2.3"]:
        yield from _build(case, made)


def _build(case: Case, made: dict) -> Iterator[Result]:
    rows = np.random.default_rng(0).standard_normal((made["vectors"], DIM[made["version"]]))
    trained = []

    def describe(index) -> dict:
        return {
            "class": type(index).__name__,
            "d": index.d,
            "ntotal": index.ntotal,
            "nlist": index.nlist,
            "nprobe": index.nprobe,
            "metric_is_L2": index.metric_type == 1,
        }

    rows = rows.astype(np.float32)
    added = describe(retrieval.build(rows, keep_trained=lambda index: trained.append(describe(index))))
    experiment = re.search(rf"nprobe_1_(.+)_{made['version']}\.index", made["files"][0])[1]
    names = retrieval.index_file_names(retrieval.n_ivf(made["vectors"]), experiment, made["version"])
    what = f"index of {made['vectors']} rows"
    yield case.equal(f"{what}: names", sorted([names.added, names.trained]), sorted(made["files"]))
    yield case.equal(f"{what}: added", added, made["added"])
    yield case.equal(f"{what}: trained", trained[0], made["trained"])


CHECKS = {"preprocess_": check_preprocess, "index_rules": check_index_rules}
