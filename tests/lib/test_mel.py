"""Spectrograms: numbers, flavours, the filter bank's cache, gradients."""

import math

import numpy as np
import pytest
import torch

from infer.lib.mel import (
    FLOOR_22,
    FLOOR_23,
    MelSettings,
    linear_spectrogram,
    linear_to_mel,
    mel_basis,
    mel_spectrogram,
)
from infer.lib.models.spec import SAMPLE_RATES, standard_config


@pytest.fixture(params=SAMPLE_RATES)
def settings(request):
    return MelSettings.of(standard_config("v1", request.param).data)


def test_shapes_and_one_frame_a_hop(settings):
    audio = torch.randn(2, 30 * settings.hop) * 0.1
    linear = linear_spectrogram(audio, settings.n_fft, settings.hop, settings.win)
    assert linear.shape == (2, settings.n_fft // 2 + 1, 30)
    assert linear_to_mel(linear, settings).shape == (2, settings.n_mels, 30)
    assert torch.equal(mel_spectrogram(audio, settings), linear_to_mel(linear, settings))


def test_the_linear_spectrogram_is_its_definition(settings):
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(1, 12 * settings.hop, generator=generator)
    linear = linear_spectrogram(audio, settings.n_fft, settings.hop, settings.win, eps=1e-6)[0]
    margin = (settings.n_fft - settings.hop) // 2
    padded = np.pad(audio[0].double().numpy(), margin, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.n_fft) / settings.n_fft)
    for frame in (0, 5, 11):
        piece = padded[frame * settings.hop :][: settings.n_fft]
        expected = np.sqrt(np.abs(np.fft.rfft(piece * window)) ** 2 + 1e-6)
        assert np.abs(linear[:, frame].numpy() - expected).max() < 1e-5 * expected.max()


def test_the_filter_bank_is_librosas(settings):
    librosa_filters = pytest.importorskip("librosa.filters")
    expected = librosa_filters.mel(sr=settings.sample_rate, n_fft=settings.n_fft, n_mels=settings.n_mels)
    found = mel_basis(settings.sample_rate, settings.n_fft, settings.n_mels)
    assert np.abs(found.numpy() - expected).max() < 1e-6 * expected.max()


def test_silence_lies_on_the_floor_of_each_flavour():
    data = standard_config("v2", 40000).data
    silence = torch.zeros(1, 8000)
    for flavour, floor in (("2.2", FLOOR_22), ("2.3", FLOOR_23)):
        settings = MelSettings.of(data, flavour)
        mel = mel_spectrogram(silence, settings)
        energy = math.sqrt(settings.eps) * mel_basis(40000, 2048, 125).sum(1)
        expected = torch.log(energy.clamp(min=floor))
        assert torch.allclose(mel, expected.view(1, -1, 1).expand_as(mel), atol=1e-4)


def test_two_sample_rates_in_one_process_have_their_own_filters():
    assert not torch.equal(mel_basis(40000, 2048, 125), mel_basis(48000, 2048, 125))
    assert mel_basis(40000, 2048, 125) is mel_basis(40000, 2048, 125)
    assert mel_basis(40000, 2048, 125, (100.0, 8000.0))[-1].nonzero().max() <= 8000 / 40000 * 2048


def test_first_used_for_inference_then_for_training():
    settings = MelSettings(sample_rate=32000, n_fft=512, hop=128, win=512, n_mels=17)
    with torch.inference_mode():
        mel_spectrogram(torch.randn(1, 2048), settings)
    audio = torch.zeros(1, 2048, requires_grad=True)
    mel_spectrogram(audio, settings).sum().backward()
    assert audio.grad.isfinite().all()


def test_half_precision_around_it_changes_nothing(settings):
    audio = torch.randn(1, 20 * settings.hop)
    exact = mel_spectrogram(audio, settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel_spectrogram(audio, settings), exact)
