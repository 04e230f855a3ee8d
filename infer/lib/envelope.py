"""Filters and loudness: the 48 Hz high-pass, RMS curves, envelope mixing.

The curves and constants are those that RVC's slicing and conversion are defined by.
"""

from functools import cache

import numpy as np
from scipy import signal

from infer.lib.audio_decode import BLOCK_S

HIGHPASS_HZ = 48
HIGHPASS_ORDER = 5
CONVERSION_RATE = 16000
OUTPUT_RMS_FLOOR = 1e-6
_MIX_BLOCK = 1 << 20  # samples mixed at a time, so that a long song needs no second copy in float64


@cache
def highpass_coefficients(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """(b, a) of the Butterworth high-pass, order 5, 48 Hz; [6] float64 each."""
    b, a = signal.butter(HIGHPASS_ORDER, HIGHPASS_HZ, btype="highpass", fs=sample_rate)
    return b, a


def highpass_filtfilt(audio: np.ndarray, sample_rate: int = CONVERSION_RATE) -> np.ndarray:
    """Zero-phase high-pass of a recording to convert: [N] -> [N] float64."""
    b, a = highpass_coefficients(sample_rate)
    if not len(audio):
        return np.zeros(0)
    # The usual edge extension, shortened where a clip has fewer samples than it.
    return signal.filtfilt(b, a, audio, padlen=min(3 * len(b), len(audio) - 1))


class CausalHighPass:
    """The same filter run forward, block by block: joined blocks equal the filtered whole."""

    def __init__(self, sample_rate: int):
        self._b, self._a = highpass_coefficients(sample_rate)
        self._state = np.zeros(max(len(self._a), len(self._b)) - 1)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """[n] -> [n] float64."""
        filtered, self._state = signal.lfilter(self._b, self._a, block, zi=self._state)
        return filtered


class RmsMeter:
    """RMS once a hop over windows of `hops` hops, centred, zeros beyond both ends, fed in blocks.

    N samples give 1 + N // hop values, whatever the sizes of the blocks.
    """

    def __init__(self, hop: int, hops: int):
        if hops % 2:
            raise ValueError(f"a centred window needs an even number of hops, not {hops}")
        self._hop, self._hops = hop, hops
        self._squares: list[np.ndarray] = []  # sum of squares of each whole hop
        self._rest = np.zeros(0)
        self.samples = 0

    def add(self, block: np.ndarray) -> None:
        self.samples += len(block)
        block = np.concatenate([self._rest, block])
        whole = len(block) // self._hop * self._hop
        self._squares.append(np.square(block[:whole]).reshape(-1, self._hop).sum(axis=1))
        self._rest = block[whole:]

    def curve(self) -> np.ndarray:
        """[1 + N // hop] float64."""
        edge = np.zeros(self._hops // 2)
        last = np.square(self._rest).sum(keepdims=True)
        squares = np.concatenate([edge, *self._squares, last, edge])
        count = 1 + self.samples // self._hop
        total = sum(squares[k : k + count] for k in range(self._hops))
        return np.sqrt(total / (self._hop * self._hops))


def rms_curve(audio: np.ndarray, hop: int, hops: int) -> np.ndarray:
    """RmsMeter over a whole signal: [N] -> [1 + N // hop] float64."""
    meter = RmsMeter(hop, hops)
    step = max(1, int(BLOCK_S * 48000))
    for start in range(0, len(audio), step):
        meter.add(np.asarray(audio[start : start + step], dtype=np.float64))
    return meter.curve()


def mix_envelope(
    source: np.ndarray,
    source_rate: int,
    output: np.ndarray,
    output_rate: int,
    rms_mix_rate: float,
    *,
    in_place: bool = False,
) -> np.ndarray:
    """Moves the loudness of `output` towards that of `source`: [N] float32.

    1 keeps the output's own loudness, 0 takes the source's. `source` is the high-passed input.
    `in_place` overwrites `output` (float32) and saves the memory of a second one.
    """
    if rms_mix_rate == 1 or not len(output) or not len(source):
        return np.asarray(output, dtype=np.float32)
    # Windows of one second, a value every half second.
    wanted = rms_curve(source, source_rate // 2, 2)
    own = rms_curve(output, output_rate // 2, 2)
    mixed = output if in_place else np.empty(len(output), dtype=np.float32)
    for start in range(0, len(output), _MIX_BLOCK):
        stop = min(start + _MIX_BLOCK, len(output))
        place = np.arange(start, stop) + 0.5
        target = _stretched(wanted, place / len(output))
        current = np.maximum(_stretched(own, place / len(output)), OUTPUT_RMS_FLOOR)
        gain = target ** (1 - rms_mix_rate) * current ** (rms_mix_rate - 1)
        mixed[start:stop] = output[start:stop] * gain
    return mixed


def _stretched(curve: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Linear interpolation, corners not aligned: `fraction` 0..1 of the whole, edges held."""
    return np.interp(fraction * len(curve) - 0.5, np.arange(len(curve)), curve)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """[N] float -> [N] int16 by truncation; scaled down only where the peak exceeds 0.99."""
    if not len(audio):
        return np.zeros(0, dtype=np.int16)
    excess = max(float(audio.max()), -float(audio.min())) / 0.99
    scale = 32768 / excess if excess > 1 else 32768
    result = np.empty(len(audio), dtype=np.int16)
    for start in range(0, len(audio), _MIX_BLOCK):  # no second copy of a long recording
        stop = start + _MIX_BLOCK
        result[start:stop] = (audio[start:stop] * scale).astype(np.int16)
    return result
