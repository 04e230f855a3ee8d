"""Failures in the user's language.

The library raises English sentences. assets/i18n/<language>/errors.json holds translations under the
key "errors." + the sentence as the source writes it, every f-string expression (or run of them)
replaced by `{}`. A translation places the values with {0}, {1}; `{0!t}` translates the value too, where
it is itself a sentence. What has no translation stays English, under a heading that says so.
"""

import re
import string
from dataclasses import dataclass
from functools import cache, lru_cache

from infer.jobs.stage import os_sentence
from infer.lib.errors import RvcError
from infer.web.i18n import DEFAULT, language_of, say, texts

AREA = "errors."
OWN_KEYS = ("errors.heading", "errors.joined")  # not sentences of the library
SEPARATORS = (": ", "; ")
_HOLE = "{}"
_VALUE = r"""'[^']*'|"[^"]*"|.*?"""  # a quoted name may hold anything


@dataclass(frozen=True)
class Template:
    """A sentence with holes: how it is recognised, how specific it is, and what it becomes."""

    pattern: re.Pattern
    weight: int  # characters outside the holes
    translation: str


@dataclass(frozen=True)
class Found:
    """Text in the user's language; `weight` counts the English characters that were recognised."""

    text: str
    weight: int


class Said(RvcError):
    """A failure of the page itself: its sentence is in the language of the page already."""


def refusal(key: str, /, **values: object) -> Said:
    """The failure that the text `key` describes, in the language of the page that asks."""
    return Said(say(language_of(), key, **values))


def translated(error: Exception, language: str) -> str:
    """The failure as one sentence of `language`: what happened and what to do."""
    if isinstance(error, Said):
        return str(error)
    if isinstance(error, RvcError) and error.hint and language != DEFAULT:
        found = _joined(error.message.rstrip("."), ": ", error.hint, language)
        return found.text if found else say(language, "errors.heading", error=str(error))
    return translated_text(os_sentence(error) if isinstance(error, OSError) else str(error), language)


def translated_text(sentence: str, language: str) -> str:
    """An English sentence, such as the reason of a failed job, in `language`."""
    if language == DEFAULT or not sentence:
        return sentence
    found = _render(sentence, language)
    return found.text if found else say(language, "errors.heading", error=sentence)


def translated_words(words: str, language: str) -> str:
    """The same for a few words that may stay as they are: no heading."""
    found = _render(words, language) if language != DEFAULT else None
    return found.text if found else words


@cache
def templates(language: str) -> tuple[Template, ...]:
    """Every known sentence of a language."""
    known = {key.removeprefix(AREA): text for key, text in texts(language).items() if key.startswith(AREA)}
    sentences = {english: text for english, text in known.items() if AREA + english not in OWN_KEYS}
    phrases = "|".join(re.escape(english) for english in sentences if _HOLE not in english)
    return tuple(_template(english, text, phrases) for english, text in sentences.items())


def _template(english: str, translation: str, phrases: str) -> Template:
    """A hole that is to be translated prefers a known phrase."""
    literals = english.removesuffix(".").split(_HOLE)
    pattern = re.escape(literals[0])
    for number, literal in enumerate(literals[1:]):
        sentence = f"{{{number}!t}}" in translation
        pattern += f"({phrases}|{_VALUE})" if sentence else f"({_VALUE})"
        pattern += re.escape(literal)
    return Template(re.compile(pattern, re.DOTALL), sum(map(len, literals)), translation)


@lru_cache(maxsize=512)
def _render(sentence: str, language: str) -> Found | None:
    """The reading of `sentence`, whole or as message and hint, that recognises most of it."""
    readings = [_whole(sentence, language)]
    for separator in SEPARATORS:
        for match in re.finditer(re.escape(separator), sentence):
            left, right = sentence[: match.start()], sentence[match.end() :]
            readings.append(_joined(left, separator, right, language))
    return max((found for found in readings if found), key=lambda found: found.weight, default=None)


def _whole(sentence: str, language: str) -> Found | None:
    """By the most specific template that fits all of it."""
    fitting = [(t, m) for t in templates(language) if (m := t.pattern.fullmatch(sentence))]
    if not fitting:
        return None
    filler = _Filler(language)
    template, match = max(fitting, key=lambda pair: pair[0].weight)
    text = filler.format(template.translation, *match.groups())
    return Found(text, template.weight + filler.weight)


def _joined(left: str, separator: str, right: str, language: str) -> Found | None:
    """Message and hint: each translated as far as it is known."""
    message, hint = _whole(left, language), _render(right, language)
    if not message and not hint:
        return None
    weight = sum(found.weight for found in (message, hint) if found)
    if not message:  # the name of a file and what is wrong with it
        return Found(f"{left}{separator}{hint.text}", weight)
    text = say(language, "errors.joined", message=message.text, hint=hint.text if hint else right)
    return Found(text, weight)


class _Filler(string.Formatter):
    """str.format with one more conversion: !t translates the value. `weight`: what was recognised in them."""

    def __init__(self, language: str):
        self._language = language
        self.weight = 0

    def convert_field(self, value, conversion):
        if conversion != "t":
            return super().convert_field(value, conversion)
        found = _render(str(value), self._language)
        self.weight += found.weight if found else 0
        return found.text if found else value
