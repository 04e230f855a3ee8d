"""hubert*: the HuBERT encoder in all its file forms. golden*: the starter encoder."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from infer.lib.content import load_encoder
from infer.lib.content.hubert import HubertEncoder
from infer.lib.content.hubert_files import read_hubert
from infer.lib.files import REPO
from tests.golden import synthetic_weights
from tests.golden.core import COMMON, Case, Result

TIGHT = 5e-5  # absolute: the smallest mistake in the network is thirty times that
LAYER = re.compile(r"([abc])_layer(\d+)(_proj)?")
CONFIG = {"model": {"encoder_attention_heads": 12}, "task": {"normalize": False}}


def check_hubert(case: Case) -> Iterator[Result]:
    if any(re.fullmatch(r"signal_\d+", name) for name in case.arrays):
        yield from _base_model(case)
    elif "a_layer12" in case.arrays or "a_layer9_proj" in case.arrays:
        encoder = _synthetic(_full_shapes(case))
        yield from _layers(case, encoder, "", "synthetic")
    else:
        yield from _tiny_files(case)


def _base_model(case: Case) -> Iterator[Result]:
    encoder = _synthetic(case.folder.spec("HUBERT"))
    for name, signal in case.arrays.items():
        if not (match := re.fullmatch(r"signal_(\d+)", name)):
            continue
        audio = torch.from_numpy(signal.astype(np.float32) / 32768)
        for version in ("v1", "v2"):
            golden = case.arrays.get(f"{version}_{match[1]}")
            if golden is not None:
                yield case.of_peak(f"{version}_{match[1]}", encoder.encode(audio, version), golden)
        middle = case.arrays.get(f"layer9_{match[1]}")
        if middle is not None:
            yield case.of_peak(f"layer9_{match[1]}", encoder.hidden(audio, 9)[:, ::4], middle)


def _full_shapes(case: Case) -> dict:
    """As the case's own list says; the list of networks lacks only tensors that nothing reads."""
    described = case.folder.find_common(f"{case.prefix}hubert_keys.json", "hubert_keys.json")
    if described is None:
        return case.folder.spec("HUBERT")
    return {name: tuple(shape) for name, shape in json.loads(described.read_text())["full"].items()}


def _synthetic(shapes: dict) -> HubertEncoder:
    """A file like RVC's, written with synthetic weights and read back by the reader itself."""
    arrays = synthetic_weights.fill(shapes)
    tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hubert_base.pt"
        torch.save({"args": None, "cfg": CONFIG, "model": tensors}, path)
        return HubertEncoder(read_hubert(path))


def _tiny_files(case: Case) -> Iterator[Result]:
    """Every small HuBERT file of the folder; those in half precision have numbers of their own."""
    root = case.folder.root
    found = [*root.glob("*hubert_fairseq_tiny*.pt"), *root.glob("*hubert_hf_tiny*/")]
    found = found or [*COMMON.glob("hubert_fairseq_tiny*.pt"), *COMMON.glob("hubert_hf_tiny*/")]
    for path in sorted(found):
        half = path.name.endswith("_fp16.pt") or path.name.endswith("_rvc")
        yield from _layers(case, HubertEncoder(read_hubert(path)), "fp16_" if half else "", path.name)


def _layers(case: Case, encoder: HubertEncoder, prefix: str, what: str) -> Iterator[Result]:
    for name, golden in case.arrays.items():
        if not name.startswith(prefix) or not (match := LAYER.fullmatch(name.removeprefix(prefix))):
            continue
        audio = torch.from_numpy(case.arrays[f"{match[1]}_signal"])
        ours = encoder.hidden(audio, int(match[2]), project=match[3] is not None)
        yield case.absolute(f"{what} {name}", ours, golden, TIGHT)


def check_starter(case: Case) -> Iterator[Result]:
    if not any(name.startswith("content_") for name in case.arrays):
        return
    encoder = load_encoder(_first_starter(case) or "starter", REPO / "assets")
    for name, golden in case.arrays.items():
        if name.startswith("logmel_"):
            signal = torch.from_numpy(case.arrays[name.replace("logmel_", "signal_")])
            yield case.absolute(name, encoder.log_mel(signal), golden, 1e-3)
        if name.startswith("content_"):
            signal = torch.from_numpy(case.arrays[name.replace("content_", "signal_")])
            yield case.absolute(name, encoder.encode(signal, "v2"), golden, 1e-3)


def _first_starter(case: Case) -> Path | None:
    """The encoder whose numbers the case holds, where it lies beside the cases; it was shipped first."""
    places = (folder / "starter/content_encoder.safetensors" for folder in case.path.parents)
    return next((path for path in places if path.is_file()), None)


CHECKS = {"hubert": check_hubert, "golden": check_starter}
