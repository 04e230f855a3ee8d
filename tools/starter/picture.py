"""Spectrograms of a source, the target and the result, one above the other, as a PNG.

    python -m tools.starter.picture --source=WAV --target=WAV --result=WAV --output=PNG

The target says something else than the other two; it shows what the voice looks like. White lines are
the pitch by Praat, drawn at ten times its height.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np

from infer.jobs.command import option, parse
from infer.lib.audio import load
from infer.lib.f0 import estimator
from tools.bench.judge import METHOD, SAMPLE_RATE

PICTURE_RATE, N_FFT, HOP = 40000, 1024, 200  # 5 ms
RANGE_DB = 80  # below the loudest point of each
INCHES, DOTS = (10, 2.6), 110  # of one spectrogram; dots for an inch
PITCH_SCALE = 10  # the pitch is drawn at ten times its height, else it is a line at the bottom


@dataclass(frozen=True)
class PictureOptions:
    """Draw the spectrograms of a source, of the target speaker and of a conversion."""

    source: Path = option(help="what was converted")
    target: Path = option(help="a recording of the target speaker")
    result: Path = option(help="the conversion")
    output: Path = option(help="picture to write (.png)")
    seconds: float = option(7.0, help="of each recording")
    highest_hz: float = option(12000.0, help="top of the picture")


def run(options: PictureOptions) -> None:
    """Writes the picture."""
    from matplotlib.figure import Figure  # no pyplot: no window system is asked for

    recordings = {name: getattr(options, name) for name in ("source", "target", "result")}
    figure = Figure(figsize=(INCHES[0], INCHES[1] * len(recordings)), dpi=DOTS, layout="constrained")
    for axes, (name, path) in zip(figure.subplots(len(recordings), 1), recordings.items(), strict=True):
        draw(axes, path, options)
        axes.set_title(f"{name}: {path.stem}", fontsize=10, loc="left")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output)


def draw(axes, path: Path, options: PictureOptions) -> None:
    """One spectrogram in dB and the pitch over it."""
    audio = load(path, PICTURE_RATE)[: round(options.seconds * PICTURE_RATE)]
    level = spectrogram_db(audio)
    extent = (0, len(audio) / PICTURE_RATE, 0, PICTURE_RATE / 2000)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-RANGE_DB, vmax=0, cmap="magma")
    axes.set_facecolor("black")  # a recording may be shorter than the picture
    axes.set(ylim=(0, options.highest_hz / 1000), ylabel="kHz", xlabel="s", xlim=(0, options.seconds))
    hz = estimator(METHOD, "cpu")(librosa.resample(audio, orig_sr=PICTURE_RATE, target_sr=SAMPLE_RATE)).hz
    drawn = np.where(hz > 0, hz * PITCH_SCALE / 1000, np.nan)
    axes.plot(np.arange(len(hz)) / 100, drawn, color="white", linewidth=1)
    place = {"transform": axes.transAxes, "ha": "right", "va": "top"}
    axes.text(0.995, 0.95, f"pitch x {PITCH_SCALE}", color="white", fontsize=8, **place)


def spectrogram_db(audio: np.ndarray) -> np.ndarray:
    """[bins, T] relative to the loudest point."""
    magnitude = np.abs(librosa.stft(audio, n_fft=N_FFT, hop_length=HOP))
    return librosa.amplitude_to_db(magnitude, ref=np.max, top_db=RANGE_DB)


def main(argv: list[str] | None = None) -> int:
    run(parse(PictureOptions, sys.argv[1:] if argv is None else argv, "tools.starter.picture"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
