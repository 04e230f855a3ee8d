"""Sample-rate conversion: soxr's HQ setting, with librosa's rule for the length."""

import math

import numpy as np
import soxr


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """[N] -> [ceil(N * to / from)] float32: librosa's default resampling (soxr_hq)."""
    audio = np.asarray(audio, dtype=np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    length = resampled_length(len(audio), from_rate, to_rate)
    result = soxr.resample(audio, from_rate, to_rate, quality="HQ")[:length]
    return np.pad(result, (0, length - len(result)))


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    # In floating point, as librosa does, so that lengths agree to the sample.
    return math.ceil(samples * (float(to_rate) / from_rate))


class StreamResampler:
    """The same in blocks: joined results equal `resample` of the joined blocks."""

    def __init__(self, from_rate: int, to_rate: int):
        self.from_rate, self.to_rate = from_rate, to_rate
        same = from_rate == to_rate
        self._soxr = None if same else soxr.ResampleStream(from_rate, to_rate, 1, "float32", "HQ")
        self._taken = self._given = 0

    def add(self, block: np.ndarray) -> np.ndarray:
        """[n] -> what is ready, [m] float32 (m may be 0)."""
        self._taken += len(block)
        if self._soxr is not None:
            block = self._soxr.resample_chunk(np.ascontiguousarray(block, dtype=np.float32))
        self._given += len(block)
        return block

    def finish(self) -> np.ndarray:
        """What the filter still holds, cut or filled with zeros to the defined length."""
        missing = resampled_length(self._taken, self.from_rate, self.to_rate) - self._given
        if self._soxr is None or not self._taken:
            return np.zeros(missing, dtype=np.float32)
        tail = self._soxr.resample_chunk(np.zeros(0, dtype=np.float32), last=True)[:missing]
        return np.pad(tail, (0, missing - len(tail)))
