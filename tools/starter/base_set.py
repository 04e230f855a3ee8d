"""Arranges the recordings that are fit for the base generator, one numbered folder for each speaker.

    python -m tools.starter.base_set --speech=../shared/speech --output=base_set

Fit is what holds sound above 10 kHz and comes from no held-out speaker. So that the base has heard more
pitches and vocal tracts than there are speakers, some are added a second time at another speed, as speakers
of their own (pitch, formants and tempo move together); they are no demo voices.
"""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main
from infer.lib.audio import load, probe, resample
from tools.starter import material

MIN_BANDWIDTH_HZ = 10000
# The first ones are the demo voices, so their numbers must stay.
SPEAKERS = ("kathleen", "flemishguy", "nathalie", "LJ", "librivox-sonnets-reader", "p230", "thorsten", "rdh")
SPEAKERS += (
    "3575",
    "5105",
    "8463",
    "unk-ms_gt_1",
    "unk-ms_gt_2",
    "unk-ms_gt_3",
    "unk-ms_gt_4",
    "unk-ms_gt_5",
)
# speaker, speed, every how many-th recording
VARIANTS = (
    ("kathleen", 0.82, 4), ("kathleen", 0.91, 5), ("kathleen", 1.12, 5), ("kathleen", 1.25, 5),
    ("nathalie", 0.84, 4), ("nathalie", 1.15, 4), ("nathalie", 1.3, 5),
    ("flemishguy", 0.9, 5), ("flemishguy", 1.15, 4), ("flemishguy", 1.35, 5), ("flemishguy", 1.55, 6),
)  # fmt: skip


@dataclass(frozen=True)
class BaseSetOptions:
    """Arrange the training set of the base generator."""

    speech: Path = option(help="folder of the recordings, with manifest.csv")
    output: Path = option(help="folder for the arranged recordings")
    workers: int = option(2, help="processes")


@dataclass(frozen=True)
class Copy:
    """One recording to put into place."""

    source: Path
    target: Path
    speed: float


def run(options: BaseSetOptions, report: Report) -> dict:
    """Copies what is missing; returns the number of recordings."""
    copies = list(_plan(options))
    with ProcessPoolExecutor(options.workers) as pool:
        list(pool.map(_put, copies, chunksize=16))
    report(Log(f"{len(copies)} recordings of {len({copy.target.parent for copy in copies})} speakers"))
    return {"recordings": len(copies)}


def _plan(options: BaseSetOptions) -> Iterator[Copy]:
    left_out = {speaker for _, speaker in material.heldout_speakers()}
    rows = [r for r in material.manifest(options.speech) if float(r["bandwidth_hz"]) >= MIN_BANDWIDTH_HZ]
    for number, (name, speed, step) in enumerate([(name, 1.0, 1) for name in SPEAKERS] + list(VARIANTS)):
        if name in left_out:  # their numbers stay free
            continue
        folder = options.output / (f"{number} {name}" if speed == 1 else f"{number} {name} at {speed}")
        for row in [row for row in rows if row["speaker"] == name][::step]:
            source = options.speech / row["path"]
            suffix = source.suffix if speed == 1 else ".flac"
            yield Copy(source, folder / f"{source.stem}{suffix}", speed)


def _put(copy: Copy) -> None:
    if copy.target.is_file():
        return
    copy.target.parent.mkdir(parents=True, exist_ok=True)
    part = copy.target.with_name(f"part-{copy.target.name}")
    if copy.speed == 1:
        shutil.copyfile(copy.source, part)
    else:
        rate = probe(copy.source).sample_rate
        soundfile.write(part, resample(load(copy.source, rate), round(rate * copy.speed), rate), rate)
    part.replace(copy.target)


def main(argv: list[str] | None = None) -> int:
    return stage_main(BaseSetOptions, "tools.starter.base_set", argv)


if __name__ == "__main__":
    sys.exit(main())
