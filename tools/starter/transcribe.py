"""Guesses what is said in the English recordings that have no transcript.

    python -m tools.starter.transcribe --speech=../shared/speech --output=guesses.jsonl

PocketSphinx with its own English model (`pip install -r tools/starter/requirements.txt`); a line of JSON for
each recording: `path`, and `segs`, a list of [word, first frame, last frame, log probability], 100 frames a
second. Recordings that stand in the output already are passed over.
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from infer.jobs.command import option
from infer.jobs.events import Progress, Report
from infer.jobs.stage import stage_main
from infer.lib.audio import load
from tools.starter import material

SAMPLE_RATE = 16000
PEAK = 0.7
BEAM, WORD_BEAM, MOST_STATES = 1e-60, 1e-40, 30000  # wider than its defaults: time is no matter here


@dataclass(frozen=True)
class TranscribeOptions:
    """Guess the words of untranscribed English recordings."""

    speech: Path = option(help="folder of the recordings, with manifest.csv")
    output: Path = option(help="file for the guesses; continued if it exists")
    workers: int = option(2, help="processes")


def run(options: TranscribeOptions, report: Report) -> None:
    """Appends a line for each recording, as they are done."""
    table = material.manifest(options.speech)
    rows = [row for row in table if row["language"] == "en" and not row["transcript"]]
    rows.sort(key=lambda row: -float(row["seconds"]))
    done = _done(options.output)
    waiting = [row["path"] for row in rows if row["path"] not in done]
    with ProcessPoolExecutor(options.workers) as pool, options.output.open("a", encoding="utf-8") as out:
        guesses = pool.map(_guess, [str(options.speech / path) for path in waiting])
        for number, (path, segs) in enumerate(zip(waiting, guesses, strict=True), 1):
            out.write(json.dumps({"path": path, "segs": segs}) + "\n")
            out.flush()
            report(Progress(number, len(waiting), path))


def _done(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {json.loads(line)["path"] for line in path.read_text(encoding="utf-8").splitlines()}


def _guess(path: str) -> list[tuple[str, int, int, float]]:
    audio = load(Path(path), SAMPLE_RATE)
    audio = audio / max(float(np.abs(audio).max()), 1e-6) * PEAK
    decoder = _decoder()
    decoder.reinit_feat()  # what was heard before does not matter
    decoder.start_utt()
    decoder.process_raw((audio * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    return [(seg.word, seg.start_frame, seg.end_frame, float(seg.prob)) for seg in decoder.seg() or ()]


@cache
def _decoder():
    from pocketsphinx import Decoder

    return Decoder(
        samprate=SAMPLE_RATE,
        loglevel="FATAL",
        bestpath=True,
        beam=BEAM,
        wbeam=WORD_BEAM,
        maxhmmpf=MOST_STATES,
    )


def main(argv: list[str] | None = None) -> int:
    return stage_main(TranscribeOptions, "tools.starter.transcribe", argv)


if __name__ == "__main__":
    sys.exit(main())
