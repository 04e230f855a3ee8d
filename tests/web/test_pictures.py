"""Pictures of sound, by their values."""

import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from infer.web import pictures


@pytest.fixture
def sweep(tmp_path):
    """Half a second of silence, then a rising tone of 200 to 8000 Hz over four seconds."""
    rate = 32000
    t = np.arange(4 * rate) / rate
    phase = 2 * np.pi * np.cumsum(200 * 40 ** (t / 4)) / rate
    path = tmp_path / "sweep.wav"
    soundfile.write(path, np.concatenate([np.zeros(rate // 2), 0.5 * np.sin(phase)]), rate)
    return path


def test_a_rising_tone_rises_in_the_picture(sweep):
    levels = pictures.mel_levels(sweep)
    assert levels.shape[0] == pictures.BANDS
    assert levels.min() >= 0
    assert levels.max() == 1
    sounding = levels[:, int(levels.shape[1] * 0.2) :]
    peaks = sounding.argmax(axis=0)
    assert peaks[0] < 30
    assert peaks[-1] > 80
    assert (np.diff(peaks) >= -1).all()
    assert levels[:, 2].max() < 0.2  # the silence


def test_silence_is_dark_and_no_division_by_zero(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    assert (pictures.mel_levels(path) == 0).all()


def test_long_recordings_have_no_wider_picture(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 60 * 8000), 8000)
    assert pictures.mel_levels(path).shape[1] <= pictures.MOST_COLUMNS + 1


def test_the_picture_is_a_png(sweep, tmp_path):
    picture = Image.open(pictures.mel_picture(sweep, tmp_path / "new" / "mel.png"))
    assert picture.format == "PNG"
    assert picture.height == pictures.HEIGHT
    assert picture.width >= 300


def test_pitch_lines_keep_gaps_and_order():
    source = np.array([0, 100, 100, 0, 0, 200, 200, 0], float)
    plot = pictures.pitch_plot([("a <b>", source), ("b", source * 2)], "none")
    lines = re.findall(r'<path class="rvc-curve-(\d)" d="([^"]+)"', plot)
    assert [number for number, _ in lines] == ["0", "1"]
    assert lines[0][1].count("M") == 2
    points = [tuple(map(float, point.split())) for point in re.findall(r"[ML]([\d.]+ [\d.]+)", lines[0][1])]
    assert points[0][1] > points[2][1]  # 200 Hz is drawn above 100 Hz
    assert points[0][0] == pytest.approx(pictures.PLOT_W / 8)
    assert "a &lt;b&gt;" in plot
    assert "<b>" not in plot


def test_without_pitch_the_plot_says_so():
    assert "nothing &amp; no" in pictures.pitch_plot([("a", np.zeros(5))], "nothing & no")
    assert "svg" not in pictures.pitch_plot([], "nothing")


def test_a_long_curve_is_thinned():
    plot = pictures.pitch_plot([("a", np.full(360_000, 150.0))], "none")
    assert len(plot) < 30_000
