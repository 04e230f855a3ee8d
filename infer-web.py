"""Starts the page in the browser. `python infer-web.py --help` lists its flags."""

import os
import sys

LOOPBACK = "localhost,127.0.0.1,::1"


def _exempt_this_machine() -> None:
    """A proxy must not be asked for our own page; downloads still use it. Before any library reads it."""
    for name in ("NO_PROXY", "no_proxy"):
        exempt = os.environ.get(name, "")
        if "127.0.0.1" not in exempt:
            os.environ[name] = f"{exempt},{LOOPBACK}" if exempt else LOOPBACK


_exempt_this_machine()

import config  # noqa: E402
from infer.jobs.command import parse  # noqa: E402
from infer.jobs.stage import EXIT_DONE, EXIT_EXPECTED  # noqa: E402
from infer.lib.errors import RvcError  # noqa: E402
from infer.web.home import Home  # noqa: E402
from infer.web.launch import PageOptions, serve  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """0 when the page was stopped, 2 for wrong flags, 3 if it could not be started."""
    options = parse(PageOptions, sys.argv[1:] if argv is None else argv, "python infer-web.py")
    home = Home(
        root=config.ROOT,
        assets=(options.assets or config.ASSETS).absolute(),
        logs=(options.logs or config.LOGS).absolute(),
        weights=(options.weights or config.WEIGHTS).absolute(),
        output=(options.output or config.ROOT / "opt").absolute(),
        settings=config.settings,
        device=options.device,
    )
    try:
        serve(options, home, config.PORT)
    except RvcError as error:
        print(error, file=sys.stderr)
        return EXIT_EXPECTED
    except KeyboardInterrupt:
        print("stopped")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
