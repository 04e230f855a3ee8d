"""Trained networks to the int8 files of assets/starter.

    python -m tools.starter.pack --encoder=encoder.safetensors --name=starter-2
    python -m tools.starter.pack --generator=logs/base/G_2333333.pth --speakers=speakers.json
    python -m tools.starter.pack --experiment=logs/base --speakers=speakers.json

`--speakers` is JSON: {"0": "Kathleen", "3": {"name": "Thorsten", "median_hz": 118.4}}. The numbers are those
of the base's speaker table; all who have a name can be chosen in the page, and get rows in the index.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.jobs.command import option
from infer.jobs.events import Finished, Log, Report
from infer.jobs.experiment import Experiment
from infer.jobs.stage import stage_main
from infer.lib import checkpoint, retrieval
from infer.lib.checkpoint_layout import (
    GAIN_KEY,
    MAX_GAIN_DB,
    MEDIAN_HZ,
    NOISE_KEY,
    SPEAKER_MEDIANS,
    SPEAKER_NAMES,
    noise_scale_of,
    plain_names,
)
from infer.lib.checkpoint_packed import rounding_error, unpacked
from infer.lib.content import ContentEncoder, load_encoder
from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import REPO
from infer.lib.models.spec import FEATURE_DIMS, ModelSpec
from infer.lib.packed_layout import ENCODER, GENERATOR, VOICE_KEY
from infer.lib.speaker_index import write_rows
from infer.lib.starter_files import BASE_FILE, ENCODER_FILE, INDEX_FILE
from infer.stages.index.rows import scan

STAGE, VERSION = "pack", "v2"
MOST_INDEX_BYTES = 3_500_000
MOST_ROWS = 200_000  # rows of a speaker that k-means looks at


@dataclass(frozen=True)
class PackOptions:
    """Pack an encoder, a base and an index for assets/starter: whichever of them is given."""

    encoder: Path | None = option(None, help="content encoder (safetensors, fp32 or fp16)")
    name: str = option("", help="what the encoder is called, starter-2 for instance (default: as it says)")
    generator: Path | None = option(None, help="G_*.pth to make the base of")
    experiment: Path | None = option(None, help="experiment whose content features make the index")
    speakers: Path | None = option(None, help="JSON of the demo speakers: number -> name")
    encoder_name: str = option("", help="encoder of the base and index (default: as recorded)")
    info: str = option("", help="what the base says about itself")
    licence: str = option("", help="licence of the base")
    noise_scale: float | None = option(
        None, help="noise that suits the base, 0..1 (default: as recorded, else RVC's)"
    )
    gain_db: float = option(0.0, help="what the demo voice's sound is turned up or down by, in dB")
    rows: int = option(1500, help="rows of the index for a speaker, at most")
    rows_of: int = option(-1, help="speaker whose content indexes all of them (default: each their own)")
    output: Path = option(REPO / "assets" / "starter", help="folder for the files")

    def __post_init__(self):
        if self.rows < 2:
            raise ValueError(f"rows is {self.rows}, but must be at least 2")
        if self.noise_scale is not None and not 0 <= self.noise_scale <= 1:
            raise ValueError(f"noise_scale is {self.noise_scale}, but must be 0..1")
        if not abs(self.gain_db) <= MAX_GAIN_DB:
            raise ValueError(f"gain_db is {self.gain_db}, but must be -{MAX_GAIN_DB:g}..{MAX_GAIN_DB:g}")
        if not (self.encoder or self.generator or self.experiment):
            raise ValueError("say what to pack: --encoder, --generator or --experiment")
        if self.experiment and not self.speakers:
            raise ValueError("the index needs the speakers whose rows it holds: --speakers")


@dataclass(frozen=True)
class Speaker:
    """A demo speaker; the pitch in Hz, 0 if it is not told."""

    name: str
    median_hz: float = 0.0


def run(options: PackOptions, report: Report) -> dict:
    """Writes the files; the summary holds their sizes in bytes."""
    speakers = read_speakers(options.speakers) if options.speakers else {}
    written = []
    if options.encoder:
        written.append(pack_encoder(options, report))
    if options.generator:
        written.append(pack_base(options, speakers, report))
    if options.experiment:
        written.append(pack_index(options, speakers, report))
    summary = {str(path): path.stat().st_size for path in written}
    report(Finished(STAGE, summary))
    return summary


def read_speakers(path: Path) -> dict[int, Speaker]:
    """Number -> speaker. Raises MissingFile or BadInput."""
    if not path.is_file():
        raise MissingFile(f"there is no {path}")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told = told.get("speakers", told)
        return {
            int(number): Speaker(**value) if isinstance(value, dict) else Speaker(str(value))
            for number, value in told.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} does not name speakers ({error})", '{"0": "Kathleen"} does') from error


def pack_encoder(options: PackOptions, report: Report) -> Path:
    """The content encoder, with the heads that its training used: they measure its phones."""
    tensors, notes = checkpoint.read_tensors(options.encoder), checkpoint.read_metadata(options.encoder)
    notes |= {"name": options.name or notes.get("name", "")}
    path = options.output / ENCODER_FILE
    stored = checkpoint.write_packed(path, tensors, ENCODER, **notes)
    _tell(path, tensors, stored, report)
    encoder: ContentEncoder = load_encoder(path, options.output)
    report(Log(f"its name is {encoder.name}: features must be made with this file"))
    return path


def pack_base(options: PackOptions, speakers: dict[int, Speaker], report: Report) -> Path:
    """The whole generator, and what a voice file would say of it."""
    source = options.generator
    training = checkpoint.read_training(source)
    model = plain_names(training.model)
    if not any(name.startswith("enc_q.") for name in model):
        raise BadInput(f"{source} has no posterior encoder", "give a G_*.pth of a training")
    recorded = training.extra.get("spec")
    spec = ModelSpec(**recorded) if recorded else checkpoint.spec_from_tensors(model)
    encoder = options.encoder_name or training.extra.get("encoder")
    if not encoder:
        raise BadInput(f"{source} does not record its content encoder", "name it with --encoder-name")
    if wrong := [number for number in speakers if not 0 <= number < spec.n_speakers]:
        raise BadInput(f"{source} has no speaker {wrong[0]}", f"its speakers are 0..{spec.n_speakers - 1}")
    notes = {
        "config": spec.voice_config(), "version": spec.version, "sr": spec.rate_label, "f0": int(spec.use_f0),
        "info": options.info or f"{training.iteration}epoch", "encoder": encoder,
        "fill_unvoiced": bool(training.extra.get("fill_unvoiced")), **_told(speakers),
    }  # fmt: skip
    if options.licence:
        notes["licence"] = options.licence
    noise = noise_scale_of(training.extra) if options.noise_scale is None else options.noise_scale
    if noise is not None:
        notes[NOISE_KEY] = noise
    if options.gain_db:
        notes[GAIN_KEY] = options.gain_db
    path = options.output / BASE_FILE
    stored = checkpoint.write_packed(path, model, GENERATOR, **{VOICE_KEY: json.dumps(notes)})
    _tell(path, model, stored, report)
    return path


def pack_index(options: PackOptions, speakers: dict[int, Speaker], report: Report) -> Path:
    """Means of each demo speaker's content features."""
    experiment = Experiment.find(options.experiment)
    encoder = options.encoder_name or experiment.read_settings().encoder
    if not encoder:
        raise BadInput(f"{experiment.root} does not record its encoder", "name it with --encoder-name")
    of_stem = experiment.speakers()
    paths = sorted(experiment.content(VERSION).glob("*.npy"))
    rows = {}
    for number in [options.rows_of] if options.rows_of >= 0 else speakers:
        own = [path for path in paths if of_stem.get(path.name.split(".")[0], 0) == number]
        rows[number] = speaker_rows(own, options.rows)
        name = speakers[number].name if number in speakers else f"speaker {number}"
        report(Log(f"{name}: {len(rows[number])} rows of {len(own)} clips"))
    if options.rows_of >= 0:
        rows = dict.fromkeys(speakers, rows[options.rows_of])
    path = options.output / INDEX_FILE
    write_rows(path, rows, encoder)
    if path.stat().st_size > MOST_INDEX_BYTES:
        report(Log(f"{path} is larger than {MOST_INDEX_BYTES} bytes: choose fewer --rows"))
    return path


def speaker_rows(paths: Sequence[Path], most: int) -> np.ndarray:
    """At most `most` means [N, 768] of the features in the files."""
    features = scan(paths, FEATURE_DIMS[VERSION], lambda done, name: None)
    if features.total < 2:
        raise BadInput("a demo speaker has no content features in this experiment", "check the numbers")
    if features.total > MOST_ROWS:
        return retrieval.k_means(features.sample(MOST_ROWS, retrieval.SEED), most)
    return retrieval.k_means(features.shuffled(retrieval.SEED), most)


def _told(speakers: dict[int, Speaker]) -> dict:
    """Names and pitches by number, as voice files keep them."""
    if not speakers:
        return {}
    listed = [speakers.get(number, Speaker("")) for number in range(max(speakers) + 1)]
    notes = {SPEAKER_NAMES: [speaker.name for speaker in listed]}
    if any(speaker.median_hz for speaker in listed):
        notes[SPEAKER_MEDIANS] = [speaker.median_hz for speaker in listed]
    pitches = [speaker.median_hz for speaker in listed if speaker.median_hz]
    return {**notes, **({MEDIAN_HZ: pitches[0]} if len(pitches) == 1 else {})}


def _tell(path: Path, tensors: dict, stored: dict, report: Report) -> None:
    """Size, and the rounding error of the weights."""
    errors = rounding_error(tensors, unpacked(stored, path))
    rounded = {name: error for name, error in errors.items() if f"{name}.scale" in stored}
    worst = max(rounded, key=rounded.get, default=None)
    if worst:
        mean = sum(rounded.values()) / len(rounded)
        report(Log(f"rounding: {mean:.3%} of a weight on average, at most {rounded[worst]:.3%} ({worst})"))
    report(Log(f"{path}: {path.stat().st_size / 1e6:.2f} MB"))


def main(argv: list[str] | None = None) -> int:
    return stage_main(PackOptions, "tools.starter.pack", argv)


if __name__ == "__main__":
    sys.exit(main())
