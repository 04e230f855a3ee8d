"""What a recording and its conversion look like: mel pictures as PNG, pitch curves as SVG.

Nothing here draws with a plotting library; pictures are a few hundred pixels, curves a few hundred points.
"""

import html
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RATE = 32000  # Hz: shows up to 16 kHz
N_FFT, MIN_HOP = 1024, 256
BANDS = 128
MOST_COLUMNS, MOST_S = 900, 600.0
RANGE_DB = 75.0
HEIGHT = 160
# Dark to light as in the usual speech tools; each row is a colour at evenly spaced loudness.
_COLOURS = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ],
    float,
)
PLOT_W, PLOT_H, MOST_POINTS = 800, 180, 800
FRAMES_PER_SECOND = 100


def mel_picture(source: Path, target: Path) -> Path:
    """Writes the mel spectrogram of a recording (its first ten minutes) as PNG; returns `target`."""
    from PIL import Image

    levels = mel_levels(source)  # [bands, columns] 0..1
    place = levels * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), _COLOURS[:, c]) for c in range(3)]
    pixels = np.stack(channels, axis=-1).round().astype(np.uint8)[::-1]
    picture = Image.fromarray(pixels).resize((max(pixels.shape[1], 300), HEIGHT), Image.Resampling.BILINEAR)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, optimize=True)
    return target


def mel_levels(source: Path) -> np.ndarray:
    """[bands, columns] float64: 1 is the loudest place, 0 is 75 dB below it or silence."""
    from infer.lib import audio as sound

    seconds = min(sound.probe(source).seconds or MOST_S, MOST_S)
    hop = max(MIN_HOP, math.ceil(seconds * RATE / MOST_COLUMNS))
    bank = _mel_bank()
    columns = [bank @ _power(frames) for frames in _frames(sound.stream(source, RATE), hop)]
    power = np.concatenate(columns, axis=1) if columns else np.zeros((BANDS, 1))
    loudest = power.max(initial=0)
    if loudest <= 0:
        return np.zeros_like(power)
    decibels = 10 * np.log10(np.maximum(power / loudest, 1e-12))
    return np.clip(1 + decibels / RANGE_DB, 0, 1)


def pitch_plot(curves: list[tuple[str, np.ndarray]], empty: str) -> str:
    """An SVG of pitch curves ([T] Hz, 100 a second, 0 unvoiced) with a legend; `empty` if nothing is voiced.

    Colours are Gradio's variables, so that it fits a light and a dark page.
    """
    voiced = [hz[hz > 0] for _, hz in curves]
    if not any(len(hz) for hz in voiced):
        return f'<p class="rvc-note">{html.escape(empty)}</p>'
    low, high = _octave_range(np.concatenate(voiced))
    seconds = max(len(hz) for _, hz in curves) / FRAMES_PER_SECOND
    lines = "".join(
        f'<path class="rvc-curve-{number}" d="{_path(hz, seconds, (low, high))}"/>'
        for number, (_, hz) in enumerate(curves)
    )
    return _plot_frame(curves, lines, (low, high), seconds)


def _plot_frame(curves: list, lines: str, limits: tuple[float, float], seconds: float) -> str:
    ticks = [hz for hz in (50, 100, 200, 400, 800) if limits[0] < hz < limits[1]]
    grid = "".join(
        f'<line x1="0" x2="{PLOT_W}" y1="{_y(hz, limits):.1f}" y2="{_y(hz, limits):.1f}"/>' for hz in ticks
    )
    labels = "".join(f'<span style="top:{100 * _y(hz, limits) / PLOT_H:.1f}%">{hz} Hz</span>' for hz in ticks)
    legend = "".join(
        f'<span class="rvc-key-{number}">{html.escape(name)}</span>'
        for number, (name, _) in enumerate(curves)
    )
    return (
        f'<div class="rvc-pitch"><div class="rvc-legend">{legend}</div><div class="rvc-plot">'
        f'<svg viewBox="0 0 {PLOT_W} {PLOT_H}" preserveAspectRatio="none" aria-hidden="true">'
        f'<g class="rvc-grid">{grid}</g>{lines}</svg><div class="rvc-ticks">{labels}</div></div>'
        f'<div class="rvc-time"><span>0 s</span><span>{seconds:.1f} s</span></div></div>'
    )


def _path(hz: np.ndarray, seconds: float, limits: tuple[float, float]) -> str:
    """Lines over voiced stretches; gaps stay gaps. Long curves are thinned."""
    step = max(1, len(hz) // MOST_POINTS)
    parts, drawing = [], False
    for frame in range(0, len(hz), step):
        value = hz[frame]
        if value > 0:
            x = frame / FRAMES_PER_SECOND / seconds * PLOT_W
            parts.append(f"{'L' if drawing else 'M'}{x:.1f} {_y(value, limits):.1f}")
        drawing = value > 0
    return "".join(parts)


def _y(hz: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return PLOT_H * (1 - math.log(hz / low) / math.log(high / low))


def _octave_range(voiced: np.ndarray) -> tuple[float, float]:
    """A little around all values, at least an octave."""
    low, high = float(voiced.min()) / 1.1, float(voiced.max()) * 1.1
    if high < 2 * low:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(2), middle * math.sqrt(2)
    return low, high


def _frames(blocks: Iterator[np.ndarray], hop: int) -> Iterator[np.ndarray]:
    """[n, N_FFT] windows every `hop` samples of a stream, of its first ten minutes."""
    waiting, left, skipped = np.zeros(N_FFT // 2, np.float32), round(MOST_S * RATE), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block[:left]])
        left -= len(block)
        count = (len(waiting) - skipped - N_FFT) // hop + 1
        if count > 0:
            windows = np.lib.stride_tricks.sliding_window_view(waiting[skipped:], N_FFT)
            yield windows[: count * hop : hop]
            skipped += count * hop
        dropped = min(skipped, len(waiting))  # a hop may reach beyond what has come so far
        waiting, skipped = waiting[dropped:], skipped - dropped
        if left <= 0:
            return


def _power(frames: np.ndarray) -> np.ndarray:
    """[n, N_FFT] -> [N_FFT // 2 + 1, n]."""
    return np.abs(np.fft.rfft(frames * np.hanning(N_FFT), axis=1)).T ** 2


def _mel_bank() -> np.ndarray:
    """[bands, N_FFT // 2 + 1] triangles evenly spaced in mel."""
    edges_mel = np.linspace(_mel(40.0), _mel(RATE / 2), BANDS + 2)
    edges = 700 * (np.exp(edges_mel / 1127) - 1)
    hz = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    # Low bands are narrower than a bin: widened, or they would stay black.
    width = np.maximum(np.diff(edges), RATE / N_FFT)
    rising = 1 - (edges[1:-1, None] - hz) / width[:-1, None]
    falling = 1 - (hz - edges[1:-1, None]) / width[1:, None]
    return np.clip(np.minimum(rising, falling), 0, 1)


def _mel(hz: float) -> float:
    return 1127 * math.log(1 + hz / 700)
