import signal
import subprocess
import sys

import pytest

from infer.jobs import lock
from infer.jobs.lock import alone
from infer.lib.errors import BadInput
from infer.lib.files import REPO

HOLD = "import sys, time; from pathlib import Path; from infer.jobs.lock import alone\n"
HOLD += "with alone(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(600)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    process = subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_while_the_first_lives(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    with (
        pytest.raises(BadInput, match="another run is working on experiment mine"),
        alone(tmp_path / "lock", "experiment mine"),
    ):
        pytest.fail("two runs at once")


def test_a_killed_run_leaves_no_lock(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    with alone(tmp_path / "lock", "x"):
        pass


def test_the_lock_is_given_back_also_after_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    for _ in range(2):
        with pytest.raises(KeyError), alone(tmp_path / "new" / "lock", "x"):
            raise KeyError
