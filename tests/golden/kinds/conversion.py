"""parts*: filters, loudness, features of a piece. track_and_split_*, end_to_end_*: the pipeline."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from infer.lib import f0
from infer.lib.audio import highpass_coefficients, highpass_filtfilt, mix_envelope
from infer.lib.content import ContentEncoder
from infer.lib.devices import ChunkPlan
from infer.lib.f0.curve import F0Curve
from infer.lib.models.synthesizer import Synthesizer
from infer.lib.retrieval import FeatureIndex
from infer.vc import chunks, noise, pipeline, pitch
from infer.vc.features import frame_count, piece_features
from infer.vc.options import ConvertOptions
from infer.vc.shelf import ModelShelf
from infer.vc.voice import Voice
from tests.golden import fixtures
from tests.golden.core import DIM, Case, Result
from tests.golden.kinds.synthesis import build, model_spec

RATE_16K = 16000
EVERY_COLUMN = 4
RMS = re.compile(r"rms_out_([\d.]+)_every(\d+)")
PIECE = re.compile(r"vc_(v[12])_(\d+)_([\d.]+)_([\d.]+)_(f0|nof0)")
TRACK = re.compile(r"f0_key(-?[\d.]+)_pad(\d+)")
SPLIT = re.compile(r"split_([\d.]+)_([\d.]+)_([\d.]+)_([\d.]+)_rows")


def check_parts(case: Case) -> Iterator[Result]:
    arrays = case.inputs
    if "highpass_b" in arrays:
        for name, ours in zip(("highpass_b", "highpass_a"), highpass_coefficients(RATE_16K), strict=True):
            yield case.absolute(name, ours, arrays[name], 1e-9)
    if "highpass_out" in arrays:
        filtered = highpass_filtfilt(arrays["highpass_in"])
        yield case.absolute("highpass_out", filtered, arrays["highpass_out"], 1e-6)
    for name, golden in arrays.items():
        if match := RMS.fullmatch(name):
            source, target = _float(arrays["rms_source_16k_int16"]), _float(arrays["rms_target_int16"])
            mixed = mix_envelope(source, RATE_16K, target, case.sample_rate, float(match[1]))
            yield case.absolute(name, mixed[:: int(match[2])], golden, 1e-5)
        elif match := PIECE.fullmatch(name):
            yield from _piece(case, name, match)


def _piece(case: Case, name: str, match: re.Match) -> Iterator[Result]:
    version, samples, rate, protect, style = match.groups()
    audio = _float(case.inputs[f"vc_audio_int16_{samples}"])
    hz = case.inputs[f"vc_pitchf_{samples}"].reshape(-1) if style == "f0" else None
    content = torch.from_numpy(fixtures.hubert_stub(audio, DIM[version]))
    index = FeatureIndex.load(case.index_path(DIM[version]))
    options = ConvertOptions(index_rate=float(rate), protect=float(protect))
    features = piece_features(content, len(audio), hz, index, options)
    yield case.absolute(name, features[:, ::EVERY_COLUMN], case.inputs[name], 1e-4)
    for suffix in ("_p_len", "_pitch_frames"):
        if name + suffix in case.inputs:
            golden = int(np.reshape(case.inputs[name + suffix], -1)[0])
            yield case.equal(name + suffix, frame_count(len(audio), len(content)), golden)


def check_track_and_split(case: Case) -> Iterator[Result]:
    for name, golden in case.arrays.items():
        if match := TRACK.fullmatch(name):
            yield from _track(case, match, golden)
        elif match := SPLIT.fullmatch(name):
            yield from _split(case, match, golden)
    if "f0file_f0" in case.arrays:
        constant = F0Curve(np.full(len(case.inputs["f0file_f0"]), case.setting("f0file_hz", default=111.0)))
        pad_s = case.setting("f0file_pad", "f0file_x_pad", "x_pad", default=1)
        curve = constant.replace_from(case.inputs["f0file_rows"], round(pad_s * 100))
        yield case.relative("f0file_f0", curve.hz, case.inputs["f0file_f0"], 1e-6)
        yield case.equal("f0file_coarse", curve.coarse(), case.inputs["f0file_coarse"])


class GivenCurve:
    """In place of an estimator: Praat found this curve."""

    method = f0.METHODS["pm"]

    def __init__(self, hz: np.ndarray):
        self._hz = hz

    def __call__(self, audio: np.ndarray, frames: int) -> F0Curve:
        return F0Curve(self._hz).centre(frames)


def _track(case: Case, match: re.Match, golden: np.ndarray) -> Iterator[Result]:
    key, extra = float(match[1]), int(match[2])
    found = case.inputs["f0_in"]
    options = ConvertOptions(f0_up_key=key)
    audio = np.zeros((len(found) + extra) * f0.HOP)
    curve = pitch.track(audio, GivenCurve(found), options, fill=case.flavour == "2.3")
    curve = pitch.transpose(curve, options, pad_s=0)
    yield case.relative(match[0], curve.hz, golden, 1e-9)
    coarse = match[0].replace("f0_", "coarse_", 1)
    yield case.equal(coarse, curve.coarse(), case.inputs[coarse])


def _split(case: Case, match: re.Match, golden: np.ndarray) -> Iterator[Result]:
    plan = ChunkPlan(*(float(number) for number in match.groups()))
    filtered = pipeline.high_passed(pipeline.prepared(_float(case.inputs["split_audio_int16"])))
    points = chunks.split_points(filtered, plan, case.flavour)
    padded = chunks.pad(filtered, plan)
    n_frames = len(padded) // f0.HOP
    curve = F0Curve(np.geomspace(80, 600, len(filtered) // f0.HOP + 200)[:n_frames])
    coarse, rows, joins = curve.coarse(), [], [0]
    for place in chunks.pieces(points, len(padded), plan):
        audio = padded[place.start : place.stop]
        hz, bins = (values[place.first_frame : place.last_frame] for values in (curve.hz, coarse))
        frames = frame_count(len(audio), fixtures.hubert_frames(len(audio)))
        rows.append([len(audio), len(hz), hz[0], hz[-1], bins[0], audio[0], audio[-1], frames])
        joins.append(joins[-1] + (frames - 2 * round(plan.x_pad * 100)) * case.sample_rate // 100)
    rows = np.array(rows)
    yield case.equal(f"{match[0]} number of pieces", len(rows), len(golden))
    if len(rows) == len(golden):
        exact, samples = [0, 1, 4, 7], [5, 6]
        yield case.equal(f"{match[0]} counts", rows[:, exact], golden[:, exact])
        yield case.relative(f"{match[0]} pitch", rows[:, [2, 3]], golden[:, [2, 3]], 1e-6)
        yield case.absolute(f"{match[0]} samples", rows[:, samples], golden[:, samples], 1e-6)
    name = match[0].replace("_rows", "_joins")
    yield case.equal(name, np.array(joins), case.inputs[name])


class StubEncoder(ContentEncoder):
    """The golden data's stand-in for HuBERT."""

    family, name = "stub", "stub:golden"
    device, dtype = torch.device("cpu"), torch.float32

    def _content(self, audio: torch.Tensor, version: str) -> torch.Tensor:
        return torch.from_numpy(fixtures.hubert_stub(audio.numpy(), DIM[version]))


class StubShelf(ModelShelf):
    """A shelf whose encoder is the stand-in; everything else is real."""

    def encoder_for(self, voice: Voice) -> ContentEncoder:
        return StubEncoder()


class OpenIndexShelf(StubShelf):
    """The golden index has no recorded encoder: it was made with the stand-in."""

    def index(self, path: Path, speaker_id: int = 0) -> FeatureIndex:
        index = super().index(path, speaker_id)
        index.encoder = StubEncoder.name
        return index


def check_end_to_end(case: Case) -> Iterator[Result]:
    fill = case.flavour == "2.3"
    options = ConvertOptions(
        speaker_id=int(case.setting("speaker", "speaker_id", "sid", "spk", default=1)),
        f0_up_key=float(case.setting("key", "f0_up_key", "f0up_key", "transpose", default=2)),
        f0_method="pm",
        index_rate=float(case.setting("index_rate", default=0.6)),
        resample_sr=int(case.setting("resample", "resample_sr", default=0)),
        rms_mix_rate=float(case.setting("rms_mix_rate", "rms_mix", "rms", default=0.25)),
        protect=float(case.setting("protect", default=0.33)),
        fill_unvoiced=fill,
        split_rule=case.flavour,
    )
    sizes = zip(("x_pad", "x_query", "x_center", "x_max"), (1, 1, 2, 3), strict=True)
    plan = ChunkPlan(*(case.setting(name, default=size) for name, size in sizes))
    source = _float(case.inputs["audio_in_int16"])
    shelf = OpenIndexShelf(Path("assets"))
    if case.use_f0 and "f0" in case.inputs:
        padded = chunks.pad(pipeline.high_passed(pipeline.prepared(source)), plan)
        curve = pitch.track(padded, shelf.estimator("pm"), options, fill)
        curve = pitch.transpose(curve, options, plan.x_pad)
        yield case.relative("f0", curve.hz, case.inputs["f0"], 1e-6)
        yield case.equal("coarse", curve.coarse(), case.inputs["coarse"])
    spec = model_spec(case)
    voice = _voice(build(case, spec), spec)
    index = case.index_path(spec.feature_dim)
    hooks = pipeline.Hooks(noise=noise.none)
    result = pipeline.convert(source, voice, shelf, options, plan, index=index, hooks=hooks)
    golden = case.inputs["audio_out_int16"]
    yield case.absolute("audio_out_int16", result.audio, golden, 4)


def _voice(net: Synthesizer, spec) -> Voice:
    net = net.fuse_weight_norm().requires_grad_(False)
    return Voice(Path("golden.pth"), spec, net, "cpu", torch.float32, encoder=StubEncoder.name)


def _float(int16: np.ndarray) -> np.ndarray:
    return int16.astype(np.float32) / 32768


CHECKS = {"parts": check_parts, "track_and_split_": check_track_and_split, "end_to_end_": check_end_to_end}
