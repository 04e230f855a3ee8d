"""Slicing a folder: what is written, what a second run does, parallel runs, the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Finished, ItemFailed, Log, Progress, Started
from infer.jobs.experiment import Experiment
from infer.lib import audio
from infer.lib.errors import BadInput
from infer.stages.preprocess.__main__ import main
from infer.stages.preprocess.clips import level, slice_clip
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.preprocess.run import run

RATE = 32000


def voice(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise that swells and fades: distinct recordings without silence."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * rate))
    return (0.1 * noise * (1.2 + np.sin(np.arange(len(noise)) * 9 / rate))).astype(np.float32)


@pytest.fixture
def trainset(tmp_path):
    folder = tmp_path / "my recordings"
    audio.save(folder / "take 1.wav", voice(5.0, 1), RATE)
    audio.save(folder / "take 2.flac", voice(2.0, 2, 48000), 48000)
    return folder


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path / "logs" / "voice")


def slice_set(trainset, experiment, events, **changes) -> dict:
    values = {"sample_rate": RATE, "workers": 1, **changes}
    return run(PreprocessOptions(trainset, experiment.root, **values), events)


def marks(experiment) -> dict[str, int]:
    """When each clip was written."""
    return {path.stem: path.stat().st_mtime_ns for path in experiment.gt_wavs.glob("*.wav")}


def test_clips_at_both_rates(trainset, experiment, events):
    summary = slice_set(trainset, experiment, events)
    assert experiment.stems() == experiment.stems_16k() == ["0_0", "0_1", "1_0"]
    rate, clip = wavfile.read(experiment.gt_wav("0_0"))
    assert (rate, clip.dtype, len(clip)) == (RATE, np.float32, int(3.7 * RATE))
    rate, copy = wavfile.read(experiment.wav_16k("0_0"))
    assert (rate, copy.dtype) == (16000, np.float32)
    assert np.array_equal(copy, audio.resample(clip, RATE, 16000))
    assert wavfile.read(experiment.gt_wav("0_1"))[1].shape == (5 * RATE - int(3.4 * RATE),)
    assert summary["clips"] == 3
    assert summary["usable_minutes"] == round(7 / 60, 2)
    assert json.loads(experiment.report_file.read_text())["files"][0]["name"] == "take 1.wav"
    assert experiment.read_settings().sample_rate == RATE
    assert "take 1.wav->2 clips" in experiment.preprocess_log.read_text()
    assert events.list[0] == Started("preprocess", 2)
    assert [event.done for event in events.of(Progress)] == [1, 2]
    assert events.of(Finished)[0].summary["recordings"] == 2


def test_clips_are_filtered_and_levelled():
    signal = 0.5 + voice(3.0)
    (clip,) = slice_clip(signal, RATE)
    assert abs(clip.audio[RATE:].mean()) < 1e-3  # the constant is gone
    raw = audio.CausalHighPass(RATE)(signal)
    peak = np.abs(raw).max()
    assert np.abs(clip.audio - (raw / peak * 0.675 + 0.25 * raw)).max() < 1e-6
    assert level(np.array([0.2, -0.1], np.float32)).tolist() == pytest.approx([0.725, -0.3625])


def test_long_recordings_are_decoded_twice_with_the_same_clips(trainset, experiment, events, monkeypatch):
    slice_set(trainset, experiment, events)
    monkeypatch.setattr("infer.stages.preprocess.clips.HELD_S", 1)
    other = Experiment(experiment.root.parent / "other")
    slice_set(trainset, other, events)
    for stem in experiment.stems():
        assert experiment.gt_wav(stem).read_bytes() == other.gt_wav(stem).read_bytes()


def test_numbered_subfolders_are_speakers(trainset, experiment, events):
    for speaker in (0, 1, 12, 500):
        audio.save(trainset / str(speaker) / "deep" / "a.wav", voice(1.0, 10 + speaker), RATE)
    summary = slice_set(trainset, experiment, events, speaker_id=3)
    by_name = {entry["name"]: entry for entry in summary["files"]}
    speakers = experiment.speakers()
    for name, speaker in (("0/deep/a.wav", 0), ("1/deep/a.wav", 1), ("12/deep/a.wav", 12), ("take 1.wav", 3)):
        assert speakers[f"{by_name[name]['number']}_0"] == speaker
    assert speakers[f"{by_name['500/deep/a.wav']['number']}_0"] == 3
    assert any("folder 500" in event.message for event in events.of(Log))
    assert summary["speakers"] == 4


# runs after the first -------------------------------------------------------------------------------


def test_second_run_does_nothing(trainset, experiment, events):
    first = slice_set(trainset, experiment, events)
    before = marks(experiment)
    assert slice_set(trainset, experiment, events) == first
    assert marks(experiment) == before


def test_added_changed_renamed_and_removed_recordings(trainset, experiment, events):
    audio.save(trainset / "take 3.wav", voice(1.0, 3), RATE)
    slice_set(trainset, experiment, events)
    before = marks(experiment)
    derived = experiment.content_file("1_0", "v2")
    derived.parent.mkdir()
    derived.touch()
    audio.save(trainset / "a new one.wav", voice(1.5, 4), RATE)
    audio.save(trainset / "take 2.flac", voice(4.5, 5, 48000), 48000)
    (trainset / "take 1.wav").rename(trainset / "moved.wav")
    (trainset / "take 3.wav").unlink()
    summary = slice_set(trainset, experiment, events)
    assert experiment.stems() == ["0_0", "0_1", "1_0", "1_1", "3_0"]
    after = marks(experiment)
    assert (after["0_0"], after["0_1"]) == (before["0_0"], before["0_1"])
    assert after["1_0"] > before["1_0"]
    assert not derived.exists()
    numbers = {entry["name"]: entry["number"] for entry in summary["files"]}
    assert numbers == {"moved.wav": 0, "take 2.flac": 1, "a new one.wav": 3}
    assert set(experiment.speakers()) == set(experiment.stems())


def test_lost_clips_are_made_again(trainset, experiment, events):
    slice_set(trainset, experiment, events)
    before = marks(experiment)
    experiment.wav_16k("0_1").unlink()
    slice_set(trainset, experiment, events)
    assert experiment.wav_16k("0_1").is_file()
    assert marks(experiment)["1_0"] == before["1_0"]


def test_other_options_slice_again_and_another_rate_is_refused(trainset, experiment, events):
    slice_set(trainset, experiment, events)
    slice_set(trainset, experiment, events, slice_s=2.0)
    assert len(wavfile.read(experiment.gt_wav("0_0"))[1]) == 2 * RATE
    before = marks(experiment)
    with pytest.raises(BadInput, match="sample rate 32000, not 48000"):
        slice_set(trainset, experiment, events, sample_rate=48000)
    assert marks(experiment) == before


def test_clips_of_another_program_are_not_overwritten(trainset, experiment, events):
    audio.save(experiment.gt_wav("0_0"), voice(1.0), RATE)
    with pytest.raises(BadInput, match="1 clips of unknown origin"):
        slice_set(trainset, experiment, events)
    assert experiment.stems() == ["0_0"]


def test_duplicates_are_left_out(trainset, experiment, events):
    shutil.copy(trainset / "take 1.wav", trainset / "take 1 copy.wav")
    summary = slice_set(trainset, experiment, events)
    assert summary["clips"] == 3
    (failed,) = events.of(ItemFailed)
    assert "the same recording as" in failed.reason
    # What is sliced already stays, also when a twin comes first in the list.
    before = marks(experiment)
    shutil.copy(trainset / "take 2.flac", trainset / "a twin.flac")
    slice_set(trainset, experiment, events)
    assert marks(experiment) == before


# processes and the command --------------------------------------------------------------------------


def test_processes_give_the_same_clips(trainset, experiment, events):
    (trainset / "broken.wav").write_text("no sound")
    slice_set(trainset, experiment, events)
    other = Experiment(experiment.root.parent / "other")
    slice_set(trainset, other, events, workers=2)
    assert experiment.stems() == other.stems() != []
    for stem in experiment.stems():
        assert experiment.gt_wav(stem).read_bytes() == other.gt_wav(stem).read_bytes()


def test_killed_run_keeps_what_is_finished(tmp_path, experiment, events):
    folder = tmp_path / "set"
    for k in range(8):
        audio.save(folder / f"{k:02}.wav", voice(20.0, k), RATE)
    options = PreprocessOptions(folder, experiment.root, sample_rate=RATE, workers=1)
    argv = [sys.executable, "-m", "infer.stages.preprocess", *to_argv(options)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not experiment.gt_wav("3_0").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    process.wait()
    before = marks(experiment)
    assert "0_0" in before
    (experiment.gt_wavs / ".part-x.wav").touch()
    slice_set(folder, experiment, events)
    after = marks(experiment)
    assert all(after[stem] == before[stem] for stem in before if stem.startswith(("0_", "1_", "2_")))
    assert len({stem.split("_")[0] for stem in after}) == 8
    assert not list(experiment.root.rglob(".part-*.wav"))


def test_options_survive_the_command_line(tmp_path):
    options = PreprocessOptions(Path("-노래 'x'"), tmp_path / "a b", "40k", 3, 3.0, 2)
    assert options.sample_rate == 40000
    assert parse(PreprocessOptions, to_argv(options)) == options


@pytest.mark.parametrize("flag", ["--sample-rate=44100", "--slice-s=0.1", "--workers=-1", "--speaker-id=109"])
def test_wrong_values_are_usage_errors(tmp_path, flag, capsys):
    assert main([f"--trainset={tmp_path}", "--experiment=x", flag]) == 2
    assert "must" in capsys.readouterr().err


def test_command_ends_with_zero(trainset, experiment):
    argv = [f"--trainset={trainset}", f"--experiment={experiment.root}", "--sample_rate=32k", "--workers=1"]
    assert main(argv) == 0
    assert experiment.stems() == ["0_0", "0_1", "1_0"]


def test_help_needs_no_numeric_library():
    code = (
        "import sys; from infer.stages.preprocess.__main__ import main; main(['--help']);"
        "sys.exit(bool({'numpy', 'torch', 'soundfile'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
