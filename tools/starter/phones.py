"""Text to phones by espeak-ng: IPA, stress removed, in the fixed inventory of the starter encoder.

    python -m tools.starter.phones --text="Please call Stella." [--language=en-gb]

A language is one of `VOICES` or any name of an espeak-ng voice; `en` is American. British phones that
the inventory lacks become the American phone of the same words, so one network learns both accents.
"""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infer.jobs.command import option, parse
from infer.lib.checkpoint_kinds import safetensors_header
from infer.lib.errors import BadInput, MissingFile

ENCODER = Path(__file__).resolve().parents[2] / "assets" / "starter" / "content_encoder.safetensors"
BLANK = 0
VOICES = {"en": "en-us"}
# The accents of the speakers whose recordings are not American; everything else in English is `en-us`.
BRITISH_SPEAKERS = frozenset(  # p335 is from New Zealand
    f"p{number}" for number in (225, 226, 227, 228, 230, 237, 244, 253, 258, 259, 272, 286, 335)
)
REPAIRS = {
    "ɒ": ("ɑː",),
    "eə": ("ɛɹ",),
    "əʊ": ("oʊ",),
    "ʊə": ("ʊɹ",),
    "œ̃": ("œ",),
    "eʊ": ("eː", "u"),
    "ɲ": ("n", "j"),
}
ENGLISH_REPAIRS = {"a": ("æ",)}  # British "cat"; in German and Dutch `a` is a phone of its own
_MARK = "papapa tatata papapa"  # a line that no text contains, between two texts
_BATCH = 2000  # texts for each process
_DROPPED = re.compile(r"[ˈˌ\u200d]|\([^)]*\)")  # stress, joiners, "(en)" where espeak changes the language

# The 39 classes of Lee and Hon (1989), without silence; what is not English has none.
_FOLDED = """
    iː:iy i:iy ɪ:ih ᵻ:ih ɛ:eh æ:ae ʌ:ah ə:ah ɐ:ah uː:uw u:uw ʊ:uh ɑː:aa ɔː:aa ɔ:aa oː:aa ɑ:aa
    eɪ:ey aɪ:ay ɔɪ:oy aʊ:aw oʊ:ow ɚ:er ɜː:er ɜ:er ɛɹ:eh+r ɪɹ:ih+r ʊɹ:uh+r ɑːɹ:aa+r ɔːɹ:aa+r oːɹ:aa+r
    iə:iy+ah aɪə:ay+ah aɪɚ:ay+er əl:l n̩:n l:l ɹ:r r:r w:w j:y m:m n:n ŋ:ng v:v f:f ð:dh θ:th z:z s:s
    ʃ:sh ʒ:sh dʒ:jh tʃ:ch b:b p:p d:d ɾ:dx t:t ɡ:g k:k h:hh
"""
FOLDING = {
    phone: tuple(classes.split("+")) for phone, classes in (pair.split(":") for pair in _FOLDED.split())
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhonesOptions:
    """Print the phones of a text."""

    text: str = option(help="what is said")
    language: str = option("en", help="en, en-gb, de, nl, or another espeak-ng voice")


@cache
def inventory(path: Path = ENCODER) -> tuple[str, ...]:
    """The phones of an encoder file, by their index; 0 is the blank of CTC. Raises MissingFile, BadInput."""
    if not path.is_file():
        raise MissingFile(f"{path} is missing")
    header = safetensors_header(path) or {}
    try:
        return tuple(json.loads(header["__metadata__"]["phones"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} names no phones", "use an encoder file with its training heads") from error


def language_of(language: str, speaker: str) -> str:
    """The voice for a speaker: `en` becomes `en-gb` for those known to be British."""
    return "en-gb" if language == "en" and speaker in BRITISH_SPEAKERS else language


def phones_of(text: str, language: str) -> list[str]:
    """The phones of one text, all of them in the inventory."""
    return phones_of_many([text], language)[0]


def phones_of_many(texts: list[str], language: str) -> list[list[str]]:
    """The phones of each text, by one process for every 2000 of them.

    Raises MissingFile where espeak-ng is not installed, BadInput for a voice it does not know.
    """
    voice = VOICES.get(language, language)
    result = []
    for start in range(0, len(texts), _BATCH):
        result += _batch(texts[start : start + _BATCH], voice)
    return result


def raw_phones_of_many(texts: list[str], language: str) -> list[list[str]]:
    """The same as espeak-ng has them, not brought into the inventory: for languages it was not made for."""
    voice = VOICES.get(language, language)
    return [
        spoken
        for start in range(0, len(texts), _BATCH)
        for spoken in _batch(texts[start : start + _BATCH], voice, _parted)
    ]


def indices_of(phones: list[str]) -> list[int]:
    """Positions in the inventory."""
    positions = _positions()
    return [positions[phone] for phone in phones]


def folded(phones: list[str]) -> list[str]:
    """Phones as the 39 English classes; a glottal stop and what is not English fall away."""
    return [name for phone in phones for name in FOLDING.get(phone, ())]


def _batch(
    texts: list[str], voice: str, phones_in: Callable[[str, str], list[str]] | None = None
) -> list[list[str]]:
    # Each text is a paragraph of its own: nothing of it may lean on its neighbour.
    paragraphs = [part for text in texts for part in (_MARK, _one_line(text))]
    lines = _espeak("\n\n".join(f"{part}." for part in paragraphs), voice)
    mark = lines[0]
    starts = [i for i, line in enumerate(lines) if line == mark] + [len(lines)]
    if len(starts) != len(texts) + 1:
        raise BadInput(f"espeak-ng answered for {len(starts) - 1} texts instead of {len(texts)}")
    spans = zip(starts, starts[1:], strict=False)
    phones_in = phones_in or _repaired
    return [phones_in(" ".join(lines[a + 1 : b]), voice) for a, b in spans]


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _espeak(text: str, voice: str) -> list[str]:
    """One line of phones for each clause, phones parted by `_`."""
    command = ["espeak-ng", "-q", "-v", voice, "--ipa", "--sep=_", "--stdin"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError as error:
        raise MissingFile("espeak-ng is not installed", "apt-get install espeak-ng") from error
    if done.returncode:
        raise BadInput(f"espeak-ng has no voice {voice!r}: {done.stderr.strip()}")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _parted(line: str, voice: str) -> list[str]:
    return [phone for phone in re.split(r"[_\s]+", _DROPPED.sub("", line)) if phone]


def _repaired(line: str, voice: str) -> list[str]:
    repairs = REPAIRS | (ENGLISH_REPAIRS if voice.startswith("en") else {})
    return [known for phone in _parted(line, voice) for known in repairs.get(phone) or _known(phone)]


@cache
def _known(phone: str) -> tuple[str, ...]:
    """The phone itself, or the longest pieces of it that the inventory has."""
    positions, pieces, rest = _positions(), [], phone
    while rest:
        size = next((n for n in range(len(rest), 0, -1) if rest[:n] in positions), 0)
        if size:
            pieces.append(rest[:size])
        rest = rest[max(size, 1) :]
    if pieces != [phone]:
        log.warning("the phone %r is not in the inventory: taken as %s", phone, pieces)
    return tuple(pieces)


@cache
def _positions() -> dict[str, int]:
    return {phone: index for index, phone in enumerate(inventory())}


def main(argv: list[str] | None = None) -> int:
    options = parse(PhonesOptions, sys.argv[1:] if argv is None else argv, "tools.starter.phones")
    print(" ".join(phones_of(options.text, options.language)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
