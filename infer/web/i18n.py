"""The page's texts in five languages.

Texts lie in assets/i18n/<language>/<area>.json as {"area.key": "text"}. `t` marks a label that
the browser translates; `say` gives the finished text for what a handler computes. The language is
that of the cookie, else what the browser asks for.
"""

import json
import re
from functools import cache
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext

from infer.lib.files import REPO

LANGUAGES = {
    "en": "English",
    "ko": "한국어",
    "ja": "日本語",
    "zh-CN": "简体中文",
    "zh-TW": "繁體中文",
}
DEFAULT = "en"
COOKIE = "rvc_language"
FOLDER = REPO / "assets" / "i18n"
SERVER_AREAS = ("errors",)  # never sent to the browser
_TRADITIONAL = ("zh-tw", "zh-hk", "zh-mo", "zh-hant")


def t(key: str) -> gr.i18n.I18nData:
    """A label that the browser shows in its language. KeyError for a key without English text."""
    texts(DEFAULT)[key]
    return gr.i18n.I18nData(key)


def say(language: str, key: str, /, **values: object) -> str:
    """The finished text, with `{name}` replaced by `values`. Falls back to English."""
    text = texts(language).get(key) or texts(DEFAULT)[key]
    return text.format(**values) if values else text


def known(key: str) -> bool:
    """Whether the key has a text."""
    return key in texts(DEFAULT)


def language_of(request: gr.Request | None = None) -> str:
    """The language of the page that asks: of `request`, or of the event being handled."""
    request = request or LocalContext.request.get(None)
    if request is None:
        return DEFAULT
    headers = getattr(request, "headers", None) or {}
    return chosen_language(headers.get("cookie", ""), headers.get("accept-language", ""))


def chosen_language(cookie: str, accept: str) -> str:
    """One of LANGUAGES from the two headers of a browser."""
    match = re.search(rf"(?:^|;\s*){COOKIE}=([\w-]+)", cookie)
    if match and match[1] in LANGUAGES:
        return match[1]
    for name in _by_preference(accept):
        if found := _closest(name):
            return found
    return DEFAULT


@cache
def texts(language: str) -> dict[str, str]:
    """All texts of a language. Raises ValueError naming the damaged file."""
    merged: dict[str, str] = {}
    for path in sorted((FOLDER / language).glob("*.json")):
        merged |= _read(path)
    return merged


def browser_texts() -> gr.I18n:
    """What the browser translates by itself: everything without placeholders."""
    return gr.I18n(**{language: _for_browser(language) for language in LANGUAGES})


def _for_browser(language: str) -> dict[str, str]:
    return {
        key: text
        for key, text in texts(language).items()
        if "{" not in text and key.partition(".")[0] not in SERVER_AREAS
    }


def _read(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def _by_preference(accept: str) -> list[str]:
    """Language tags of an Accept-Language header, the most wanted first."""
    weighted = []
    for number, part in enumerate(accept.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weighted.append((-float(quality or 1), number, tag.strip().lower()))
        except ValueError:
            continue  # a malformed weight: not a wish
    return [tag for _, _, tag in sorted(weighted) if tag]


def _closest(tag: str) -> str | None:
    if tag.startswith(_TRADITIONAL):
        return "zh-TW"
    if tag.startswith("zh"):
        return "zh-CN"
    base = tag.partition("-")[0]
    return base if base in LANGUAGES else None
