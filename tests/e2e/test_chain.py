"""The whole way on real recordings with a tiny network on the CPU: folder in, converted voice out.

Everything runs as a user runs it, as commands; a few minutes on two cores.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.jobs.events import Failed, Finished, Log, Metric, from_line
from infer.jobs.experiment import Experiment
from infer.lib import checkpoint
from infer.lib.files import REPO
from infer.lib.retrieval import read_sidecar
from tests.stages.train.tiny import tiny_config

AUDIO = Path(__file__).parents[1] / "data" / "audio"
DONE = "Training is done. The program is closed."
LOSSES = ("loss_disc", "loss_gen", "loss_fm", "loss_mel", "loss_kl")

pytestmark = pytest.mark.slow


def command(module: str, *flags: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
    argv = [sys.executable, *prefix, "-m", module, *flags]
    return subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(module: str, *flags: str, prefix: tuple[str, ...] = (), code: int = 0) -> list:
    """The events of a command that must end with `code`."""
    process = command(module, *flags, prefix=prefix)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == code, output[-3000:] + errors[-3000:]
    return [event for line in output.splitlines() if (event := from_line(line))]


def of(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def messages(events: list) -> list[str]:
    return [event.message for event in of(events, Log)]


class Home:
    """A user's folders; the name has a space, an apostrophe and Korean letters."""

    def __init__(self, root: Path):
        self.root = root / "나의 voice's folder"
        self.recordings = self.root / "recordings"
        self.weights = self.root / "weights"
        self.experiment = Experiment(self.root / "logs" / "-kathleen 1")
        self.config = self.root / "tiny.json"
        shutil.copytree(AUDIO / "target", self.recordings)
        self.later = self.recordings / "kathleen_b0456.flac"
        self.later.rename(self.root / "later.flac")
        self.config.write_text(json.dumps(tiny_config()), encoding="utf-8")

    def train_all(self, epochs: int, code: int = 0) -> list:
        return run(
            "tools.cmd.train_all",
            f"--trainset={self.recordings}",
            "--f0-method=pm",
            "--encoder=starter",
            *self.training_flags(self.experiment, epochs),
            code=code,
        )

    def training_flags(self, experiment: Experiment, epochs: int, batch_size: int = 4) -> list[str]:
        return [
            f"--experiment={experiment.root}",
            f"--config={self.config}",
            f"--weights={self.weights}",
            f"--total-epoch={epochs}",
            f"--batch-size={batch_size}",
            "--save-every-epoch=1",
            "--latest-only=yes",
            "--log-interval=1",
            "--device=cpu",
        ]

    @contextmanager
    def copy(self, name: str) -> Iterator[Experiment]:
        """Of the experiment: a gigabyte, gone afterwards, but kept for a look where the test failed."""
        root = self.root / "logs" / name
        shutil.copytree(self.experiment.root, root)
        yield Experiment(root)
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    """After one run of the whole chain, two epochs long."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.first = home.train_all(epochs=2)
    return home


@pytest.fixture(scope="module")
def reference(home) -> list:
    """The same training continued to epoch 4 without interruption."""
    with home.copy("reference") as experiment:
        return run("infer.stages.train", *home.training_flags(experiment, epochs=4))


def losses(events: list, epoch: int) -> list[list[float]]:
    """Losses of every step of an epoch."""
    metrics = [
        event for event in of(events, Metric) if event.epoch == epoch and "learning_rate" in event.values
    ]
    return [[event.values[name] for name in LOSSES] for event in metrics]


def test_the_chain_makes_a_voice_and_its_index(home):
    finished = of(home.first, Finished)
    assert [event.stage for event in finished] == [
        "preprocess",
        "extract_f0",
        "extract_content",
        "index",
        "train",
        "train_all",
    ]
    assert messages(home.first).count(DONE) == 1
    assert sum(message.startswith("$ ") for message in messages(home.first)) == 5  # commands are shown
    voice = checkpoint.read_voice(finished[-1].summary["voice"])
    assert voice.spec.sample_rate == 40000 and voice.encoder.startswith("starter-")
    index = Path(finished[-1].summary["index"])
    assert index.is_file() and read_sidecar(index)["encoder"] == voice.encoder
    assert len(home.experiment.stems()) == len(home.experiment.training_items("v2", use_f0=True)) >= 7


def test_the_voice_converts_a_recording_it_never_heard(home):
    source = AUDIO / "sources" / "speech_m_48k_p286.flac"
    flags = [
        f"--model_name={home.weights / '-kathleen 1.pth'}",
        f"--index_path={home.experiment.index_files()[0]}",
    ]
    output = home.root / "out" / "결과.wav"
    run(
        "tools.cmd.infer_cli",
        *flags,
        "--f0method=pm",
        "--f0up_key=7",
        "--device=cpu",
        "--",
        str(source),
        str(output),
    )
    info, expected = soundfile.info(output), soundfile.info(source).duration
    assert info.samplerate == 40000
    assert expected - 0.04 < info.duration <= expected
    audio, _ = soundfile.read(output)
    assert np.isfinite(audio).all() and np.abs(audio).max() > 1e-3


def test_a_run_that_continued_says_so_and_ends_as_told(reference):
    assert any("epoch 3" in message.lower() and "resum" in message.lower() for message in messages(reference))
    assert losses(reference, 2) == [] and losses(reference, 3) and losses(reference, 4)
    assert messages(reference)[-1] == DONE


def test_a_killed_training_goes_on_as_if_nothing_had_happened(home, reference):
    with home.copy("killed") as experiment:
        flags = home.training_flags(experiment, epochs=4)
        process = command("infer.stages.train", *flags)
        for line in process.stdout:
            event = from_line(line)
            if isinstance(event, Metric) and event.epoch == 4:  # epoch 3 is saved, epoch 4 has begun
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        events = run("infer.stages.train", *flags)
    assert losses(events, 3) == []  # not repeated
    np.testing.assert_allclose(losses(events, 4), losses(reference, 4), rtol=1e-3, atol=1e-4)
    assert messages(events)[-1] == DONE


def test_two_processes_learn_what_one_learns(home, reference):
    prefix = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29517")
    with home.copy("two") as experiment:
        flags = home.training_flags(experiment, epochs=3, batch_size=2)
        events = run("infer.stages.train", *flags, prefix=prefix)
    np.testing.assert_allclose(losses(events, 3), losses(reference, 3), rtol=2e-3, atol=1e-3)
    assert messages(events).count(DONE) == 1


def test_an_added_recording_is_picked_up_and_the_rest_kept(home):
    before = {path: path.stat().st_mtime_ns for path in home.experiment.content("v2").iterdir()}
    rows = read_sidecar(home.experiment.index_files()[0])["rows"]
    n_lines = len(home.experiment.filelist.read_text(encoding="utf-8").splitlines())
    (home.root / "later.flac").rename(home.later)
    events = home.train_all(epochs=3)
    after = {path: path.stat().st_mtime_ns for path in home.experiment.content("v2").iterdir()}
    assert before.items() < after.items()  # old features untouched, new ones there
    (index,) = home.experiment.index_files()
    assert read_sidecar(index)["rows"] > rows
    assert len(home.experiment.filelist.read_text(encoding="utf-8").splitlines()) > n_lines
    assert messages(events).count(DONE) == 1


def test_another_sample_rate_is_refused_and_nothing_is_lost(home):
    stems = home.experiment.stems()
    flags = [f"--trainset={home.recordings}", f"--experiment={home.experiment.root}", "--sample-rate=48k"]
    events = run("tools.cmd.train_all", *flags, code=3)
    assert "40000" in of(events, Failed)[-1].reason and "48000" in of(events, Failed)[-1].reason
    assert home.experiment.stems() == stems
