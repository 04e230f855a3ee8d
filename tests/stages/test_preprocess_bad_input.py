"""Recordings and folders that cannot be used: one sentence, the right exit code, nothing lost."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.jobs.events import Failed, ItemFailed, Log
from infer.jobs.experiment import Experiment
from infer.jobs.stage import stage_main
from infer.lib import audio
from infer.stages.preprocess.clips import drop_reason
from infer.stages.preprocess.options import PreprocessOptions

RATE = 32000


def voice(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))).astype(np.float32)


@pytest.fixture
def trainset(tmp_path):
    audio.save(tmp_path / "set" / "good.wav", voice(2.0), RATE)
    return tmp_path / "set"


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path / "logs" / "voice")


def command(trainset, experiment, events, *flags: str) -> int:
    argv = [f"--trainset={trainset}", f"--experiment={experiment.root}", "--sample-rate=32k", "--workers=1"]
    return stage_main(PreprocessOptions, "infer.stages.preprocess.run", [*argv, *flags], report=events)


def failure(events) -> str:
    (failed,) = events.of(Failed)
    assert "\n" not in failed.reason
    return failed.reason


def spoil(path: Path, kind: str) -> None:
    """Writes one kind of bad recording."""
    match kind:
        case "0 bytes":
            path.write_bytes(b"")
        case "cannot be read":
            path.write_text("only text\n" * 100)
        case "1 too short":
            audio.save(path, voice(0.05), RATE)
        case "non-numbers":
            sick = voice(2.0)
            sick[RATE] = np.nan
            audio.save(path, sick, RATE)
        case "silence":
            audio.save(path, np.zeros(3 * RATE, np.float32), RATE)
        case "1 far too loud":
            audio.save(path, voice(2.0) * 1000, RATE)


KINDS = ["0 bytes", "cannot be read", "1 too short", "non-numbers", "silence", "1 far too loud"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_recording_is_left_out_and_the_rest_goes_on(trainset, experiment, events, kind):
    spoil(trainset / "bad.wav", kind)
    assert command(trainset, experiment, events) == 0
    (failed,) = events.of(ItemFailed)
    assert failed.item == "bad.wav"
    assert kind in failed.reason
    assert "\n" not in failed.reason
    assert len(experiment.stems()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_usable_is_an_expected_failure(tmp_path, experiment, events, kind):
    (tmp_path / "set").mkdir()
    spoil(tmp_path / "set" / "bad.wav", kind)
    assert command(tmp_path / "set", experiment, events) == 3
    assert "bad.wav" in failure(events)
    assert experiment.stems() == []


@pytest.mark.parametrize("make", ["missing", "empty", "a file", "only notes"])
def test_folder_without_recordings(tmp_path, trainset, experiment, events, make):
    assert command(trainset, experiment, events) == 0
    folder = tmp_path / "other"
    if make == "a file":
        folder.touch()
    elif make != "missing":
        folder.mkdir()
    if make == "only notes":
        (folder / "notes.txt").touch()
    assert command(folder, experiment, events) == 3
    assert str(folder) in failure(events)
    assert len(experiment.stems()) == 1  # what was made before is still there


def test_unusable_new_folder_does_not_cost_the_old_clips(tmp_path, trainset, experiment, events):
    assert command(trainset, experiment, events) == 0
    (tmp_path / "wrong").mkdir()
    spoil(tmp_path / "wrong" / "bad.wav", "silence")
    assert command(tmp_path / "wrong", experiment, events) == 3
    assert experiment.stems() == ["0_0"]
    assert command(trainset, experiment, events) == 0
    assert experiment.stems() == ["0_0"]


def test_truncated_recording_is_used_and_said_so(trainset, experiment, events):
    path = audio.save(trainset / "cut.flac", voice(8.0, 3), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert command(trainset, experiment, events) == 0
    assert len(experiment.stems()) in (2, 3)  # about four seconds are left of it
    assert any("cut off" in event.message for event in events.of(Log))


def test_eight_channels_at_192_khz(trainset, experiment, events):
    soundfile.write(trainset / "wide.wav", np.tile(voice(1.0, 4, 192000)[:, None], 8), 192000)
    assert command(trainset, experiment, events) == 0
    assert len(experiment.stems()) == 2


def test_names_of_every_kind(trainset, experiment, events):
    names = [
        "a b.wav",
        'it\'s "q".wav',
        "노래.wav",
        "🎤.wav",
        "-1.wav",
        "--help.wav",
        "$HOME;x.wav",
        "a.b.c.wav",
    ]
    for seed, name in enumerate(names):
        audio.save(trainset / name, voice(1.0, 20 + seed), RATE)
    assert command(trainset, experiment, events) == 0
    assert len(experiment.stems()) == 9
    assert events.of(ItemFailed) == []


def test_unreadable_recording(trainset, experiment, events, monkeypatch):
    audio.save(trainset / "locked.wav", voice(1.0, 5), RATE)

    def digest(path):
        if path.name == "locked.wav":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path.name

    monkeypatch.setattr("infer.stages.preprocess.run.sha256_file", digest)
    assert command(trainset, experiment, events) == 0
    (failed,) = events.of(ItemFailed)
    assert "Permission denied" in failed.reason


@pytest.mark.parametrize(
    ("scale", "reason"), [(1.0, ""), (1e-5, "silent"), (100.0, "far too loud"), (np.inf, "broken")]
)
def test_level_of_a_clip(scale, reason):
    assert drop_reason(voice(1.0) * scale, RATE) == reason
    assert drop_reason(voice(0.75) * scale, RATE) == "too short"


# the disk -------------------------------------------------------------------------------------------


def test_output_folder_that_cannot_be_made(tmp_path, trainset, events):
    (tmp_path / "logs").touch()  # a file in its place: also root cannot write into it
    assert command(trainset, Experiment(tmp_path / "logs" / "voice"), events) == 3
    assert "refused" in failure(events)


def test_full_disk_keeps_what_is_finished(trainset, experiment, events, monkeypatch):
    audio.save(trainset / "long.wav", voice(20.0, 6), RATE)
    write, room = Path.write_bytes, [6]

    def write_bytes(self, data):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert command(trainset, experiment, events) == 3
    assert "No space left on device" in failure(events)
    before = experiment.gt_wav("0_0").stat().st_mtime_ns
    assert not list(experiment.root.rglob(".part-*"))
    room[0] = 1000
    assert command(trainset, experiment, events) == 0
    assert experiment.gt_wav("0_0").stat().st_mtime_ns == before
    assert len(experiment.stems()) == 1 + 6


def test_damaged_manifest_is_named(trainset, experiment, events):
    assert command(trainset, experiment, events) == 0
    experiment.sources_file.write_text('{"sources": {"good.wav": 3}}')
    assert command(trainset, experiment, events) == 3
    assert experiment.sources_file.name in failure(events)
    assert len(experiment.stems()) == 1


# memory ---------------------------------------------------------------------------------------------

_MEASURE = """
import resource, sys
from pathlib import Path
from infer.jobs.events import silent
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.preprocess import run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run.run(PreprocessOptions(Path(sys.argv[1]), Path(sys.argv[2]), 40000, 1), silent)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_long_recording_needs_bounded_memory(tmp_path, events):
    """20 minutes without a pause: 183 MiB as float32 at 40 kHz, of which at most half are held."""
    (tmp_path / "set").mkdir()
    block = (voice(10.0, 1, 16000) * 32768).astype(np.int16)
    with soundfile.SoundFile(tmp_path / "set" / "long.wav", "w", 16000, 1) as file:
        for _ in range(120):
            file.write(block)
    argv = [sys.executable, "-c", _MEASURE, str(tmp_path / "set"), str(tmp_path / "exp")]
    result = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert float(result.stdout) < 160  # MiB on top of the libraries
    assert len(Experiment(tmp_path / "exp").stems()) == 353
