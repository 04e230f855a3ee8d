"""The fixed recogniser of the word error rate: pocketsphinx 5 with the en-us model of its package.

Settings: everything at its default (bigger beams and weights change the rates), 16 kHz, a whole
recording at once (so the mean of the cepstra is that of the recording), level brought to one value first.
What it heard before is forgotten: else the order of the recordings would move the rates by a point or two.
"""

import numpy as np

from tools.starter.scores import words_of

SAMPLE_RATE = 16000
LEVEL_DB, PEAK = -26.0, 0.98


class Recogniser:
    """Words of a recording of American English."""

    def __init__(self):
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def words(self, audio: np.ndarray) -> list[str]:
        """[N] float32 at 16 kHz -> lower-case words."""
        samples = (at_level(audio) * 32767).astype(np.int16)
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return words_of(found.hypstr) if found else []


def at_level(audio: np.ndarray) -> np.ndarray:
    """The same sound at -26 dB, or lower where its peak would be cut."""
    rms, peak = np.sqrt(np.mean(audio**2)) + 1e-9, np.abs(audio).max() + 1e-9
    return audio * min(10 ** (LEVEL_DB / 20) / rms, PEAK / peak)
