"""What the engine hands out: a written file and how it came about."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infer.vc.options import ConvertOptions
from infer.web.errors_i18n import Said
from infer.web.i18n import language_of, say

if TYPE_CHECKING:
    import numpy as np

    from infer.vc.pipeline import Conversion


class Stopped(Said):
    """The user stopped the conversion."""

    def __init__(self):
        super().__init__(say(language_of(), "convert.stopped"))


@dataclass(frozen=True)
class Result:
    """A written conversion and how it came about. Curves are [T] Hz, 100 a second, 0 where unvoiced."""

    path: Path
    source: Path | None  # None: the recording was given as samples
    voice: Path
    options: ConvertOptions
    duration_s: float
    sample_rate: int
    seconds: dict[str, float]
    f0_method: str | None
    source_f0: "np.ndarray | None"
    f0: "np.ndarray | None"  # what the voice was asked to sing
    index_used: Path | None
    index_reason: str
    device: str
    n_pieces: int = 1
    warnings: list[str] = field(default_factory=list)


def result_of(conversion: "Conversion", options: ConvertOptions, target: Path, known: tuple) -> Result:
    source, voice, reason, device = known
    curve = conversion.f0.hz if conversion.f0 is not None else None
    # A curve file replaces the pitch of the recording, which is then unknown.
    shown = None if curve is None or options.f0_file else curve / 2 ** (options.f0_up_key / 12)
    return Result(
        path=target,
        source=Path(source) if isinstance(source, str | Path) else None,
        voice=voice,
        options=options,
        duration_s=conversion.duration_s,
        sample_rate=conversion.sample_rate,
        seconds=dict(conversion.seconds),
        f0_method=conversion.f0_method,
        source_f0=shown,
        f0=curve,
        index_used=conversion.index_used,
        index_reason=reason,
        device=device,
        n_pieces=conversion.n_pieces,
        warnings=list(conversion.warnings),
    )


def write(target: Path, conversion: "Conversion", options: ConvertOptions) -> None:
    from infer.lib.audio import save
    from infer.lib.f0.curve import write_curve_file

    save(target, conversion.audio, conversion.sample_rate)
    if options.save_f0 and conversion.f0 is not None:
        write_curve_file(target.with_name(f"{target.stem}.f0.csv"), conversion.f0)
