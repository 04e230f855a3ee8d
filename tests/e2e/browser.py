"""A real browser before a real page: the server is a process of its own, as users start it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infer.lib.files import REPO
from infer.web.launch import free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_MS = 120_000  # of a busy machine; nothing waits so long where all is well
START_S = 240.0
try:
    import playwright
except ImportError:
    playwright = None
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or playwright is None,
    reason="needs a browser: install Chromium (Debian: apt install chromium) and pip install playwright",
)


class Server:
    """`infer-web.py` on the folders below `root`."""

    def __init__(self, root: Path, program: tuple[str, ...] = ("infer-web.py",), **environment: str):
        self.root, self.program, self.environment = root, program, environment
        self.port = free_port("127.0.0.1", 19865)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen | None = None

    def start(self) -> "Server":
        folders = [f"--{name}={self.root / name}" for name in ("logs", "weights", "output")]
        argv = [sys.executable, *self.program, "--noautoopen", f"--port={self.port}", "--device=cpu"]
        own = {"GRADIO_TEMP_DIR": str(self.root / "cache"), "GRADIO_ANALYTICS_ENABLED": "False"}
        log = (self.root / "console.txt").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*argv, *folders],
                cwd=REPO,
                env={**os.environ, **own, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            assert self.process.poll() is None, self.console()
            time.sleep(0.1)
        self.kill()
        raise AssertionError(f"the page did not start: {self.console()}")

    def kill(self) -> None:
        """As a power cut would end it: nothing is cleaned up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def console(self) -> str:
        return (self.root / "console.txt").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def open_page(browser, url: str, language: str = "en-US"):
    """A new visitor on the page; mistakes in its scripts are collected in `page.mistakes`."""
    page = browser.new_context(locale=language, viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.mistakes = []
    page.on("pageerror", lambda error: page.mistakes.append(str(error)))
    page.goto(url)
    page.wait_for_selector("button[role=tab]")
    return page


def tab(page, number: int) -> None:
    """0 Convert, 1 Train, 2 ckpt, 3 Help, 4 System."""
    page.locator("button[role=tab]").nth(number).click()


def type_into(page, elem_id: str, text: str) -> None:
    box = page.locator(f"#{elem_id} input, #{elem_id} textarea").first
    box.fill(text)
    box.press("Enter")
    box.blur()


def choose(page, elem_id: str, label: str) -> None:
    """An item of a dropdown."""
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=label, exact=True).click()


# A short run may be over before anybody looks for its beginning: what was there before the click is marked.
MARK = "document.querySelectorAll('#rvc-info *').forEach(part => part.rvcSeen = true)"
NEW_FACTS = (
    "[...document.querySelectorAll('#rvc-info *')].some(e => !e.rvcSeen && e.innerText?.includes('Hz'))"
)


def converted(page) -> None:
    """Clicks Convert and waits for its result and the pitch plot."""
    page.evaluate(MARK)
    page.locator("#rvc-convert").click()
    page.wait_for_function(NEW_FACTS)
    page.wait_for_selector("#rvc-pitch svg")


def bubbles(page) -> list[str]:
    """What the error bubbles say."""
    return [bubble.inner_text() for bubble in page.locator(".toast-body.error").all()]
