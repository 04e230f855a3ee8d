"""What int8 does to the output: the same networks with the weights before and after packing, on recordings.

    python -m tools.starter.compare_int8 clips/*.wav --encoder=encoder.safetensors
    python -m tools.starter.compare_int8 clips/*.wav --generator=logs/base/G_2333333.pth --speaker-id=0

The generator is compared as a voice, with the same noise and the same content and pitch on both sides.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from infer.jobs.command import option
from infer.jobs.events import Finished, Log, Report
from infer.jobs.stage import stage_main
from infer.lib import audio, checkpoint, f0
from infer.lib.checkpoint_packed import packed, unpacked
from infer.lib.checkpoint_training import voice_from_training
from infer.lib.content import load_encoder
from infer.lib.errors import BadInput
from infer.lib.files import REPO
from infer.lib.mel import MelSettings, mel_spectrogram
from infer.lib.models.spec import ModelSpec, standard_config
from infer.lib.models.synthesizer import Draws
from infer.lib.packed_layout import ENCODER
from infer.vc.features import piece_features
from infer.vc.options import ConvertOptions
from infer.vc.pitch import track
from infer.vc.voice import Voice

STAGE, SAMPLE_RATE = "compare_int8", 16000
DECIBELS = 20 / np.log(10)  # of a natural logarithm of magnitudes


@dataclass(frozen=True)
class CompareOptions:
    """Measure how far the output of int8 weights is from that of the weights they were made of."""

    clips: tuple[Path, ...] = option(help="recordings", positional=True)
    encoder: Path | None = option(None, help="content encoder (not packed): compare its features")
    generator: Path | None = option(None, help="G_*.pth, not packed: compare its sound")
    features: Path | None = option(None, help="content encoder for the generator (default: the shipped one)")
    speaker_id: int = option(0, help="of the generator")
    f0_method: str = option("fcpe", help="pitch method", choices=f0.METHODS)
    most_s: float = option(10.0, help="seconds used of each recording")
    device: str = option("cpu", help="cpu or cuda:0")

    def __post_init__(self):
        if not (self.encoder or self.generator):
            raise ValueError("say what to compare: --encoder or --generator")


def run(options: CompareOptions, report: Report) -> dict:
    """Prints a line for each recording; the summary holds the means."""
    clips = {path.name: audio.load(path, SAMPLE_RATE) for path in options.clips}
    clips = {name: clip[: round(options.most_s * SAMPLE_RATE)] for name, clip in clips.items()}
    summary = {}
    if options.encoder:
        summary |= _means(compare_encoder(options, clips), report)
    if options.generator:
        summary |= _means(compare_generator(options, clips), report)
    report(Finished(STAGE, summary))
    return summary


def compare_encoder(options: CompareOptions, clips: dict) -> Iterable[tuple[str, dict[str, float]]]:
    """The size of the difference of the features relative to their own, and their cosine."""
    tensors, notes = checkpoint.read_tensors(options.encoder), checkpoint.read_metadata(options.encoder)
    before = load_encoder(options.encoder, REPO / "assets", options.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        checkpoint.write_packed(path, tensors, ENCODER, **notes)
        after = load_encoder(path, REPO / "assets", options.device)
    for name, clip in clips.items():
        wave = torch.from_numpy(clip)
        one, two = before.encode(wave, "v2"), after.encode(wave, "v2")
        yield (
            name,
            {
                "feature_error": float((two - one).norm() / one.norm()),
                "feature_cosine": float(torch.nn.functional.cosine_similarity(one, two, dim=1).mean()),
            },
        )


def compare_generator(options: CompareOptions, clips: dict) -> Iterable[tuple[str, dict[str, float]]]:
    """Signal to difference of the waves, and the mean difference of their log mels, both in dB."""
    before, after = voices(options)
    encoder = load_encoder(options.features or "starter", REPO / "assets", options.device)
    estimator = f0.estimator(options.f0_method, options.device, REPO / "assets")
    mel = MelSettings.of(standard_config(before.spec.version, before.spec.sample_rate).data)
    for name, clip in clips.items():
        curve = track(clip, estimator, ConvertOptions(), False)
        content = encoder.encode(torch.from_numpy(clip), before.spec.version)
        features = piece_features(content, len(clip), curve.hz, None, ConvertOptions())
        curve = replace(curve, hz=curve.hz[: len(features)])
        draws = fixed_draws(before.spec, len(features))
        one, two = (voice.synthesize(features, curve, options.speaker_id, draws) for voice in (before, after))
        mels = [mel_spectrogram(torch.from_numpy(wave)[None], mel) for wave in (one, two)]
        yield (
            name,
            {
                "wave_snr_db": float(20 * np.log10(np.linalg.norm(one) / np.linalg.norm(two - one))),
                "mel_l1_db": float((mels[0] - mels[1]).abs().mean()) * DECIBELS,
            },
        )


def voices(options: CompareOptions) -> list[Voice]:
    """The voice in the checkpoint, with the weights as they are and as int8 gives them back."""
    training = checkpoint.read_training(options.generator)
    recorded = training.extra.get("spec")
    spec = ModelSpec(**recorded) if recorded else checkpoint.spec_from_tensors(training.model)
    if not spec.use_f0:
        raise BadInput(f"{options.generator} is without pitch guidance", "compare one with it")
    rounded = unpacked(packed(training.model), options.generator)
    files = [
        voice_from_training(each, spec, source=options.generator)
        for each in (training, replace(training, model=rounded))
    ]
    return [Voice.of(file, options.generator, options.device) for file in files]


def fixed_draws(spec: ModelSpec, n_frames: int) -> Draws:
    noise = torch.Generator().manual_seed(0)
    return Draws(
        prior=torch.randn(1, spec.inter_channels, n_frames, generator=noise),
        source=torch.randn(1, n_frames * spec.hop, 1, generator=noise),
    )


def _means(rows: Iterable[tuple[str, dict[str, float]]], report: Report) -> dict[str, float]:
    told = []
    for name, values in rows:
        told.append(values)
        report(Log(f"{name}: " + ", ".join(f"{key} {value:.5g}" for key, value in values.items())))
    return {key: float(np.mean([values[key] for values in told])) for key in (told[0] if told else ())}


def main(argv: list[str] | None = None) -> int:
    return stage_main(CompareOptions, "tools.starter.compare_int8", argv)


if __name__ == "__main__":
    sys.exit(main())
