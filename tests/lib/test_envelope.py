"""High-pass, RMS curves and envelope mixing against independent formulas."""

import librosa
import numpy as np
import pytest
import torch

from infer.lib import audio
from infer.lib.envelope import RmsMeter


def test_highpass_coefficients_at_16_khz(tone):
    b, a = audio.highpass_coefficients(16000)
    assert b[0] == pytest.approx(0.96996, abs=1e-5)
    assert np.allclose(b, b[0] * np.array([1, -5, 10, -10, 5, -1]), atol=1e-12)
    assert a[0] == 1
    filtered = audio.highpass_filtfilt(0.5 + tone(1.0))
    assert abs(filtered[4000:12000].mean()) < 1e-3


@pytest.mark.parametrize("samples", [0, 1, 5, 18, 19])
def test_highpass_takes_clips_of_any_length(samples):
    assert audio.highpass_filtfilt(np.ones(samples, np.float32)).shape == (samples,)


def test_causal_highpass_in_blocks_is_the_filter(tone):
    signal = tone(0.5)
    whole = audio.CausalHighPass(40000)(signal)
    blocks = audio.CausalHighPass(40000)
    joined = np.concatenate([blocks(signal[k : k + 777]) for k in range(0, len(signal), 777)])
    assert np.array_equal(joined, whole)


@pytest.mark.parametrize("samples", [1, 599, 600, 6001, 100000])
def test_rms_curve_is_librosas(samples):
    signal = np.random.default_rng(0).standard_normal(samples)
    expected = librosa.feature.rms(y=signal, frame_length=2400, hop_length=600, dtype=np.float64)[0]
    assert np.allclose(audio.rms_curve(signal, 600, 4), expected, rtol=1e-12, atol=1e-12)
    meter = RmsMeter(600, 4)
    for start in range(0, samples, 1711):
        meter.add(signal[start : start + 1711])
    assert np.allclose(meter.curve(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.8, 1.0])
def test_envelope_mixing_is_defined_by_linear_interpolation(tone, rate):
    source = tone(3.3)
    output = tone(3.21, 150, 40000) * np.linspace(0, 1, 128400, dtype=np.float32)

    def interpolated(signal, sample_rate):
        half = sample_rate // 2
        rms = librosa.feature.rms(y=signal, frame_length=2 * half, hop_length=half)
        stretched = torch.nn.functional.interpolate(
            torch.from_numpy(rms)[None], size=len(output), mode="linear"
        )
        return stretched[0, 0].numpy()

    own = np.maximum(interpolated(output, 40000), 1e-6)
    expected = output * interpolated(source, 16000) ** (1 - rate) * own ** (rate - 1)
    assert np.abs(audio.mix_envelope(source, 16000, output, 40000, rate) - expected).max() < 1e-5


def test_int16_truncates_and_scales_only_above_the_limit():
    assert audio.to_int16(np.array([0.5, -0.5, 1.9 / 32768, -1.9 / 32768])).tolist() == [16384, -16384, 1, -1]
    assert audio.to_int16(np.array([2.0, -1.0])).tolist() == [int(32768 * 0.99), -int(32768 * 0.495)]
    assert audio.to_int16(np.zeros(0)).dtype == np.int16
