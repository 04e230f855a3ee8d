"""go-web.sh, go-web.bat, run-tests.sh and what they start, without installing anything."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infer.lib.errors import BadInput, MissingFile, RvcError
from tools import environment, launch
from tools.environment import CPU, CUDA, OLD_CUDA, PLAIN, Card

ROOT = environment.ROOT
ODD_FOLDER = "a b (한글) it's! & $HOME"
ODD_ARGUMENTS = ["-12", "two words", "한글.wav", "$HOME", "a'b\"c", "*", "", "--cpu", "--f0=--x;y"]
STUB = "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.getcwd(), sys.path]))\n"
MODERN, PASCAL, OLD_DRIVER = Card(580, (9, 0)), Card(580, (6, 1)), Card(535, (8, 6))
needs_bash = pytest.mark.skipif(os.name == "nt", reason="bash")


@pytest.fixture
def house(tmp_path):
    """A copy of the launchers in a folder with a difficult name; tools.launch shows what it was given."""
    folder = tmp_path / ODD_FOLDER
    (folder / "tools").mkdir(parents=True)
    for name in ("go-web.sh", "run-tests.sh"):
        shutil.copy(ROOT / name, folder)
    (folder / "tools" / "__init__.py").touch()
    (folder / "tools" / "launch.py").write_text(STUB, encoding="utf-8")
    return folder


def run_script(script: Path, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
    command = [shutil.which("bash"), str(script), *arguments]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)


@needs_bash
def test_arguments_arrive_as_they_are_from_any_folder(house, tmp_path):
    (tmp_path / "config.py").write_text("raise SystemExit('a stranger')")
    done = run_script(house / "go-web.sh", "convert", *ODD_ARGUMENTS, cwd=tmp_path, CDPATH="/")
    assert done.returncode == 0, done.stderr
    arguments, cwd, path = json.loads(done.stdout)
    assert arguments == ["convert", *ODD_ARGUMENTS]
    assert Path(cwd) == tmp_path
    assert str(house) in path
    assert str(tmp_path) not in path
    assert "" not in path


@needs_bash
def test_run_tests_passes_arguments_to_pytest(house, tmp_path):
    done = run_script(house / "run-tests.sh", "-k", "two words", cwd=tmp_path)
    assert json.loads(done.stdout)[0] == ["test", "-k", "two words"]


@needs_bash
def test_without_a_fitting_python_it_says_so(house, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "bash"):
        (tools / name).symlink_to(shutil.which(name))
    for name in ("python3", "python"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    done = run_script(house / "go-web.sh", cwd=tmp_path, PATH=str(tools))
    assert done.returncode == 3
    assert "Python 3.11 or 3.12 was not found" in done.stderr


@needs_bash
@pytest.mark.parametrize("name", ["go-web.sh", "run-tests.sh", ".ci/run"])
def test_scripts_parse_and_are_executable(name):
    assert subprocess.run(["bash", "-n", str(ROOT / name)]).returncode == 0
    assert os.access(ROOT / name, os.X_OK)


def test_the_windows_launcher():
    raw = (ROOT / "go-web.bat").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "cmd needs CRLF"
    text = raw.decode("ascii")
    assert "DisableDelayedExpansion" in text
    assert not re.search(r"(?im)^\s*(if|for)\b[^\r\n]*\(\s*$", text), "a ) in the folder's name ends a block"
    labels = set(re.findall(r"(?m)^:(\w+)", text))
    assert set(re.findall(r"goto (\w+)", text)) <= labels
    for line in text.splitlines():
        if "%~dp0" in line and not line.startswith("rem"):
            assert '"%~dp0' in line or '"PYTHONPATH=%~dp0"' in line


@pytest.mark.parametrize(
    ("wanted", "system", "cards", "build"),
    [
        (None, "linux", [], PLAIN),
        (None, "linux", [MODERN], PLAIN),
        (None, "linux", [PASCAL], OLD_CUDA),
        (None, "linux", [OLD_DRIVER], OLD_CUDA),
        (None, "linux", [PASCAL, MODERN], PLAIN),
        (None, "linux", [Card(580, (3, 7))], PLAIN),
        ("cpu", "linux", [MODERN], CPU),
        ("gpu", "linux", [], PLAIN),
        (None, "win32", [], PLAIN),
        (None, "win32", [MODERN], CUDA),
        (None, "win32", [PASCAL], OLD_CUDA),
        ("cpu", "win32", [MODERN], PLAIN),
        ("gpu", "win32", [], CUDA),
        (None, "darwin", [], PLAIN),
    ],
)
def test_the_build_of_torch_fits_the_machine(wanted, system, cards, build):
    assert environment.choose_build(wanted, system, cards) == build


@needs_bash
@pytest.mark.parametrize(
    ("answer", "cards"),
    [
        ("580.65.06, 9.0\n535.104, 8.6\n", [Card(580, (9, 0)), Card(535, (8, 6))]),
        ("NVIDIA-SMI has failed\n", []),
        ("", []),
    ],
)
def test_cards_are_read_from_the_driver(tmp_path, monkeypatch, answer, cards):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tool))
    assert environment.find_cards() == cards


class FakeSetUp:
    """Stands in for venv and pip; `steps` records what would have been done."""

    def __init__(self, root: Path, monkeypatch):
        self.root, self.steps, self.fails = root, [], False
        (root / "tests").mkdir(parents=True)
        (root / "requirements.txt").write_text(
            "# why\ntorch==2.11.0\ntorchaudio==2.11.0  # too\nnumpy==2.4.6\n"
        )
        (root / "tests" / "requirements.txt").write_text("pytest==9.2.0\n")
        monkeypatch.setattr(environment, "find_cards", list)
        monkeypatch.setattr(environment, "make", self.make)
        monkeypatch.setattr(environment, "pip", self.pip)
        monkeypatch.setattr(environment, "_runs", lambda python: python.exists())
        monkeypatch.setattr(environment, "_link", lambda root, python: None)
        monkeypatch.setattr(environment, "reachable", lambda url: True)

    def make(self, root, say):
        self.steps.append("make")
        python = environment.python_of(root)
        python.parent.mkdir(parents=True)
        python.touch()

    def pip(self, python, arguments):
        if self.fails:
            raise RvcError("the installation stopped")
        self.steps.append(" ".join(arguments).replace(f"{self.root}/", ""))

    def ensure(self, **options):
        self.steps.clear()
        environment.ensure(self.root, say=lambda text: None, **options)
        return list(self.steps)


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    return FakeSetUp(tmp_path / ODD_FOLDER, monkeypatch)


def test_made_once_then_kept(set_up):
    assert set_up.ensure() == ["make", "-r requirements.txt"]
    assert set_up.ensure() == []


def test_test_tools_are_added_and_kept(set_up):
    set_up.ensure()
    assert set_up.ensure(tests=True)[-1] == "-r tests/requirements.txt"
    assert set_up.ensure() == []
    assert set_up.ensure(tests=True) == []


def test_a_half_made_environment_is_completed(set_up):
    set_up.fails = True
    with pytest.raises(RvcError, match="installation stopped"):
        set_up.ensure()
    set_up.fails = False
    assert set_up.ensure() == ["-r requirements.txt"]
    assert set_up.ensure() == []


def test_changed_requirements_are_installed(set_up):
    set_up.ensure()
    with (set_up.root / "requirements.txt").open("a") as file:
        file.write("scipy==1.17.1\n")
    assert set_up.ensure() == ["-r requirements.txt"]


def test_a_damaged_stamp_counts_as_unfinished(set_up):
    set_up.ensure()
    (set_up.root / ".venv" / "installed.json").write_text('{"build": ')
    assert set_up.ensure() == ["-r requirements.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="builds differ")
def test_a_flag_replaces_the_build_and_is_remembered(set_up):
    set_up.ensure()
    packages = "torch==2.11.0 torchaudio==2.11.0"
    index = f"--index-url {environment.TORCH_INDEX}/cpu"
    assert set_up.ensure(build="cpu") == [f"{index} --force-reinstall {packages}", "-r requirements.txt"]
    assert set_up.ensure() == []
    assert set_up.ensure(build="gpu") == [f"--force-reinstall {packages}", "-r requirements.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="builds differ")
def test_an_unreachable_index_falls_back_to_the_plain_build(set_up, monkeypatch):
    monkeypatch.setattr(environment, "reachable", lambda url: False)
    steps = set_up.ensure(build="cpu")
    assert steps == ["make", "torch==2.11.0 torchaudio==2.11.0", "-r requirements.txt"]


def test_an_unsupported_python_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 13, 0))
    with pytest.raises(BadInput, match=r"install Python 3\.11 or 3\.12"):
        environment.make(tmp_path)


def test_too_little_disk_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "NEEDED_GIB", 10**9)
    with pytest.raises(BadInput, match="GiB are free"):
        environment.make(tmp_path)
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_names_the_package(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(environment.venv, "create", fail)
    monkeypatch.setattr(environment, "NEEDED_GIB", 0)
    with pytest.raises(MissingFile, match=r"python3\.\d+-venv"):
        environment.make(tmp_path)


def test_an_unreachable_server_is_noticed():
    assert environment.reachable("http://127.0.0.1:9") is False


@pytest.mark.parametrize(
    ("argv", "build", "rest"),
    [
        (["--cpu", "convert", "--gpu"], "cpu", ["convert", "--gpu"]),
        (["convert", "--cpu"], None, ["convert", "--cpu"]),
        (["--gpu"], "gpu", []),
    ],
)
def test_build_flags_stand_first(argv, build, rest):
    assert launch.split_build(argv) == (build, rest)


def test_words_and_the_page():
    python = Path("p")
    assert launch.command(python, ["train", "--a b"]) == ["p", "-m", "tools.cmd.train_all", "--a b"]
    assert launch.command(python, ["--port=1"]) == ["p", str(ROOT / "infer-web.py"), "--port=1"]
    assert launch.command(python, [])[1:] == [str(ROOT / "infer-web.py")]


def test_every_word_names_a_module():
    for module in launch.WORDS.values():
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_an_unknown_word_is_wrong_usage(capsys):
    assert launch.main(["konvert"]) == 2
    assert "'konvert'" in capsys.readouterr().err


def test_failure_of_the_set_up_is_one_sentence(monkeypatch, capsys):
    def fail(**options):
        raise RvcError("no disk", "free some")

    monkeypatch.setattr(environment, "ensure", fail)
    assert launch.main(["doctor"]) == 3
    assert capsys.readouterr().err == "no disk: free some\n"


def test_this_machine_is_reached_without_a_proxy(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    values = launch.variables()
    assert values["NO_PROXY"] == values["no_proxy"] == "example.org,localhost,127.0.0.1,::1"
    assert values["https_proxy"] == "http://127.0.0.1:9"


@needs_bash
def test_all_checks_run_and_the_first_failure_counts(tmp_path, capfd):
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho "$@"\n[ "$2" = pytest ] && exit 0\n[ "$3" = --check ] && exit 0\nexit 7\n'
    )
    python.chmod(0o755)
    assert launch.run_tests(python, ["-k", "x"]) == 7
    ran = capfd.readouterr().out.splitlines()
    assert ran == ["-m ruff check .", "-m ruff format --check .", "-m pytest -k x"]


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_requirements_are_pinned_with_a_reason(name):
    reason = False
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[\w-]+(==[\d.]+|<\d+)", line), line
            assert reason, f"{line} has no line that says why"
        reason = line.startswith("#")


def test_the_page_refuses_wrong_flags_before_anything_heavy_is_loaded():
    command = [sys.executable, "-X", "importtime", str(ROOT / "infer-web.py"), "--listen"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "--auth=NAME:PASSWORD" in done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "infer.web.launch" in loaded
    assert loaded.isdisjoint({"gradio", "torch"})
