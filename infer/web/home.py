"""Where the page finds its files, and how it learns what this machine computes with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Home:
    """Folders of the program. `settings(**overrides)` gives config.Settings; it may import torch."""

    root: Path
    assets: Path
    logs: Path
    weights: Path
    output: Path  # results of a batch
    settings: Callable[..., Any]
    device: str = "auto"  # asked for when the program was started; auto: as in config.py

    @property
    def voice_folders(self) -> list[Path]:
        """Where voices are looked for, in this order: this project's folder, then RVC's."""
        return [self.weights, self.assets / "weights"]

    @property
    def index_folders(self) -> list[Path]:
        """Where indexes are looked for: experiments, RVC 2.3's folder, the voices' own."""
        return [self.logs, self.assets / "indices", self.weights, self.assets / "starter"]

    @property
    def jobs(self) -> Path:
        return self.logs / ".jobs"
