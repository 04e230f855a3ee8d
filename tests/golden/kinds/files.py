"""files*: sound of small voice files. tiny_*: what the reader finds in a file, and what is written back."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from infer.lib import checkpoint
from infer.lib.errors import BadCheckpoint
from infer.lib.models.discriminators import MultiPeriodDiscriminator
from infer.lib.models.spec import PERIODS
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer
from tests.golden.core import Case, Result
from tests.golden.kinds.synthesis import tensor


def check_sounds(case: Case) -> Iterator[Result]:
    for name in sorted({key.partition("/")[0] for key in case.arrays if "/" in key}):
        path = case.folder.find(f"{case.prefix}{name}.pth", f"{name}.pth")
        if path is None:
            raise FileNotFoundError(f"{name}.pth is missing beside {case.path.name}")
        arrays = {
            key.partition("/")[2]: case.arrays[key] for key in case.arrays if key.startswith(f"{name}/")
        }
        voice = checkpoint.read_voice(path)
        net = Synthesizer(voice.spec, posterior=False).eval()
        net.load_state_dict(voice.weights)
        for what, ready in (("audio", net), ("audio with fused weights", net.fuse_weight_norm())):
            yield case.of_peak(f"{name} {what}", _speak(ready, arrays), arrays["audio"])


def _speak(net: Synthesizer, arrays: dict) -> torch.Tensor:
    content, speaker = tensor(arrays["phone"]), tensor(arrays["sid"])
    frames = content.shape[1]
    pitch = None
    if "pitch" in arrays:
        pitch = Pitch(tensor(arrays["pitch"]), tensor(arrays["pitchf"]).float())
    draws = Draws(
        prior=torch.zeros(1, net.spec.inter_channels, frames),
        source=torch.zeros(1, frames * net.spec.hop, 1),
    )
    return net.infer(content, torch.tensor([frames]), pitch, speaker, draws)[0]


def check_file(case: Case) -> Iterator[Result]:
    facts = _facts(case)
    if checkpoint.kind_of(case.path) == "voice":
        yield from _voice(case, facts)
    else:
        yield from _training(case, facts)


def _facts(case: Case) -> dict:
    listed = case.folder.find(f"{case.prefix}files.json", "files.json")
    names = json.loads(listed.read_text()) if listed else {}
    return names.get(case.path.name) or names.get(case.path.name.removeprefix(case.prefix)) or {}


def _voice(case: Case, facts: dict) -> Iterator[Result]:
    voice = checkpoint.read_voice(case.path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.pth"
        checkpoint.write_voice(copy, voice)
        again = checkpoint.read_voice(copy)
        stored = torch.load(copy, weights_only=True)
    yield case.equal("survives writing", again.spec, voice.spec)
    changed = [name for name in voice.weights if not torch.equal(voice.weights[name], again.weights[name])]
    yield case.equal("weights survive writing", changed, [])
    items = facts.get("items")
    if not items:
        return
    yield case.equal("container", type(stored).__name__, facts["type"])
    if "version" in items:  # the oldest files lack keys, which writing adds
        yield case.equal("keys in order", list(stored), list(items))
        golden = [*items["config"][:-3], voice.spec.n_speakers, *items["config"][-2:]]
        yield case.equal("config", json.loads(json.dumps(stored["config"])), golden)
    for key in ("info", "sr", "f0", "version"):
        if key in items:
            yield case.equal(key, stored[key], items[key])
    for name, described in items["weight"]["items"].items():
        if name != "...":
            value = stored["weight"][name]
            ours = f"tensor {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
            yield case.equal(name, ours, described)


def _training(case: Case, facts: dict) -> Iterator[Result]:
    saved = checkpoint.read_training(case.path)
    net = _network_of(saved)
    fresh = checkpoint.load_matching(net, saved.model)
    yield case.equal("every tensor is used", fresh, [])
    state, without = checkpoint.map_optimizer(saved.optimizer, checkpoint.named_shapes(net))
    yield case.equal("every parameter has its moments", without, [])
    optimizer = torch.optim.AdamW(net.parameters())
    optimizer.load_state_dict(state)
    if "items" in facts and "iteration" in facts["items"]:
        yield case.equal("epoch", saved.iteration, facts["items"]["iteration"])
    if order := facts.get("parameter_order (= optimizer state index)"):
        yield case.equal("moments by name", _misplaced(net, saved.optimizer, state, list(order)), [])
    if facts.get("model_keys_in_order"):
        yield case.equal("tensor order", list(saved.model), facts["model_keys_in_order"])
    try:
        checkpoint.read_voice(case.path)
        refused = False
    except BadCheckpoint:
        refused = True
    yield case.equal("is no voice", refused, True)


def _network_of(saved: checkpoint.TrainingCheckpoint) -> torch.nn.Module:
    if "enc_p.emb_phone.weight" in saved.model:
        return Synthesizer(checkpoint.spec_from_tensors(saved.model))
    count = 1 + max(int(name.split(".")[1]) for name in saved.model)
    return MultiPeriodDiscriminator(next(v for v, periods in PERIODS.items() if len(periods) + 1 == count))


def _misplaced(net: torch.nn.Module, stored: dict, mapped: dict, order: list[str]) -> list[str]:
    """Parameters that did not get the moments which the file keeps for them; `order` is the file's."""
    ours = {name: number for number, (name, _) in enumerate(net.named_parameters())}
    pairs = {name: (stored["state"][i], mapped["state"][ours[name]]) for i, name in enumerate(order)}
    return [name for name, (one, two) in pairs.items() if not torch.equal(one["exp_avg"], two["exp_avg"])]


CHECKS = {"files": check_sounds, "tiny_": check_file}
