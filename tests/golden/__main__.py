"""`python -m tests.golden DIR`: every golden case in a folder, one line each; exit 1 if any fails.

The kind of a file is the known kind name inside its file name, whatever stands before it.
"""

import argparse
import importlib
import sys
import traceback
from pathlib import Path

from tests.golden.core import Case, Folder, Result

# kind name inside the file name -> (module in tests.golden.kinds, suffix). The first match wins.
KINDS = (
    ("train_step_", "training", ".npz"),
    ("loader_", "training", ".npz"),
    ("synth_", "synthesis", ".npz"),
    ("spectra_", "synthesis", ".npz"),
    ("end_to_end_", "conversion", ".npz"),
    ("track_and_split_", "conversion", ".npz"),
    ("parts", "conversion", ".npz"),
    ("preprocess_", "preparation", ".npz"),
    ("index_rules", "preparation", ".json"),
    ("rmvpe", "pitch", ".npz"),
    ("hubert", "content", ".npz"),
    ("files", "files", ".npz"),
    ("tiny_", "files", ".pth"),
    ("golden", "content", ".npz"),
)


def kind_of(path: Path) -> tuple[str, str] | None:
    """(kind, module) of a file, or None for inputs and descriptions."""
    for kind, module, suffix in KINDS:
        if path.suffix == suffix and kind in path.name:
            return kind, module
    return None


def run_case(folder: Folder, path: Path, kind: str, module: str) -> list[Result]:
    """All results of one file. A crash is a failed result, its traceback goes to standard error."""
    checks = importlib.import_module(f"tests.golden.kinds.{module}").CHECKS
    try:
        return list(checks[kind](Case(folder, path, kind)))
    except Exception as error:  # noqa: BLE001 - the other cases still have to run
        traceback.print_exc()
        return [
            Result(f"{path.stem} could not be computed ({type(error).__name__}: {error})", float("inf"), 0.0)
        ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of golden data")
    parser.add_argument("--only", default="", help="run only files whose name contains this")
    parser.add_argument(
        "--all", action="store_true", help="one line for each compared array, not for each case"
    )
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    folder, n_cases, n_failed = Folder(options.folder), 0, 0
    for path in folder.files():
        found = kind_of(path)
        if not found or options.only not in path.name:
            continue
        results = run_case(folder, path, *found)
        n_cases += 1
        n_failed += not (results and all(result.passed for result in results))
        for line in summary(path, results, options.all):
            print(line, flush=True)
    print(f"{n_cases - n_failed} passed, {n_failed} failed")
    return 1 if n_failed or not n_cases else 0


def summary(path: Path, results: list[Result], every: bool) -> list[str]:
    """The worst result of a case, measured by its tolerance; all that failed."""
    if not results:
        return [f"FAIL {path.name}: nothing in it could be compared"]
    if every:
        return [result.line() for result in results]
    failed = [result for result in results if not result.passed]
    if failed:
        return [result.line() for result in failed]
    worst = max(results, key=lambda result: result.error / result.tolerance if result.tolerance else 0.0)
    return [f"{worst.line()} (worst of {len(results)})"]


if __name__ == "__main__":
    sys.exit(main())
