"""What the content encoder learns from: every recording with its speaker, and its phones if known.

    python -m tools.starter.corpus --speech=speech --tts=tts --guesses=guesses.jsonl --output=.

The phones of a transcript come from espeak-ng. Recordings without one get the guess of a recogniser
(`tools.starter.transcribe`), cut at its pauses into pieces of at most 12 s, or the corrected text of
`corrections.csv` where it has one. Held-out speakers (`heldout.csv`) are left out altogether, held-out
sentences lose their transcript wherever they occur.
Result: `items.json` beside the audio, `heldout.json` of the same form for measuring.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main
from infer.lib.files import write_text
from tools.starter import material, phones

MAX_PIECE_S, MAX_S, MIN_S = 12.0, 18.0, 0.6
CORRECTIONS = Path(__file__).with_name("corrections.csv")
SURE = 2  # a corrected text with less confidence has to win the encoder's trust, as a guess has
FRAMES_PER_S = 100  # of the recogniser
PAUSES = ("<s>", "</s>", "<sil>", "[NOISE]", "[SPEECH]", "[COUGH]", "[SMACK]")
MIN_FOREIGN = 20  # a phone of a further language must occur so often to have a class
LANGUAGES = ("en", "de", "nl", "en-us", "en-gb", "en-gb-scotland")  # covered by the known inventory


@dataclass(frozen=True)
class CorpusOptions:
    """Collect the training material of the content encoder."""

    speech: Path = option(help="folder of the recordings, with manifest.csv")
    tts: Path = option(help="folder of the synthetic speech, with manifest.csv")
    guesses: Path = option(help="what the recogniser heard, from tools.starter.transcribe")
    output: Path = option(help="folder for items.json and heldout.json, the one with speech, tts and audio")


@dataclass(frozen=True)
class Item:
    """A stretch of a recording. `start_s`, `end_s`: where in the file; `kind`: human, guess, tts or none."""

    path: str
    corpus: str
    speaker: str
    language: str
    start_s: float
    end_s: float
    kind: str
    text: str = ""
    phones: tuple[int, ...] = ()


def run(options: CorpusOptions, report: Report) -> dict:
    """Writes both lists; returns the minutes of each kind."""
    held = material.rows(material.HELDOUT)
    hidden = {_plain(row["transcript"]) for row in held if row["transcript"]}
    left_out = {row["speaker"] for row in held}
    items = [
        *_recordings(options.speech, hidden, left_out),
        *_guesses(options.guesses, options.speech, hidden, left_out),
        *_synthetic(options.tts, hidden),
    ]
    items = [item for item in items if MIN_S <= item.end_s - item.start_s <= MAX_S]
    inventory = _inventory(items)
    measured = [_held_item(row) for row in held if row["use"] == "measure"]
    for name, chosen in (("items", items), ("heldout", measured)):
        content = {"phones": inventory, "items": [asdict(item) for item in _with_phones(chosen, inventory)]}
        write_text(options.output / f"{name}.json", json.dumps(content, ensure_ascii=False))
    minutes = Counter()
    for item in items:
        minutes[item.kind] += (item.end_s - item.start_s) / 60
    report(Log(", ".join(f"{kind}: {value:.0f} min" for kind, value in minutes.items())))
    report(
        Log(f"{len(items)} items, {len(inventory)} phones, {len({item.speaker for item in items})} speakers")
    )
    return {kind: round(value, 1) for kind, value in minutes.items()}


def _recordings(folder: Path, hidden: set[str], left_out: set[str]) -> Iterator[Item]:
    """Transcribed recordings, and those in languages that the recogniser does not know."""
    for row in material.manifest(folder):
        if row["speaker"] in left_out or (row["language"] == "en" and not row["transcript"]):
            continue
        known = bool(row["transcript"]) and _plain(row["transcript"]) not in hidden
        yield _item(row, folder, "human" if known else "none", row["transcript"] if known else "")


def _synthetic(folder: Path, hidden: set[str]) -> Iterator[Item]:
    for row in material.manifest(folder):
        if _plain(row["transcript"]) not in hidden:
            yield _item(row, folder, "tts", row["transcript"])


def _item(row: dict, folder: Path, kind: str, text: str) -> Item:
    language = phones.language_of(row["language"], row["speaker"])
    path = f"{folder.name}/{row['path']}"
    return Item(path, row["corpus"], row["speaker"], language, 0.0, float(row["seconds"]), kind, text)


def _held_item(row: dict) -> Item:
    return Item(
        row["path"], row["corpus"], row["speaker"], row["language"], 0.0, float(row["seconds"]), "human",
        row["transcript"],
    )  # fmt: skip


def _guesses(path: Path, folder: Path, hidden: set[str], left_out: set[str]) -> Iterator[Item]:
    rows = {row["path"]: row for row in material.manifest(folder)}
    corrected = {row["path"]: row for row in material.rows(CORRECTIONS)}
    for line in path.read_text(encoding="utf-8").splitlines():
        guess = json.loads(line)
        row = rows[guess["path"]]
        if row["speaker"] in left_out:
            continue
        if correction := corrected.get(guess["path"]):
            sure = int(correction["confidence"]) >= SURE
            text = "" if _plain(correction["text"]) in hidden else correction["text"]
            yield _item(row, folder, ("human" if sure else "guess") if text else "none", text)
            continue
        for start_s, end_s, text in _pieces(guess["segs"], float(row["seconds"])):
            whole = _item(row, folder, "guess" if text else "none", text)
            yield replace(whole, start_s=start_s, end_s=end_s)


def _pieces(words: list, seconds: float) -> Iterator[tuple[float, float, str]]:
    """Cuts at pauses so that no piece is longer than MAX_PIECE_S, as far as there are pauses."""
    start, spoken, pause = 0.0, [], None
    for word, first, last, _ in words:
        if word in PAUSES:
            middle = (first + last + 1) / 2 / FRAMES_PER_S
            pause = (middle, len(spoken)) if spoken else pause
            continue
        spoken.append(_word(word))
        if pause and (last + 1) / FRAMES_PER_S - start > MAX_PIECE_S:
            cut, count = pause
            yield start, cut, " ".join(spoken[:count])
            start, spoken, pause = cut, spoken[count:], None
    yield start, seconds, " ".join(spoken)


def _word(word: str) -> str:
    """Without the number of its pronunciation: `read(2)`."""
    return word.split("(")[0]


def _inventory(items: list[Item]) -> list[str]:
    """The shipped encoder's phones, then the frequent ones of further languages."""
    known = list(phones.inventory())
    counts = Counter(
        phone
        for language in {item.language for item in items} - set(LANGUAGES)
        for spoken in phones.raw_phones_of_many([i.text for i in items if i.language == language], language)
        for phone in spoken
    )
    return known + sorted(p for p, n in counts.items() if n >= MIN_FOREIGN and p not in known)


def _with_phones(items: list[Item], inventory: list[str]) -> list[Item]:
    places = {phone: index for index, phone in enumerate(inventory)}
    by_language = defaultdict(list)
    for number, item in enumerate(items):
        if item.text:
            by_language[item.language].append(number)
    result = list(items)
    for language, numbers in by_language.items():
        texts = [items[number].text for number in numbers]
        if language in LANGUAGES:
            spoken = phones.phones_of_many(texts, language)
        else:
            spoken = phones.raw_phones_of_many(texts, language)
        for number, sounds in zip(numbers, spoken, strict=True):
            indices = tuple(places[phone] for phone in sounds if phone in places)
            result[number] = replace(items[number], phones=indices)
    return result


def _plain(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower()).strip()


def main(argv: list[str] | None = None) -> int:
    return stage_main(CorpusOptions, "tools.starter.corpus", argv)


if __name__ == "__main__":
    sys.exit(main())
