"""Fixtures shared by all tests: small sounds, no downloads, no GPU."""

import tempfile

import numpy as np
import pytest

SAMPLE_RATE_16K = 16000


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory):
    """What programs under test leave in the system's temporary folder goes with the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("tmp"))
        for name in ("TMPDIR", "TEMP", "TMP"):
            patch.setenv(name, folder)
        patch.setattr(tempfile, "tempdir", None)  # to be read again
        yield


@pytest.fixture
def tone():
    """`tone(seconds, hz=220.0, sample_rate=16000)`: a quiet harmonic sound, [N] float32."""

    def make(seconds: float, hz: float = 220.0, sample_rate: int = SAMPLE_RATE_16K) -> np.ndarray:
        t = np.arange(round(seconds * sample_rate)) / sample_rate
        wave = sum(np.sin(2 * np.pi * hz * k * t + k) / k for k in range(1, 6))
        return (0.2 * wave).astype(np.float32)

    return make


@pytest.fixture
def events():
    """A report that keeps what it is told: `events.list`, `events.of(kind)`."""
    return RecordingReport()


class RecordingReport:
    def __init__(self):
        self.list = []

    def __call__(self, event):
        self.list.append(event)

    def of(self, kind):
        return [event for event in self.list if isinstance(event, kind)]
