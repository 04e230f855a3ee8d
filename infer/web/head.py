"""The scripts at the top of the page, put there by the server, before Gradio's own are read.

Gradio takes the language from navigator.language, so the choice made on the page (a cookie) is
written there first. The server chooses; the browser only obeys.
"""

import json
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infer.lib.files import REPO
from infer.web.i18n import chosen_language, say

SCRIPTS = REPO / "assets" / "web"
_HEAD = b"<head>"
_LANGUAGE = b'lang="en"'


class PageHead:
    """ASGI middleware that adds language and scripts to the page `/`; everything else passes untouched."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = Request(scope).headers
        language = chosen_language(headers.get("cookie", ""), headers.get("accept-language", ""))
        await self.app(scope, receive, _Rewriter(send, language))


class _Rewriter:
    """Collects a page and sends it on with the additions."""

    def __init__(self, send: Send, language: str):
        self._send, self._language = send, language
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = with_head(self._body, self._language)
        headers = [(name, value) for name, value in self._start["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"cache-control", b"no-store"))  # the language may change
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def with_head(page: bytes, language: str) -> bytes:
    """The HTML of the page with `<html lang>` set and the scripts first in its head."""
    page = page.replace(_LANGUAGE, f'lang="{language}"'.encode(), 1)
    return page.replace(_HEAD, _HEAD + scripts(language).encode(), 1)


def scripts(language: str) -> str:
    """Titles of bubbles, `window.rvcLanguage`, then every script of assets/web in the order of names."""
    parts = [f"window.rvcLanguage = {json.dumps(language)};", *map(_text, sorted(SCRIPTS.glob("*.js")))]
    return _bubble_titles(language) + "".join(f"<script>{part}</script>" for part in parts)


def _bubble_titles(language: str) -> str:
    """Gradio titles its bubbles in English whatever it is told; page.css shows these instead."""
    texts = {kind: say(language, f"common.{kind}") for kind in ("error", "warning", "info")}
    rules = [f"--rvc-{kind}: {json.dumps(text, ensure_ascii=False)};" for kind, text in texts.items()]
    return f"<style>:root {{ {' '.join(rules)} }}</style>"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
