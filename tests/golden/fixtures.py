"""Deterministic inputs used by the golden data: signals and a HuBERT stand-in.

Only NumPy.  Every golden file also stores the inputs it used, so these
functions are needed only to make new cases or to run the HuBERT stand-in.
"""

import zlib

import numpy as np


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode("utf-8")))


def voice(sr, seconds, name, f0=160.0, pauses=(), noise=3e-4, level=0.35):
    """A voice-like int16 signal: vibrato harmonics, syllables, pauses, breath.

    `pauses` is a list of (start_s, end_s) where only the noise floor remains.
    Returns int16; use ``x.astype(float32) / 32768``.
    """
    n = int(round(sr * seconds))
    t = np.arange(n) / sr
    rng = rng_of(name)
    glide = f0 * 2.0 ** (0.35 * np.sin(2 * np.pi * 0.23 * t) + 0.02 * np.sin(2 * np.pi * 5.5 * t))
    phase = 2 * np.pi * np.cumsum(glide) / sr
    x = np.zeros(n)
    for h in range(1, 13):
        tilt = np.exp(-0.25 * (h - 1)) * (1.0 + 0.5 * np.sin(2 * np.pi * 0.7 * t + h))
        x += np.where(glide * h < 0.45 * sr, tilt, 0.0) * np.sin(h * phase + 0.3 * h * h)
    x *= 0.55 + 0.45 * np.sin(2 * np.pi * 2.1 * t + 0.4)
    x /= np.abs(x).max()
    gate = np.ones(n)
    ramp = int(0.02 * sr)
    for a, b in pauses:
        i, j = int(a * sr), int(b * sr)
        gate[i:j] = 0.0
        k = max(i - ramp, 0)
        gate[k:i] *= np.linspace(1, 0, i - k, endpoint=False)
        m = min(j + ramp, n)
        gate[j:m] *= np.linspace(0, 1, m - j, endpoint=False)
    y = level * x * gate + noise * rng.standard_normal(n)
    return np.clip(np.round(y * 32767), -32768, 32767).astype(np.int16)


def phones(name, frames, dim):
    """Random phone features [1, frames, dim] float32."""
    return rng_of(name).standard_normal((1, frames, dim)).astype(np.float32)


def f0_curve(name, frames, low=90.0, high=420.0):
    """A float32 f0 track [frames] in Hz with unvoiced (0) runs."""
    rng = rng_of(name)
    t = np.arange(frames)
    mid = (low * high) ** 0.5
    span = np.log2(high / low) / 2
    f0 = mid * 2.0 ** (span * np.sin(2 * np.pi * t / 47.0 + rng.uniform(0, 6)))
    f0 = f0 * (1 + 0.01 * rng.standard_normal(frames))
    start = 5
    while start < frames:
        f0[start : start + int(rng.integers(3, 9))] = 0.0
        start += int(rng.integers(18, 34))
    return f0.astype(np.float32)


def hubert_frames(samples):
    """Frames that the HuBERT feature encoder makes of `samples` at 16 kHz."""
    for kernel, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        samples = (samples - kernel) // stride + 1
    return samples


def hubert_stub(audio, dim):
    """A stand-in for HuBERT: [frames, dim] float32 from 16 kHz mono audio.

    Frame i sees audio[320*i : 320*i + 400].  P is a fixed random matrix::

        feature = 0.6 * tanh(4 * frame @ P),  P = draw("hubert_stub_<dim>") / sqrt(20)

    computed in float64 and cast to float32, so that platforms agree.  It
    replaces the whole feature extractor: dim 256 stands for v1 (layer 9 and
    final_proj), dim 768 for v2 (layer 12).
    """
    audio = np.asarray(audio, dtype=np.float32).astype(np.float64).reshape(-1)
    frames = hubert_frames(len(audio))
    p = rng_of(f"hubert_stub_{dim}").standard_normal((400, dim)) / np.sqrt(20.0)
    index = 320 * np.arange(frames)[:, None] + np.arange(400)[None, :]
    return (0.6 * np.tanh(4.0 * (audio[index] @ p))).astype(np.float32)
