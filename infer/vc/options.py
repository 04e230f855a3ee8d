"""What the user chooses for a conversion. Light: imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path

from infer.jobs.command import option
from infer.lib.f0 import METHODS

FORMATS = ("wav", "flac", "mp3", "m4a", "ogg")
SPLIT_RULES = ("2.3", "2.2")
F0_METHODS = ("auto", *METHODS)
PROTECT_OFF = 0.5
LOWEST_OUTPUT_RATE, HIGHEST_OUTPUT_RATE = 16000, 192000


@dataclass(frozen=True)
class ConvertOptions:
    """The controls of one conversion."""

    speaker_id: int = option(0, help="row of the voice's speaker table", aliases=("--sid",))
    f0_up_key: float = option(
        0.0, help="transpose by so many semitones, 12 is an octave", aliases=("--f0up-key",)
    )
    f0_method: str = option(
        "auto",
        help="pitch method; auto is rmvpe if its file is installed, else fcpe",
        choices=F0_METHODS,
        aliases=("--f0method",),
    )
    index_rate: float = option(0.75, help="share of the indexed features, 0..1; 0 uses no index")
    filter_radius: int = option(3, help="3 or more smooths the pitch of harvest (median)")
    resample_sr: int = option(0, help="sample rate of the result in Hz, 0 keeps the voice's own")
    rms_mix_rate: float = option(0.25, help="loudness: 0 follows the source, 1 the voice")
    protect: float = option(0.33, help="protects consonants and breath, 0..0.5; 0.5 is off")
    f0_file: Path | None = option(None, help="pitch curve to use instead: lines of seconds,hz")
    save_f0: bool = option(False, help="write the pitch curve beside the result too, as NAME.f0.csv")
    noise_scale: float | None = option(
        None, help="variation of the voice, 0..1; less is clearer (default: as its file says, else 0.67)"
    )
    fill_unvoiced: bool | None = option(
        None, help="interpolate pitch over unvoiced sound, as RVC 2.3 does (default: as the voice file says)"
    )
    split_rule: str = option("2.3", help="which RVC's quiet points cut long recordings", choices=SPLIT_RULES)
    seed: int = option(0, help="of the voice's noise; -1 gives a new one each time")
    format: str = option("wav", help="of the written file", choices=FORMATS)

    def __post_init__(self):
        _within("index_rate", self.index_rate, 0, 1)
        _within("rms_mix_rate", self.rms_mix_rate, 0, 1)
        _within("noise_scale", self.noise_scale or 0, 0, 1)
        _within("protect", self.protect, 0, PROTECT_OFF)
        _within("f0_up_key", self.f0_up_key, -60, 60)
        _within("filter_radius", self.filter_radius, 0, 100)
        _within("speaker_id", self.speaker_id, 0, math.inf)
        _within("seed", self.seed, -1, math.inf)
        if self.resample_sr and not LOWEST_OUTPUT_RATE <= self.resample_sr <= HIGHEST_OUTPUT_RATE:
            raise ValueError(
                f"resample_sr is {self.resample_sr}; it must be 0 (off) "
                f"or {LOWEST_OUTPUT_RATE}..{HIGHEST_OUTPUT_RATE} Hz"
            )
        for name, allowed in (("f0_method", F0_METHODS), ("split_rule", SPLIT_RULES), ("format", FORMATS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        limit = f"{low}..{high}" if high < math.inf else f"at least {low}"
        raise ValueError(f"{name} is {value}; it must be {limit}")
