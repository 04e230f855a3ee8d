"""Starts the page in the browser. `python infer-web.py --help` lists its flags."""

import sys
from dataclasses import dataclass

import config
from infer.jobs.command import option, parse
from infer.jobs.stage import EXIT_EXPECTED

HIGHEST_PORT = 65535
NOT_YET = """\
The page is not part of this version yet. On the command line everything works:
  bash go-web.sh convert INPUT OUTPUT    convert a recording or a folder (--help lists the controls)
  bash go-web.sh train --help            train a voice from a folder of recordings
On Windows write go-web.bat instead of bash go-web.sh."""


@dataclass(frozen=True)
class PageOptions:
    """The voice-conversion page; RVC's flags are accepted."""

    port: int = option(config.PORT, help="TCP port; out of range means the default")
    listen: bool = option(False, help="let other computers open the page")
    colab: bool = option(False, help="make a public link")
    noautoopen: bool = option(False, help="do not open the browser")
    noparallel: bool = option(False, help="RVC's flag, accepted")
    dml: bool = option(False, help="RVC's flag for DirectML, accepted; NVIDIA and CPU are supported")
    pycmd: str = option("", help="RVC's flag, accepted; the running Python is always used")

    def __post_init__(self):
        if not 0 <= self.port <= HIGHEST_PORT:
            object.__setattr__(self, "port", config.PORT)


def main(argv: list[str] | None = None) -> int:
    """Until the page exists: says so, and what to use instead."""
    parse(PageOptions, sys.argv[1:] if argv is None else argv, "python infer-web.py")
    print(NOT_YET, file=sys.stderr)
    return EXIT_EXPECTED


if __name__ == "__main__":
    sys.exit(main())
