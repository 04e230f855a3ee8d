"""What is told of a training set: speakers by name, pitch range, and both inside the voice."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.jobs.events import Log
from infer.jobs.experiment import Experiment
from infer.jobs.set_notes import median_pitch, set_notes, spread
from infer.lib import audio
from infer.lib.checkpoint import merge_voices, read_voice, write_training
from infer.lib.errors import MissingFile
from infer.lib.models.spec import standard_config
from infer.lib.voice_header import read_header
from infer.stages.ckpt.options import ExtractOptions
from infer.stages.ckpt.run import run as run_ckpt
from infer.stages.preprocess import pitch_range as pitch_module
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.preprocess.pitch_range import pitch_range
from infer.stages.preprocess.run import run as preprocess
from infer.stages.preprocess.speakers import Speakers
from tests.lib.tiny_voices import tiny_checkpoint, tiny_voice

RATE = 32000


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path / "logs" / "voice")


def write_curves(experiment: Experiment, curves: dict[str, list[float]]) -> None:
    experiment.f0_hz.mkdir(parents=True)
    for stem, hz in curves.items():
        np.save(experiment.f0_hz_file(stem), np.array(hz))


def test_median_of_voiced_frames(experiment):
    assert median_pitch(experiment) is None
    write_curves(experiment, {"0_0": [0, 100, 200, 300, 0], "0_1": [0, 0, 400], "0_2": [0.0]})
    (experiment.f0_hz / "0_3.wav.npy").write_bytes(b"broken")
    assert median_pitch(experiment) == 250
    assert set_notes(experiment) == {"median_hz": 250.0}
    assert set_notes(experiment, use_f0=False) == {}


def test_spread_is_even_and_bounded():
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread(list(range(1000)), 4) == [0, 250, 500, 750]


@pytest.mark.parametrize(
    ("folder", "number", "names"),
    [
        ("0 anna", 0, ["anna"]),
        ("1_bob", 1, ["", "bob"]),
        ("2-칼", 2, ["", "", "칼"]),
        ("3 - d", 3, ["", "", "", "d"]),
        ("4", 4, None),
        ("4_", 4, None),
        ("take 2", 7, None),
        ("2nd", 7, None),
        ("٣", 7, None),
        ("999 songs", 7, None),
    ],
)
def test_folders_as_speakers(folder, number, names):
    speakers = Speakers(default=7)
    assert speakers.of(Path(folder) / "inner" / "a.wav") == number
    assert speakers.of(Path("a.wav")) == 7
    assert speakers.names({number}) == names
    assert speakers.odd == ({folder} if folder.startswith("999") else set())


def test_names_reach_the_settings_and_the_report(tmp_path, experiment, events, tone):
    for folder, hz in (("0 anna", 220.0), ("1_bob", 110.0), ("0_ann", 221.0)):
        audio.save(tmp_path / "set" / folder / "a.wav", tone(1.5, hz, RATE), RATE)
    preprocess(PreprocessOptions(tmp_path / "set", experiment.root, RATE, 1), events)
    assert experiment.read_settings().speaker_names in (["anna", "bob"], ["ann", "bob"])
    assert sorted(experiment.speakers().values()) == [0, 0, 1]
    assert any("second name" in event.message for event in events.of(Log))
    pitch = json.loads(experiment.report_file.read_text(encoding="utf-8"))["pitch_hz"]
    assert pitch["low"] == pytest.approx(110, abs=2)
    assert pitch["median"] == pytest.approx(220, abs=2)
    assert pitch["high"] == pytest.approx(221, abs=2)


def test_no_pitch_is_no_failure(experiment, monkeypatch, tone):
    audio.save(experiment.wav_16k("0_0"), np.zeros(16000, np.float32), 16000)
    assert pitch_range(experiment) is None

    def missing(_method):
        raise MissingFile("the package parselmouth is not installed")

    audio.save(experiment.wav_16k("0_1"), tone(1.0), 16000)
    assert pitch_range(experiment)["median"] == pytest.approx(220, abs=2)
    monkeypatch.setattr(pitch_module, "estimator", missing)
    assert pitch_range(experiment) is None


def test_at_most_24_clips_are_looked_at(experiment, monkeypatch, tone):
    seen = []
    for number in range(60):
        audio.save(experiment.wav_16k(f"0_{number}"), tone(0.3), 16000)
    load = audio.load
    monkeypatch.setattr(pitch_module.audio, "load", lambda path, rate: seen.append(path) or load(path, rate))
    assert pitch_range(experiment)["median"] == pytest.approx(220, abs=2)
    assert len(seen) == 24


def test_an_extracted_voice_tells_them(tmp_path, experiment, events):
    write_training(experiment.generator_checkpoint(70), tiny_checkpoint())
    experiment.config_file.write_text(standard_config("v2", 40000).to_json(), encoding="utf-8")
    experiment.update_settings(speaker_names=["anna", "bob"])
    write_curves(experiment, {"0_0": [0, 180, 180]})
    summary = run_ckpt(ExtractOptions(experiment.root, weights=tmp_path / "w"), events)
    header = read_header(summary["voice"])
    assert (header.median_hz, header.speaker_names) == (180.0, ("anna", "bob"))
    assert (summary["median_hz"], summary["speaker_names"]) == (180.0, "0 anna, 1 bob")
    keys = list(torch.load(summary["voice"], weights_only=True))
    assert keys[:6] == ["weight", "config", "info", "version", "sr", "f0"]
    assert set(keys[6:]) == {"median_hz", "speaker_names"}


def test_what_the_checkpoint_records_wins(tmp_path, experiment, events):
    recorded = tiny_checkpoint(median_hz=99.0, speaker_names=["x"])
    write_training(experiment.generator_checkpoint(70), recorded)
    write_curves(experiment, {"0_0": [0, 180, 180]})
    summary = run_ckpt(ExtractOptions(experiment.root, weights=tmp_path / "w"), events)
    assert read_voice(summary["voice"]).extra == {"median_hz": 99.0, "speaker_names": ["x"]}


def test_merging_keeps_equal_names_and_means_pitch_in_octaves():
    voices = [tiny_voice(extra={"median_hz": hz, "speaker_names": ["a", "b"]}) for hz in (100.0, 400.0)]
    assert merge_voices(voices, (0.5,)).extra == {"median_hz": 200.0, "speaker_names": ["a", "b"]}
    other = replace(voices[1], extra={"speaker_names": ["c"]})
    assert merge_voices([voices[0], other], (0.5,)).extra == {}
