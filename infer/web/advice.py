"""Rules of thumb for training, as plain functions: is it enough data, how many epochs, what batch.

Minutes are usable minutes after slicing. The bands and the ends of the epoch table are those of RVC's
FAQ: 20 to 30 epochs for poor recordings, up to 200 for long, clean ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Name of a band and the minutes at which the next one begins.
BANDS = (("under_1", 1), ("1_5", 5), ("5_10", 10), ("10_50", 50), ("above_50", float("inf")))
NOT_ADVISED = "under_1"
QUALITIES = ("poor", "fair", "good")
# Share of samples at full scale, and the loudness in dB that is exceeded nine tenths of the time.
POOR_CLIPPED, POOR_FLOOR_DB = 0.01, -35.0
GOOD_CLIPPED, GOOD_FLOOR_DB = 0.001, -50.0
EPOCHS = {  # band -> epochs for poor, fair and good recordings
    "under_1": (20, 20, 20),
    "1_5": (20, 40, 80),
    "5_10": (20, 60, 120),
    "10_50": (30, 80, 200),
    "above_50": (30, 100, 200),
}
MOST_BATCH = 40  # of RVC's slider
FP32_SHARE = 0.6  # of the half-precision batch that fits when activations are twice as wide
CHECKPOINTED_SHARE = 1.5  # gradient checkpointing frees activations
CPU_RAM_GIB = 4.0  # memory for each clip of a batch on the CPU
MOST_CPU_BATCH = 4
# Waveform, spectrogram, content and pitch of a minute, as the GPU cache holds them.
CACHE_GIB_PER_MINUTE = 0.033


@dataclass(frozen=True)
class Advice:
    """What the numbers of a recordings report amount to."""

    minutes: float
    band: str
    quality: str
    epochs: int

    @property
    def needs_confirmation(self) -> bool:
        """Too little to be advised: training begins only if the user insists."""
        return self.band == NOT_ADVISED


def advise(report: dict) -> Advice:
    """The advice for a report of preprocessing; missing numbers count as unknown, not as good."""
    minutes = float(report.get("usable_minutes") or 0)
    kind = quality(float(report.get("clipped") or 0), report.get("noise_floor_db"))
    return Advice(minutes, band(minutes), kind, epochs(minutes, kind))


def band(minutes: float) -> str:
    """The FAQ's band: under 1 minute, 1-5, 5-10, 10-50, above 50."""
    return next(name for name, end in BANDS if minutes < end)


def quality(clipped: float, noise_floor_db: float | None) -> str:
    """poor, fair or good, by the share of clipped samples and the noise between the words (dB)."""
    if clipped > POOR_CLIPPED or (noise_floor_db is not None and noise_floor_db > POOR_FLOOR_DB):
        return "poor"
    if clipped <= GOOD_CLIPPED and noise_floor_db is not None and noise_floor_db <= GOOD_FLOOR_DB:
        return "good"
    return "fair"


def epochs(minutes: float, kind: str) -> int:
    """Suggested `total_epoch`: more for more and for cleaner recordings, never more than 200.

    Noise and clipping are learned too, so poor recordings gain nothing from long training.
    """
    return EPOCHS[band(minutes)][QUALITIES.index(kind)]


def gpu_batch(
    memory_gib: Sequence[float],
    precision: str = "auto",
    *,
    cached_minutes: float = 0.0,
    checkpointing: bool = False,
) -> int:
    """Clips in a batch for each GPU: RVC's half of the smallest memory in GiB, 1 to 40.

    `memory_gib` holds what is free on each GPU, `cached_minutes` how much of the training set is to be
    kept there too (0: none).
    """
    room = min(memory_gib) - CACHE_GIB_PER_MINUTE * cached_minutes
    share = (FP32_SHARE if precision == "fp32" else 1.0) * (CHECKPOINTED_SHARE if checkpointing else 1.0)
    return max(1, min(MOST_BATCH, int(room / 2 * share)))


def cpu_batch(ram_gib: float) -> int:
    """Clips in a batch on the CPU, 1 to 4, by free memory in GiB."""
    return max(1, min(MOST_CPU_BATCH, int(ram_gib / CPU_RAM_GIB)))
