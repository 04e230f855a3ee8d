"""Speech by text-to-speech programs of Debian, which adds sentences, voices and languages to the recordings.

    python -m tools.starter.synthesis --output=tts --recordings=../shared/speech

Needs Debian's packages espeak-ng, flite, festival, festvox-kallpc16k, festvox-kdlpc16k, festvox-us-slt-hts
and bible-kjv (public-domain sentences), and ttspico of this folder's requirements.txt. The result, an Opus
file a sentence and a `manifest.csv` with the columns as the recordings', is synthetic and labelled as such:
corpus `tts-<program>`.
"""

import csv
import hashlib
import random
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

import soundfile

from infer.jobs.command import option
from infer.jobs.events import ItemFailed, Log, Progress, Report
from infer.jobs.stage import stage_main
from infer.lib.audio import load
from infer.lib.errors import BadInput
from infer.lib.files import REPO
from tools.starter import material
from tools.starter.corpus import CORRECTIONS, SURE

SAMPLE_RATE = 16000
COLUMNS = ("path", "corpus", "speaker", "seconds", "language", "bandwidth_hz", "transcript", "licence")
BOOKS = (
    "Mark 1:1-16:20", "Luke 1:1-24:53", "John 1:1-21:25", "Acts 1:1-28:31", "Genesis 1:1-50:26",
    "Proverbs 1:1-12:28", "Esther 1:1-5:14", "Ruth 1:1-4:22", "Job 3:1-12:25", "Jonah 1:1-4:11",
)  # fmt: skip
OPUS_LEVEL = 0.944  # libsndfile's compression level: about 20 kbit/s
MAX_CHARACTERS = {"en": 110, "ko": 45, "ja": 45}  # about eight seconds
MIN_CHARACTERS = 8
HELP_LANGUAGES = {"ko": "ko.md", "ja": "ja.md"}  # Debian's espeak-ng reads Chinese as spelled pinyin
ESPEAK_VARIANTS = ("m1", "m3", "m5", "m7", "f1", "f2", "f4", "f5", "klatt", "klatt4")
# Pico has no program of its own, and what crashes must not take this one along.
PICO = """
import sys, wave
from ttspico import TtsEngine
language, pitch, path = sys.argv[1:]
engine = TtsEngine(language)
engine.pitch = int(pitch)
sound = bytes(engine.speak(sys.stdin.read()))
with wave.open(path, "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(sound)
"""
_KANJI = re.compile(r"[\u4e00-\u9fff]+")  # espeak-ng spells them out in English
_MARKUP = re.compile(r"\{[^}]*\}|`[^`]*`|[*_#>|]|\[[^\]]*\]\([^)]*\)")


@dataclass(frozen=True)
class SynthesisOptions:
    """Speak sentences with SVOX Pico, espeak-ng, flite and festival."""

    output: Path = option(help="folder for the speech and its manifest.csv")
    recordings: Path = option(help="folder of the recordings, whose transcripts are spoken too")
    sentences: int = option(450, help="sentences for each of the most natural voices")
    foreign_sentences: int = option(150, help="sentences for each further language, over all its variants")
    workers: int = option(2, help="programs at a time")


@dataclass(frozen=True)
class Voice:
    """One voice of one program."""

    program: str  # flite, festival, espeak-ng or pico
    name: str
    language: str  # as espeak-ng calls it
    share: float = 1.0  # of the sentences of the most natural voices


PICO_PITCHES = (65, 75, 85, 100, 115, 130)  # percent
ENGLISH = (
    *(Voice("flite", name, "en-us") for name in ("slt", "rms", "awb")),  # a Scot, but with American words
    Voice("flite", "kal16", "en-us", 0.3),
    Voice("festival", "cmu_us_slt_arctic_hts", "en-us", 0.5),
    *(Voice("festival", name, "en-us", 0.3) for name in ("ked_diphone", "kal_diphone")),
    *(Voice("espeak-ng", f"{a}+{v}", a, 0.05) for a in ("en-us", "en-gb") for v in ESPEAK_VARIANTS),
    *(Voice("pico", f"en-GB+{pitch}", "en-gb", 0.4) for pitch in PICO_PITCHES),
    *(Voice("pico", f"en-US+{pitch}", "en-us", 0.2) for pitch in PICO_PITCHES),
)
GERMAN = tuple(Voice("pico", f"de-DE+{pitch}", "de", 0.1) for pitch in PICO_PITCHES)


def run(options: SynthesisOptions, report: Report) -> dict:
    """Speaks everything that is not there yet; returns {"spoken": count}. Raises BadInput without Pico."""
    if find_spec("ttspico") is None:
        raise BadInput("the package ttspico is missing", "pip install -r tools/starter/requirements.txt")
    tasks = list(plan(options))
    done = 0
    with ThreadPoolExecutor(options.workers) as pool:
        for (voice, text, _), spoken in zip(
            tasks, pool.map(lambda task: _speak_once(*task), tasks), strict=True
        ):
            done += 1
            if not spoken:
                report(ItemFailed(f"{voice.name}: {text}", "the program crashed on it"))
            report(Progress(done, len(tasks), "sentences"))
    rows = [_row(options.output, voice, text, path) for voice, text, path in tasks if path.is_file()]
    with (options.output / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    report(Log(f"{sum(float(row['seconds']) for row in rows) / 60:.0f} minutes in {len(rows)} files"))
    return {"spoken": len(rows)}


def plan(options: SynthesisOptions) -> Iterator[tuple[Voice, str, Path]]:
    """Who says what, and into which file. A language's voices take turns through one list of sentences."""
    texts = [
        *sentences_of(bible_text()),
        *prompts(options.recordings, "en"),
        *(sentence for text in corrected_texts() for sentence in sentences_of(text)),
    ]
    random.Random(0).shuffle(texts)
    for voices, language_texts in ((ENGLISH, texts), (GERMAN, prompts(options.recordings, "de"))):
        turns = cycle(language_texts)
        for voice in voices:
            yield from _files(options.output, voice, islice(turns, round(options.sentences * voice.share)))
    for language, name in HELP_LANGUAGES.items():
        text = plain(REPO / "assets" / "help" / name)
        turns = cycle(sentences_of(_KANJI.sub("", text) if language == "ja" else text, language))
        for variant in ESPEAK_VARIANTS:
            voice = Voice("espeak-ng", f"{language}+{variant}", language)
            count = options.foreign_sentences // len(ESPEAK_VARIANTS)
            yield from _files(options.output, voice, islice(turns, count))


def _files(output: Path, voice: Voice, texts) -> Iterator[tuple[Voice, str, Path]]:
    folder = output / voice.program / voice.name.replace("+", "-")
    # A file is named by its words, so that after a change of the plan none says something else.
    for text in dict.fromkeys(texts):
        yield voice, text, folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.opus"


def bible_text() -> str:
    """Verses, one a line, without their numbers."""
    return "\n".join(
        re.sub(r"^\S+ ", "", line) for book in BOOKS for line in _printed(["bible", "-f", book]).splitlines()
    )


def prompts(recordings: Path, language: str) -> list[str]:
    """The transcripts of a language's recordings that are short enough."""
    table = material.manifest(recordings)
    rows = [row for row in table if row["language"] == language and row["transcript"]]
    return sorted({row["transcript"] for row in rows if len(row["transcript"]) <= MAX_CHARACTERS["en"]})


def corrected_texts() -> list[str]:
    """What the readers without transcripts said, for a second speaker of their words."""
    return [row["text"] for row in material.rows(CORRECTIONS) if int(row["confidence"]) >= SURE]


def plain(path: Path) -> str:
    """A Markdown page as text."""
    return _MARKUP.sub("", path.read_text(encoding="utf-8"))


def sentences_of(text: str, language: str = "en") -> list[str]:
    """Parts between marks of punctuation, joined up to what takes about eight seconds.

    A longer part is cut between words; what cannot be is left out.
    """
    longest = MAX_CHARACTERS[language]
    parts = [
        piece
        for part in re.split(r"(?<=[.;:?!,。、，！？；])\s*|\n", text)
        for piece in textwrap.wrap(part, longest, break_long_words=False, break_on_hyphens=False)
    ]
    sentences, current = [], ""
    for part in parts:
        joined = f"{current} {part}".strip()
        if current and (len(joined) > longest or current[-1] in ".?!。！？"):
            sentences.append(current)
            joined = part
        current = joined
    return [sentence for sentence in [*sentences, current] if MIN_CHARACTERS <= len(sentence) <= longest]


def _speak_once(voice: Voice, text: str, path: Path) -> bool:
    """False where the program crashed, as festival's diphone voices do now and then."""
    if path.is_file():
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "spoken.wav"
        done = subprocess.run(_command(voice, wav), input=text, capture_output=True, text=True)
        if done.returncode < 0 or not wav.is_file():
            return False
        audio = load(wav, SAMPLE_RATE)
    part = path.with_suffix(".part")
    soundfile.write(part, audio, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    part.replace(path)
    return True


def _command(voice: Voice, wav: Path) -> list[str]:
    """Each program reads the text from its standard input."""
    if voice.program == "flite":
        return ["flite", "-voice", voice.name, "-f", "/dev/stdin", "-o", str(wav)]
    if voice.program == "espeak-ng":
        return ["espeak-ng", "--stdin", "-v", voice.name, "-w", str(wav)]
    if voice.program == "festival":
        return ["text2wave", "-eval", f"(voice_{voice.name})", "-o", str(wav)]
    if voice.program == "pico":
        language, pitch = voice.name.split("+")
        return [sys.executable, "-c", PICO, language, pitch, str(wav)]
    raise BadInput(f"unknown program {voice.program}", "use flite, festival, espeak-ng or pico")


def _row(output: Path, voice: Voice, text: str, path: Path) -> dict:
    info = soundfile.info(path)
    return {
        "path": path.relative_to(output).as_posix(),
        "corpus": f"tts-{voice.program}",
        "speaker": f"{voice.program}-{voice.name}",
        "seconds": f"{info.frames / info.samplerate:.3f}",
        "language": voice.language,
        "bandwidth_hz": SAMPLE_RATE // 2,
        "transcript": text,
        "licence": "synthetic",
    }


def _printed(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(argv: list[str] | None = None) -> int:
    return stage_main(SynthesisOptions, "tools.starter.synthesis", argv)


if __name__ == "__main__":
    sys.exit(main())
