import subprocess
import sys

import numpy as np
import pytest

from infer.lib.errors import BadInput, MissingFile
from infer.lib.f0 import METHODS, estimator, smooth
from infer.lib.f0.curve import F0Curve
from infer.lib.f0.tracking import Estimator, Plan, import_package

WITHOUT_DOWNLOAD = ("pm", "harvest", "dio", "crepe-tiny", "fcpe")
_made = {}


def made(name):
    """Estimators are shared, as in the program."""
    if name not in _made:
        _made[name] = estimator(name)
    return _made[name]


def cents_off(curve, true_hz):
    """Median distance over the voiced frames, and their share."""
    voiced = curve.voiced
    return np.median(np.abs(1200 * np.log2(curve.hz[voiced] / true_hz[voiced]))), voiced.mean()


@pytest.mark.parametrize("name", WITHOUT_DOWNLOAD)
@pytest.mark.parametrize("hz", (110.0, 330.0))
def test_steady_tone(name, hz, tone):
    curve = made(name)(tone(1.0, hz))
    off, voiced = cents_off(curve, np.full(len(curve), hz))
    assert len(curve) == METHODS[name].frames(16000)
    assert off < 12
    assert voiced > 0.9


@pytest.mark.parametrize("name", WITHOUT_DOWNLOAD)
def test_sweep_is_followed_without_delay(name):
    seconds = np.arange(32000) / 16000
    phase = 2 * np.pi * 120 / np.log(2) * (2**seconds - 1)  # 120 Hz, an octave a second
    audio = (0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)
    curve = made(name)(audio)
    true = 120 * 2 ** (np.arange(len(curve)) / 100)
    inner = slice(10, len(curve) - 10)
    off, voiced = cents_off(F0Curve(curve.hz[inner]), true[inner])
    assert off < 15  # one frame late would be 12 cents
    assert voiced > 0.9


@pytest.mark.parametrize("name", WITHOUT_DOWNLOAD)
def test_short_and_silent_audio(name, tone):
    find = made(name)
    for n_samples in (0, 1, 160, 959, 961, 1700):
        curve = find(tone(0.2)[:n_samples])
        assert len(curve) == METHODS[name].frames(n_samples)
        assert np.isfinite(curve.hz).all()
    assert not find(np.zeros(8000, np.float32)).voiced.any()


@pytest.mark.parametrize("name", ("pm", "dio"))
def test_wanted_frames(name, tone):
    assert len(made(name)(tone(0.5), frames=70)) == 70
    assert len(made(name)(tone(0.5), frames=30)) == 30


def test_praat_track_is_centred(tone):
    curve = made("pm")(tone(1.0), frames=100)
    voiced = np.flatnonzero(curve.voiced)
    assert (voiced[0], voiced[-1]) == (3, 96)  # 94 frames, the larger half in front


def test_same_recording_same_curve(tone):
    audio = tone(0.5)
    np.testing.assert_array_equal(made("crepe-tiny")(audio).hz, made("crepe-tiny")(audio).hz)


def test_the_callers_audio_is_left_alone(tone):
    audio = tone(0.3)
    before = audio.copy()
    for name in WITHOUT_DOWNLOAD:
        made(name)(audio)
    np.testing.assert_array_equal(audio, before)


def test_bad_audio(tone):
    audio = tone(0.2)
    audio[7] = np.nan
    with pytest.raises(BadInput, match="not numbers"):
        made("pm")(audio)
    with pytest.raises(BadInput, match="mono"):
        made("pm")(np.zeros((2, 800), np.float32))


def test_radius_smooths_harvest_only():
    curve = F0Curve([100.0, 900.0, 100.0])
    assert smooth(curve, "harvest", 3).hz.tolist() == [100, 100, 100]
    assert smooth(curve, "harvest", 2) is curve
    assert all(smooth(curve, name, 7) is curve for name in METHODS if name != "harvest")


def test_unknown_method_and_missing_model(tmp_path):
    with pytest.raises(BadInput, match="no pitch method 'yin'.*pm, harvest"):
        estimator("yin")
    with pytest.raises(MissingFile) as caught:
        estimator("rmvpe", "cpu", tmp_path)
    assert str(tmp_path / "rmvpe" / "rmvpe.pt") in str(caught.value)
    assert "python tools/download_assets.py rmvpe" in str(caught.value)


def test_missing_package_names_it():
    with pytest.raises(MissingFile, match="harvest needs the Python package no_such_world"):
        import_package("no_such_world", "harvest")


class Ramp:
    """A tracker that reads the pitch off the samples: frame i is the value of sample 160 * i."""

    plan = Plan(core=64, context=32)

    def __init__(self):
        self.sizes = []

    def __call__(self, audio, frames):
        self.sizes.append(frames)
        return F0Curve(audio[::160].astype(np.float64)).fit(frames).hz


@pytest.mark.parametrize("frames", (96, 97, 128, 200, 321))
def test_long_audio_goes_in_pieces_and_joins_exactly(frames):
    audio = np.arange(1, frames * 160 + 1, dtype=np.float32)
    tracker = Ramp()
    curve = Estimator(METHODS["dio"], tracker)(audio, frames)
    np.testing.assert_array_equal(curve.hz, audio[::160])
    assert max(tracker.sizes) <= 64 + 2 * 32
    assert (len(tracker.sizes) == 1) == (frames <= 96)


def test_the_table_is_light():
    code = (
        "import sys, infer.lib.f0; print(sorted({'torch', 'numpy', 'scipy', 'librosa'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
