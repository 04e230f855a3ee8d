"""Mixing voices, and telling how alike two of them are."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from infer.lib.checkpoint_layout import (
    GAIN_KEY,
    NOISE_KEY,
    gain_of,
    median_of,
    names_of,
    noise_scale_of,
    voice_notes,
)
from infer.lib.checkpoint_voice import VoiceFile
from infer.lib.checkpoint_weights import Tensors, fused_weight
from infer.lib.errors import BadInput

SPEAKERS = "emb_g.weight"
GROUPS = {
    "text encoder": "enc_p.",
    "flow": "flow.",
    "decoder": "dec.",
    "speakers": "emb_g.",
}
_JOINED_NOTES = ("author", "licence", "license")
_SUM_TOLERANCE = 1e-6


def merge_voices(voices: Sequence[VoiceFile], weights: Sequence[float], info: str = "") -> VoiceFile:
    """The weighted mean of voices; everything else comes from the first.

    `weights` has one number for each voice, taken relative to their sum; for two voices one number is
    enough: the share of the first. Two voices give RVC's fusion bit for bit. Speaker tables of different
    length are cut to the shortest. Raises BadInput for voices that cannot be mixed.
    """
    shares = _shares(len(voices), weights)
    for number, other in enumerate(voices[1:], 2):
        _check_alike(voices[0], other, number)
    fused = voices[0].fused if all(voice.fused == voices[0].fused for voice in voices) else frozenset()
    mixed = {name: _mean([voice.weights[name] for voice in voices], shares) for name in voices[0].weights}
    spec = voices[0].spec
    if spec.n_speakers != len(mixed[SPEAKERS]):
        spec = type(spec)(**{**vars(spec), "n_speakers": len(mixed[SPEAKERS])})
    encoder = next((voice.encoder for voice in voices if voice.encoder), None)
    notes = _notes(voices) | _set_notes(voices, shares)
    return VoiceFile(spec, mixed, info, encoder, voices[0].fill_unvoiced, notes, fused)


@dataclass(frozen=True)
class Similarity:
    """How alike two voices are: cosines of their weights, 1 for equal ones."""

    overall: float
    groups: dict[str, float]
    largest_difference: float
    identical: bool


def compare_voices(first: VoiceFile, second: VoiceFile) -> Similarity:
    """Cosine similarity of the applied weights, as a whole and for each part of the network.

    Raises BadInput for voices of different networks.
    """
    _check_alike(first, second, 2, encoders=False)
    sums = {group: torch.zeros(3, dtype=torch.float64) for group in GROUPS}
    largest = 0.0
    for name, one, other in _pairs(first, second):
        group = next(group for group, prefix in GROUPS.items() if name.startswith(prefix))
        sums[group] += torch.stack([(one * other).sum(), (one * one).sum(), (other * other).sum()])
        largest = max(largest, (one - other).abs().max().item())
    groups = {group: _cosine(values) for group, values in sums.items()}
    same = largest == 0.0 and first.spec.n_speakers == second.spec.n_speakers
    return Similarity(_cosine(sum(sums.values())), groups, largest, same)


def _shares(count: int, weights: Sequence[float]) -> list[float]:
    if count < 2:
        raise BadInput("merging needs at least two voices")
    shares = [weights[0], 1 - weights[0]] if (count, len(weights)) == (2, 1) else list(weights)
    if len(shares) != count:
        raise BadInput(
            f"{count} voices were given and {len(shares)} weights", "give one weight for each voice"
        )
    total = sum(shares)
    if not all(0 <= share < float("inf") for share in shares) or total <= 0:
        raise BadInput(f"the weights {shares} are no shares", "use numbers from 0 up, not all 0")
    # A sum that is 1 but for rounding stays as it is, so that two voices match RVC's formula exactly.
    return shares if abs(total - 1) < _SUM_TOLERANCE else [share / total for share in shares]


def _check_alike(first: VoiceFile, other: VoiceFile, number: int, encoders: bool = True) -> None:
    """Raises BadInput unless both voices have the same network (speaker counts aside) and encoder."""
    for what, one, two in (
        ("version", first.spec.version, other.spec.version),
        ("sample rate", first.spec.rate_label, other.spec.rate_label),
        ("pitch guidance", first.spec.use_f0, other.spec.use_f0),
    ):
        if one != two:
            raise BadInput(
                f"voice 1 and voice {number} differ in {what} ({one} and {two})",
                "only like voices can be mixed",
            )
    if encoders and not _same_encoder(first.encoder, other.encoder):
        raise BadInput(
            f"voice 1 and voice {number} were trained with different content encoders"
            f" ({first.encoder or 'hubert'} and {other.encoder or 'hubert'})",
            "only voices of the same encoder can be mixed",
        )
    shapes = [{n: t.shape for n, t in v.weights.items() if n != SPEAKERS} for v in (first, other)]
    if shapes[0] != shapes[1] or first.weights[SPEAKERS].shape[1] != other.weights[SPEAKERS].shape[1]:
        raise BadInput(f"voice 1 and voice {number} have networks of different sizes", "they cannot be mixed")


def _same_encoder(one: str | None, two: str | None) -> bool:
    """RVC's own files (None) belong to the hubert family, whatever its fingerprint."""
    if one is None or two is None:
        return (one or two or "hubert:").startswith("hubert:")
    return one == two


def _mean(tensors: list[torch.Tensor], shares: list[float]) -> torch.Tensor:
    """Weighted sum in fp32, rounded to the fp16 that will be stored."""
    rows = min(len(tensor) for tensor in tensors) if tensors[0].dim() else None
    total = None
    for tensor, share in zip(tensors, shares, strict=True):
        term = share * (tensor if rows is None else tensor[:rows])
        total = term if total is None else total + term
    return total.half().float()


def _notes(voices: Sequence[VoiceFile]) -> dict[str, str]:
    """Authors and licences of all parents; nothing else of their notes is true of the mix."""
    notes = {}
    for key in _JOINED_NOTES:
        texts = [str(voice.extra[key]) for voice in voices if voice.extra.get(key)]
        if texts:
            notes[key] = "; ".join(dict.fromkeys(texts))
    return notes


def _set_notes(voices: Sequence[VoiceFile], shares: Sequence[float]) -> dict:
    """Names, noise and gain if all parents agree, and the mean of the median pitches if all tell theirs."""
    names = {names_of(voice.extra) for voice in voices}
    medians = [median_of(voice.extra) for voice in voices]
    median = None
    if all(medians):
        octaves = sum(share * math.log2(hz) for share, hz in zip(shares, medians, strict=True)) / sum(shares)
        median = 2**octaves
    notes = voice_notes(median, names.pop() if len(names) == 1 else None)
    for key, told in ((NOISE_KEY, noise_scale_of), (GAIN_KEY, gain_of)):
        values = {told(voice.extra) for voice in voices}
        if len(values) == 1 and None not in values:
            notes[key] = values.pop()
    return notes


def _pairs(first: VoiceFile, second: VoiceFile) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Name and the two applied weights, float64; weight norm resolved, speakers cut to the fewer."""
    one, two = _applied(first.weights), _applied(second.weights)
    for name, tensor in one.items():
        rows = min(len(tensor), len(two[name]))
        yield name, tensor[:rows].double(), two[name][:rows].double()


def _applied(weights: Tensors) -> Tensors:
    applied = {}
    for name, tensor in weights.items():
        layer, _, part = name.rpartition(".")
        if part == "weight_v":
            applied[f"{layer}.weight"] = fused_weight(weights, layer)
        elif part != "weight_g":
            applied[name] = tensor
    return applied


def _cosine(sums: torch.Tensor) -> float:
    """(a·b, a·a, b·b) -> cosine; two empty or zero vectors count as equal."""
    dot, one, two = sums.tolist()
    if one == 0 or two == 0:
        return 1.0 if one == two else 0.0
    return dot / (one * two) ** 0.5
