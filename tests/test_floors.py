"""The house rules that a program can check: who imports whom, and how large things may grow."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "infer.lib": 0,
    "infer.jobs": 1,
    "infer.stages": 2,
    "infer.vc": 2,
    "infer.web": 3,
    "tools": 3,
    "config": 3,
}
NEIGHBOURS = {"infer.stages": "infer.vc", "infer.vc": "infer.stages"}
EVERYWHERE = ("infer.lib.errors",)
MOST_FUNCTION_LINES, MOST_FILE_LINES, MOST_POSITIONAL = 60, 400, 5
LONG_FUNCTION_LINES, LONG_SHARE = 50, 0.03
# RVC's users start tools by their file name.
FILES_TO_START = ("tools.cmd.infer_cli", "tools.cmd.train_all", "tools.download_assets", "tools.doctor")
HEAVY = ("torch", "librosa", "scipy", "faiss", "gradio")
# Folder names inside an experiment.
EXPERIMENT_NAMES = ("0_gt_wavs", "1_16k_wavs", "2a_f0", "2b-f0nsf", "3_feature256", "3_feature768")
BROAD = ("Exception", "BaseException")


@cache
def sources() -> dict[Path, ast.Module]:
    """Every program file and its tree; tests are held to ruff alone."""
    files = [ROOT / "config.py", ROOT / "infer-web.py", *sorted((ROOT / "infer").rglob("*.py"))]
    files += sorted((ROOT / "tools").rglob("*.py"))
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> tuple[str, int] | None:
    """("infer.lib", 0) for infer.lib.mel; None for what belongs to no floor."""
    for name, floor in FLOORS.items():
        if module == name or module.startswith(name + "."):
            return name, floor
    return None


def imported(tree: ast.AST, names_too: bool = True) -> Iterator[tuple[str, int]]:
    """(module, line) of every import; `from a import b` counts as a and as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno
            if names_too:
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`torch.load` for that expression, else ""."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def offence(path: Path, target: str) -> str | None:
    """Why the module at `path` must not import `target`; None if it may."""
    if target in EVERYWHERE:
        return None
    mine, theirs = floor_of(module_of(path)), floor_of(target)
    if theirs is None or path.name == "infer-web.py":
        return None
    if theirs[0] == "config":
        entry = path.name in ("__main__.py", "config.py") or mine == ("tools", 3)
        return None if entry else "config belongs to entry points"
    if mine is None or mine[0] == "config":
        return None
    if theirs[1] > mine[1]:
        return f"{theirs[0]} is above {mine[0]}"
    if NEIGHBOURS.get(mine[0]) == theirs[0]:
        return f"{mine[0]} and {theirs[0]} do not know each other"
    return None


def report(offenders: list[str]) -> None:
    assert not offenders, "\n" + "\n".join(offenders)


def test_imports_only_go_down():
    report(
        [
            f"{path}:{line} imports {target}: {why}"
            for path, tree in sources().items()
            for target, line in dict.fromkeys(imported(tree, names_too=False))
            if (why := offence(path, target))
        ]
    )


def test_stages_do_not_import_one_another():
    offenders = []
    for path, tree in sources().items():
        if path.parts[:2] != ("infer", "stages") or len(path.parts) < 4:
            continue
        own = ".".join(path.parts[:3])
        for target, line in imported(tree, names_too=False):
            if target.startswith("infer.stages.") and not f"{target}.".startswith(f"{own}."):
                offenders.append(f"{path}:{line} imports {target}")
    report(offenders)


@pytest.mark.parametrize(
    ("path", "target", "allowed"),
    [
        ("infer/lib/mel.py", "infer.jobs.events", False),
        ("infer/lib/mel.py", "infer.lib.audio", True),
        ("infer/jobs/runner.py", "infer.lib.errors", True),
        ("infer/vc/voice.py", "infer.stages.index", False),
        ("infer/stages/index/run.py", "config", False),
        ("infer/stages/index/__main__.py", "config", True),
        ("infer/web/app.py", "infer.vc.pipeline", True),
        ("infer/stages/ckpt/run.py", "tools.doctor", False),
    ],
)
def test_the_rule_itself(path, target, allowed):
    assert (offence(Path(path), target) is None) is allowed


def test_imports_are_absolute_and_named():
    report(
        [
            f"{path}:{line} imports {target}"
            for path, tree in sources().items()
            for target, line in imported(tree)
            if target.startswith(".") or target.endswith(".*")
        ]
    )


def test_sys_path_is_left_alone():
    report(
        [
            f"{path}:{node.lineno} uses sys.path"
            for path, tree in sources().items()
            for node in ast.walk(tree)
            if dotted(node) == "sys.path"
        ]
    )


def test_only_one_module_reads_pickles():
    offenders = []
    for path, tree in sources().items():
        for name, call in calls(tree):
            if name in ("torch.load", "pickle.load", "pickle.loads", "joblib.load"):
                safe = any(word.arg == "weights_only" and word.value.value is True for word in call.keywords)
                if path != Path("infer/lib/checkpoint.py") or name != "torch.load" or not safe:
                    offenders.append(f"{path}:{call.lineno} calls {name}")
    report(offenders)


def test_experiment_names_are_written_once():
    offenders = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            value = node.value if isinstance(node, ast.Constant) else None
            if (
                isinstance(value, str)
                and "\n" not in value
                and any(name in value for name in EXPERIMENT_NAMES)
            ):
                offenders.append(f"{path}:{node.lineno} writes {value!r}")
    report([line for line in offenders if not line.startswith(str(Path("infer/jobs/experiment.py")))])


def test_nothing_passes_a_shell_or_is_evaluated():
    offenders = []
    for path, tree in sources().items():
        for name, call in calls(tree):
            shell = any(word.arg == "shell" and getattr(word.value, "value", 1) for word in call.keywords)
            if shell or name in ("eval", "exec", "os.system", "os.popen"):
                offenders.append(f"{path}:{call.lineno} calls {name or 'something'}{' in a shell' * shell}")
    report(offenders)


def test_the_environment_is_not_changed():
    """But by the shared main(), for the encoding of child processes, and by the page, for proxies."""
    allowed = (Path("infer/jobs/stage.py"), Path("infer-web.py"))
    offenders = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
            written = any(isinstance(t, ast.Subscript) and dotted(t.value) == "os.environ" for t in targets)
            called = isinstance(node, ast.Call) and dotted(node.func) in (
                "os.putenv",
                "os.environ.update",
                "os.environ.setdefault",
            )
            if (written or called) and path not in allowed:
                offenders.append(f"{path}:{node.lineno} changes os.environ")
    report(offenders)


def test_errors_are_caught_by_name():
    """`except Exception` belongs to main() functions, the page's handlers and the shared main alone."""
    outermost = (Path("infer/jobs/stage.py"), Path("infer/web/handlers.py"))
    offenders = []
    for path, tree in sources().items():
        allowed = {id(node) for f in functions(tree) if f.name == "main" for node in ast.walk(f)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            broad = any(kind is None or dotted(kind) in BROAD for kind in kinds)
            if broad and id(node) not in allowed and path not in outermost:
                offenders.append(f"{path}:{node.lineno} catches everything")
    report(offenders)


def test_no_global_statements():
    report(
        [
            f"{path}:{node.lineno}"
            for path, tree in sources().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Global)
        ]
    )


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return function.end_lineno - function.lineno + 1


def test_functions_are_short():
    report(
        [
            f"{path}:{function.lineno} {function.name} has {length(function)} lines"
            for path, tree in sources().items()
            for function in functions(tree)
            if length(function) > MOST_FUNCTION_LINES
        ]
    )


def test_few_functions_are_long():
    lengths = [length(function) for tree in sources().values() for function in functions(tree)]
    assert sum(n > LONG_FUNCTION_LINES for n in lengths) <= LONG_SHARE * len(lengths)


def test_files_are_short():
    report(
        [
            f"{path} has {count} lines"
            for path in sources()
            if (count := len((ROOT / path).read_text(encoding="utf-8").splitlines())) > MOST_FILE_LINES
        ]
    )


def test_functions_take_few_positional_parameters():
    offenders = []
    for path, tree in sources().items():
        for function in functions(tree):
            positional = [p.arg for p in function.args.posonlyargs + function.args.args]
            if len([name for name in positional if name not in ("self", "cls")]) > MOST_POSITIONAL:
                offenders.append(f"{path}:{function.lineno} {function.name}({', '.join(positional)})")
    report(offenders)


def entry_points() -> list[str]:
    """Every module of the program that is meant to be started."""
    mains = [module_of(path) for path in sources() if path.name == "__main__.py"]
    tools = [
        module_of(path)
        for path, tree in sources().items()
        if path.parts[0] == "tools" and path.parts[1] not in ("bench", "starter")
        if any(function.name == "main" for function in functions(tree))
    ]
    return sorted([main.removesuffix(".__main__") for main in mains] + tools)


def loaded_by(code: str) -> tuple[int, list[str], str]:
    """Exit code, heavy packages in sys.modules, and output of some Python code run afresh."""
    wrapped = (
        "import sys\n"
        "try:\n"
        f"    {code}\n"
        "    code = 0\n"
        "except SystemExit as stop:\n"
        "    code = stop.code or 0\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", wrapped], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    loaded = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return done.returncode, loaded[0] if loaded else [], done.stdout + done.stderr


@pytest.mark.parametrize("module", entry_points())
def test_help_is_light(module):
    """`--help` ends with 0 and loads no network library: it answers at once."""
    start = f"import runpy; sys.argv[1:] = ['--help']; runpy.run_module({module!r}, run_name='__main__')"
    code, heavy, output = loaded_by(start)
    assert code == 0, output
    assert "usage" in output.lower()
    assert heavy == []


@pytest.mark.parametrize("module", FILES_TO_START)
def test_tools_also_start_as_files(module, tmp_path):
    script = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(script), "--help"], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_help_of_the_page_is_light():
    start = "import runpy; sys.argv[1:] = ['--help']; runpy.run_path('infer-web.py', run_name='__main__')"
    code, heavy, output = loaded_by(start)
    assert (code, heavy) == (0, []), output
    assert "--port" in output


def light_modules() -> list[str]:
    """What commands and the page read before any work is done."""
    names = ["config", "infer.lib.errors", "infer.lib.files", "infer.lib.devices", "infer.lib.f0"]
    names += ["infer.lib.models.spec", "infer.vc.options"]
    names += [module_of(path) for path in sources() if path.parts[:2] == ("infer", "jobs")]
    return names + [module_of(path) for path in sources() if path.name == "options.py"]


def test_options_and_jobs_are_light():
    code, heavy, output = loaded_by(f"import {', '.join(dict.fromkeys(light_modules()))}")
    assert (code, heavy) == (0, []), output
