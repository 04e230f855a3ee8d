"""Serving the page: which port, who may open it, and what must be true before it does."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from starlette.middleware import Middleware

from infer.jobs.command import option
from infer.lib.errors import BadInput
from infer.web.home import Home

DEFAULT_PORT, HIGHEST_PORT, PORTS_TRIED = 7865, 65535, 100
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
NO_AUTH = "without a password anyone who reaches the page could use this computer"


@dataclass(frozen=True)
class PageOptions:
    """The voice-conversion page. RVC's flags are accepted."""

    port: int = option(0, help="TCP port, or the next free one; 0 or out of range: as in config.py")
    listen: bool = option(False, help="let other computers open the page; needs --auth")
    share: bool = option(False, help="make a public link through Gradio's servers; needs --auth")
    auth: str = option("", help="NAME:PASSWORD that visitors must enter")
    noautoopen: bool = option(False, help="do not open the browser")
    device: str = option("auto", help="auto, cpu, cuda:0, ...; the System tab can change it later")
    logs: Path | None = option(None, help="folder of the experiments, if not logs/")
    weights: Path | None = option(None, help="folder of the voices, if not weights/")
    assets: Path | None = option(None, help="folder of the models, if not assets/")
    output: Path | None = option(None, help="folder of batch results, if not opt/")
    colab: bool = option(False, help="RVC's flag for --share")
    noparallel: bool = option(False, help="RVC's flag: one process for slicing and pitch")
    dml: bool = option(False, help="RVC's flag for DirectML, accepted; NVIDIA and CPU are supported")
    pycmd: str = option("", help="RVC's flag, accepted; the running Python is always used")

    def __post_init__(self):
        if self.auth and not all(self.auth.partition(":")[::2]):
            raise ValueError("auth must be a name and a password joined by a colon: --auth=NAME:PASSWORD")
        for flag in ("listen", "share", "colab"):
            if getattr(self, flag) and not self.auth:
                raise ValueError(f"--{flag} needs --auth=NAME:PASSWORD, since {NO_AUTH}")

    @property
    def public(self) -> bool:
        return self.share or self.colab

    @property
    def address(self) -> str:
        return EVERYWHERE if self.listen else LOOPBACK

    def wanted_port(self, configured: int) -> int:
        """The port to try first: the flag's, else config.py's, else RVC's."""
        for port in (self.port, configured):
            if 0 < port <= HIGHEST_PORT:
                return port
        return DEFAULT_PORT


def free_port(address: str, wanted: int) -> int:
    """`wanted`, or the next port that is free. Raises BadInput when none is."""
    last = min(wanted + PORTS_TRIED, HIGHEST_PORT + 1)
    for port in range(wanted, last):
        with socket.socket() as probe:
            if os.name != "nt":  # there it would allow a port in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise BadInput(f"no port from {wanted} to {last - 1} is free", "choose another one with --port")


def serve(options: PageOptions, home: Home, configured_port: int) -> None:
    """Builds the page, serves it, opens the browser; returns when it is stopped."""
    port = free_port(options.address, options.wanted_port(configured_port))
    from infer.web import app  # Gradio: not needed to refuse a flag
    from infer.web.head import PageHead
    from infer.web.i18n import browser_texts

    blocks = app.build(home)
    name, _, password = options.auth.partition(":")
    blocks.queue(default_concurrency_limit=4)
    blocks.launch(
        server_name=options.address,
        server_port=port,
        inbrowser=not options.noautoopen,
        share=options.public,
        auth=(name, password) if name else None,
        show_error=True,
        ssr_mode=False,
        css_paths=[app.STYLE],
        i18n=browser_texts(),
        footer_links=["api"],
        allowed_paths=_readable(home),
        app_kwargs={"middleware": [Middleware(PageHead)]},
        enable_monitoring=False,
        quiet=True,
        prevent_thread_lock=True,
        _frontend=False,  # else Gradio gives up when a busy machine does not answer it within 3 seconds
    )
    print(f"The page is at {blocks.local_url} (stop it with Ctrl+C)", flush=True)
    if blocks.share_url:
        print(f"Public link: {blocks.share_url}", flush=True)
    blocks.block_thread()


def _readable(home: Home) -> list[str | Path]:
    """Folders whose files the page may show: results of batches, and nothing else."""
    return [home.output]
