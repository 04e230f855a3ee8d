"""How fast and how small the page is, in a real browser.

    pip install playwright      and a Chromium of the system
    python -m tools.bench.page --voice=weights/singer.pth --recording=song.wav

First paint is compared with a bare Gradio page in the same run; clicks are timed while nothing else
happens, during training and during a long conversion.
"""

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import config
from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main
from infer.lib.errors import BadInput, MissingFile
from infer.web.launch import free_port

BARE = """
import sys
import gradio as gr
with gr.Blocks() as page:
    with gr.Tabs():
        with gr.Tab("one"):
            name = gr.Textbox(label="name")
            name.submit(lambda text: text, name, name)
page.launch(server_port=int(sys.argv[1]), ssr_mode=False, quiet=True)
"""
VISIBLE = "button[role=tab]"
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
CALLS = 200
PATIENCE_S = 120


@dataclass(frozen=True)
class BenchOptions:
    """Measure the page: first paint, memory, choosing a voice, clicks under load, many calls."""

    voice: Path = option(help="a voice file")
    recording: Path = option(help="a recording for the long conversion, a minute or more")
    trainset: Path | None = option(None, help="recordings to train on while clicking (none: not measured)")
    config: Path | None = option(None, help="hyper-parameter file for that training")
    repeat: int = option(3, help="starts of each page")
    clicks: int = option(15, help="clicks of each kind")
    chromium: str = option("", help="the browser's program; empty: as found on the PATH")


def run(options: BenchOptions, report: Report) -> None:
    """Prints one line for each measurement."""
    bench = Bench(options, report)
    with bench.browser() as browser:
        bench.first_paint(browser)
        with bench.our_page() as server:
            bench.choosing(server)
            bench.under_load(browser, server)
            bench.many_calls(server)


class Server:
    """A page in a process of its own."""

    def __init__(self, argv: list[str], port: int, environment: dict[str, str]):
        self.url = f"http://127.0.0.1:{port}/"
        self.started = time.perf_counter()
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=environment, cwd=config.ROOT)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def memory_mib(self) -> float:
        """Resident memory of the server."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Bench:
    """The measurements of one run."""

    def __init__(self, options: BenchOptions, report: Report):
        self.options, self._report = options, report
        self.folder = Path(tempfile.mkdtemp(prefix="page bench "))
        shutil.copy(options.voice, self._made("weights"))

    def say(self, text: str) -> None:
        self._report(Log(text))

    @contextlib.contextmanager
    def browser(self) -> Iterator:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError as error:
            raise MissingFile("playwright is not installed", "pip install playwright") from error
        program = self.options.chromium or shutil.which("chromium") or shutil.which("google-chrome")
        if not program:
            raise MissingFile("no Chromium was found", "name one with --chromium")
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=list(CHROMIUM))
            yield browser
            browser.close()

    def first_paint(self, browser) -> None:
        """Seconds from the start of the process, and from a reload, until the tabs are seen; memory."""
        cold: dict[str, list[float]] = {"bare": [], "ours": []}
        warm: dict[str, list[float]] = {"bare": [], "ours": []}
        memory: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(self.options.repeat):
            for name, start in (("bare", self._bare), ("ours", self._ours)):
                server = start()
                try:
                    page = browser.new_context().new_page()
                    _open(page, server.url)
                    cold[name].append(time.perf_counter() - server.started)
                    warm[name].append(_seconds(lambda page=page, url=server.url: _open(page, url)))
                    time.sleep(3)
                    memory[name].append(server.memory_mib())
                    page.context.close()
                finally:
                    server.stop()
        for what, unit, values in (
            ("start to first paint", "s", cold),
            ("reload", "s", warm),
            ("idle memory", "MiB", memory),
        ):
            bare, ours = (statistics.median(values[name]) for name in ("bare", "ours"))
            self.say(f"{what}: bare {bare:.2f} {unit}, ours {ours:.2f} {unit}, ratio {ours / bare:.2f}")

    @contextlib.contextmanager
    def our_page(self) -> Iterator[Server]:
        server = self._ours()
        try:
            _wait_until_up(server.url)
            yield server
        finally:
            server.stop()

    def choosing(self, server: Server) -> None:
        """The first choice of a voice on a fresh server, and later ones."""
        client = _client(server)
        name = self.options.voice.name
        times = [_seconds(lambda: client.predict(name, api_name="/infer_change_voice")) for _ in range(5)]
        self.say(f"choosing a voice: first {times[0]:.2f} s, then {statistics.median(times[1:]):.3f} s")

    def under_load(self, browser, server: Server) -> None:
        page = browser.new_context().new_page()
        _open(page, server.url)
        self._clicks(page, "idle")
        client = _client(server)
        conversion = client.submit(
            speaker_id=0,
            source=_file(self.options.recording),
            voice=self.options.voice.name,
            api_name="/infer_convert",
        )
        time.sleep(5)
        self._clicks(page, "during a conversion", lambda: not conversion.done())
        conversion.result(timeout=3600)
        self.say(f"memory after a conversion: {server.memory_mib():.0f} MiB")
        if self.options.trainset:
            job = self._start_training(client)
            self._clicks(page, "during training", lambda: _state(client, job) == "running")
            client.predict(job, api_name="/job_stop")

    def many_calls(self, server: Server) -> None:
        """Memory over many short conversions."""
        client = _client(server)
        clip = _short_clip(self.options.recording, self.folder)
        readings = []
        for number in range(CALLS + 1):
            if number % (CALLS // 4) == 0:
                readings.append(server.memory_mib())
            client.predict(
                speaker_id=0, source=_file(clip), voice=self.options.voice.name, api_name="/infer_convert"
            )
        line = ", ".join(f"{value:.0f}" for value in readings)
        self.say(f"memory over {CALLS} conversions, at each quarter: {line} MiB")

    def _clicks(self, page, when: str, still: Callable[[], bool] = lambda: True) -> None:
        """Milliseconds from a click on the refresh button to the server's answer, and for a tab to open."""
        answers, tabs = [], []
        for number in range(self.options.clicks):
            tab = page.locator(VISIBLE).nth(3 if number % 2 else 2)
            tabs.append(_seconds(lambda tab=tab: _switch(page, tab)))
            _switch(page, page.locator(VISIBLE).first)
            answers.append(_seconds(lambda: _click_refresh(page)))
        if not still():
            self.say(f"the work ended before the clicks {when} did: take a longer recording")
        for what, values in (("answered", answers), ("tab opened", tabs)):
            ordered = sorted(1000 * value for value in values)
            self.say(
                f"click {what} {when}: median {statistics.median(ordered):.0f} ms, worst {ordered[-1]:.0f} ms"
            )

    def _start_training(self, client) -> str:
        job = client.predict(
            experiment="bench",
            sample_rate="40k",
            use_f0=True,
            folder=str(self.options.trainset),
            f0_method="pm",
            total_epoch=100000,
            config=str(self.options.config or ""),
            wait=False,
            api_name="/train_start_all",
        )
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            status = client.predict(job, api_name="/job_status")
            if status["state"] not in ("queued", "running"):
                raise BadInput(f"the training did not run: {status['reason']}")
            if status["step"] == len(status["steps"]) - 1 and status["done"] > 0:
                return job
            time.sleep(1)
        raise BadInput("the training did not begin in ten minutes")

    def _ours(self) -> Server:
        port = free_port("127.0.0.1", 18865)
        folders = [f"--{name}={self._made(name)}" for name in ("logs", "weights", "output")]
        argv = [sys.executable, "infer-web.py", "--noautoopen", f"--port={port}", *folders]
        return Server(argv, port, self._environment())

    def _bare(self) -> Server:
        port = free_port("127.0.0.1", 18865)
        return Server([sys.executable, "-c", BARE, str(port)], port, self._environment())

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(self._made("cache")),
        }

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def _open(page, url: str) -> None:
    """Loads the page, as soon as the server answers, until its tabs can be seen."""
    _wait_until_up(url)
    page.goto(url, wait_until="commit")
    page.wait_for_selector(VISIBLE, timeout=PATIENCE_S * 1000)


def _switch(page, tab) -> None:
    tab.click()
    tab.and_(page.locator("[aria-selected=true]")).wait_for()


def _click_refresh(page) -> None:
    with page.expect_response(lambda response: "/gradio_api/" in response.url and response.ok) as answer:
        page.locator("#rvc-refresh").click()
    answer.value.finished()


def _wait_until_up(url: str) -> None:
    address = urllib.parse.urlsplit(url)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address.hostname, address.port)):
            return
        time.sleep(0.02)
    raise BadInput("the page did not start")


def _client(server: Server):
    from gradio_client import Client

    return Client(server.url, verbose=False)


def _file(path: Path):
    from gradio_client import handle_file

    return handle_file(path)


def _short_clip(recording: Path, folder: Path) -> Path:
    from infer.lib import audio

    path = folder / "short clip.wav"
    audio.save(path, audio.load(recording, 16000)[: 16000 // 2], 16000)
    return path


def _state(client, job: str) -> str:
    return client.predict(job, api_name="/job_status")["state"]


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main(argv: list[str] | None = None) -> int:
    return stage_main(BenchOptions, "tools.bench.page", argv)


if __name__ == "__main__":
    sys.exit(main())
