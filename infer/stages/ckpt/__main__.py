"""`python -m infer.stages.ckpt`: work on voice files: extract, merge, show, share and so on."""

import sys
from collections.abc import Sequence

from infer.jobs.stage import EXIT_DONE, EXIT_USAGE, stage_main
from infer.stages.ckpt.options import ACTIONS

PROG = "python -m infer.stages.ckpt"


def usage() -> str:
    """The actions, one line each."""
    lines = [f"  {name:10}{options.__doc__}" for name, options in ACTIONS.items()]
    return "\n".join([f"usage: {PROG} ACTION ...", "", *lines, "", f"{PROG} ACTION --help tells the options"])


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    action = arguments[0].replace("_", "-") if arguments else ""
    if action in ACTIONS:
        return stage_main(ACTIONS[action], "infer.stages.ckpt.run", arguments[1:], prog=f"{PROG} {action}")
    asked = action in ("-h", "--help")
    print(usage(), file=sys.stdout if asked else sys.stderr)
    return EXIT_DONE if asked else EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
