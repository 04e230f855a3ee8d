"""What go-web.sh, go-web.bat and run-tests.sh do once they have found a Python.

    python -m tools.launch [--gpu | --cpu] [WORD] [ARGUMENTS...]

prepares `.venv`, then runs the program behind WORD with the arguments as they are.
"""

import os
import subprocess
import sys
from pathlib import Path

from infer.lib.errors import RvcError
from tools import environment
from tools.environment import ROOT

WORDS = {
    "convert": "tools.cmd.infer_cli",
    "train": "tools.cmd.train_all",
    "download": "tools.download_assets",
    "doctor": "tools.doctor",
    "preprocess": "infer.stages.preprocess",
    "extract_f0": "infer.stages.extract_f0",
    "extract_content": "infer.stages.extract_content",
    "train_only": "infer.stages.train",
    "index": "infer.stages.index",
    "ckpt": "infer.stages.ckpt",
}
USAGE = f"""\
usage: go-web [--gpu | --cpu] [WORD] [ARGUMENTS...]

Without a word the page is started. Words: {", ".join(WORDS)}, test.
--gpu and --cpu choose the build of torch to install; by default the machine decides.
`go-web WORD --help` lists the arguments of a word."""
LOOPBACK = "localhost,127.0.0.1,::1"
EXIT_USAGE, EXIT_EXPECTED, EXIT_STOPPED = 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Exit code of what was run; 2 for an unknown word, 3 if the environment cannot be made."""
    build, rest = split_build(sys.argv[1:] if argv is None else argv)
    if rest[:1] in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    word = rest[0] if rest and not rest[0].startswith("-") else ""
    if word and word != "test" and word not in WORDS:
        print(f"{word!r} is no word of this program.\n\n{USAGE}", file=sys.stderr)
        return EXIT_USAGE
    try:
        python = environment.ensure(build=build, tests=word == "test", say=_say)
    except (RvcError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_EXPECTED
    if word == "test":
        return run_tests(python, rest[1:])
    return start(command(python, rest))


def split_build(argv: list[str]) -> tuple[str | None, list[str]]:
    """Leading --gpu and --cpu are ours; the same flags after a word are the program's."""
    build, rest = None, list(argv)
    while rest and rest[0] in ("--gpu", "--cpu"):
        build = rest.pop(0)[2:]
    return build, rest


def command(python: Path, rest: list[str]) -> list[str]:
    """The argument list for a word and its arguments, or for the page."""
    if rest and rest[0] in WORDS:
        return [str(python), "-m", WORDS[rest[0]], *rest[1:]]
    return [str(python), str(ROOT / "infer-web.py"), *rest]


def variables() -> dict[str, str]:
    """The program's environment variables: its own modules only, and no proxy for this machine itself."""
    values = environment.clean_environment()
    exempt = values.get("no_proxy") or values.get("NO_PROXY") or ""
    no_proxy = f"{exempt},{LOOPBACK}" if exempt else LOOPBACK
    return values | {
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",  # a config.py in the user's own folder is not ours
        "PYTHONUTF8": "1",
    }


def start(argv: list[str]) -> int:
    """Run to the end in the user's working directory. On POSIX this process becomes the program."""
    if os.name != "nt":
        sys.stdout.flush()
        os.execve(argv[0], argv, variables())
    try:
        return subprocess.run(argv, env=variables()).returncode
    except KeyboardInterrupt:
        return EXIT_STOPPED


def run_tests(python: Path, arguments: list[str]) -> int:
    """Lint, format check and tests: all are run, the first failure's code is returned."""
    commands = [
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "pytest", *arguments],
    ]
    codes = [subprocess.run([str(python), *each], cwd=ROOT, env=variables()).returncode for each in commands]
    return next((code for code in codes if code), 0)


def _say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    sys.exit(main())
