"""Suggested keys: medians of real sounds, and where a voice's pitch is told."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from infer.jobs.experiment import Experiment
from infer.lib.errors import RvcError
from infer.web import pitch_advice
from infer.web.pitch_advice import beginning, recording_pitch, suggest, voice_pitch


@pytest.mark.parametrize(
    ("source", "voice", "semitones", "octaves"),
    [(110.0, 220.0, 12, 12), (110.0, 207.7, 11, 12), (220.0, 110.0, -12, -12), (200.0, 210.0, 1, 0)],
)
def test_semitones_between_two_medians(source, voice, semitones, octaves):
    found = suggest(source, voice)
    assert (found.semitones, found.octaves) == (semitones, octaves)


def test_nothing_is_suggested_for_an_unknown_voice():
    assert suggest(110.0, None).semitones is None


@pytest.mark.parametrize("method", ["pm", "dio"])
def test_pitch_of_a_recording_after_silence(tone, tmp_path, method, monkeypatch):
    monkeypatch.setattr(pitch_advice, "QUICK_METHODS", (method,))
    path = tmp_path / "노래 🎵.flac"
    soundfile.write(path, np.concatenate([np.zeros(40 * 16000), tone(2, hz=150.0)]), 16000)
    assert recording_pitch(path) == pytest.approx(150.0, rel=0.02)


def test_only_the_first_half_minute_is_looked_at(tone, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([tone(31, hz=120.0), tone(60, hz=300.0)]), 16000)
    assert recording_pitch(path) == pytest.approx(120.0, rel=0.02)


def test_a_recording_without_voice_says_so(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    with pytest.raises(RvcError, match=r"silence\.wav holds no voiced sound"):
        recording_pitch(path)


def test_beginning_is_cut_where_sound_starts(tone, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([np.zeros(3 * 16000), tone(5)]), 16000)
    audio = beginning(path, 2.0)
    assert len(audio) == 2 * 16000
    assert np.abs(audio[:1600]).max() > 0.01


def test_a_voice_says_its_pitch_itself(tmp_path):
    assert voice_pitch(SimpleNamespace(median_hz=187.5), tmp_path / "anna.pth", tmp_path) == 187.5


def test_else_its_experiment_says_it(tmp_path):
    header = SimpleNamespace(median_hz=None)
    experiment = Experiment(tmp_path / "anna")
    voice = tmp_path / "anna_e10_s500.pth"
    assert voice_pitch(header, voice, tmp_path) is None
    experiment.f0_hz.mkdir(parents=True)
    np.save(experiment.f0_hz_file("0_0"), np.array([0, 200.0, 210, 220] * 20, np.float32))
    assert voice_pitch(header, voice, tmp_path) == pytest.approx(210.0)
    experiment.report_file.write_text(json.dumps({"pitch_hz": {"low": 1, "median": 195.0, "high": 2}}))
    assert voice_pitch(header, voice, tmp_path) == 195.0
    experiment.report_file.write_text(json.dumps({"pitch_hz": None}))
    assert voice_pitch(header, voice, tmp_path) == pytest.approx(210.0)
