"""TensorBoard: scalars and pictures under RVC's names, and sound. Training goes on without it."""

import numpy as np
import torch

from infer.jobs.experiment import Experiment
from infer.stages.train.losses import Losses

# Dark to bright, evenly spaced; pictures need no plotting library.
_COLOURS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    dtype=np.float64,
)


class Board:
    """Writes to the experiment's folder, or nowhere when `writer` is None."""

    def __init__(self, writer=None):
        self._writer = writer

    @classmethod
    def open(cls, experiment: Experiment) -> "Board | None":
        """None when the tensorboard package is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return cls(SummaryWriter(log_dir=str(experiment.root)))

    def __bool__(self) -> bool:
        return self._writer is not None

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, mel: torch.Tensor) -> None:
        """A log mel spectrogram [M, T]."""
        if self._writer:
            self._writer.add_image(name, mel_picture(mel.float().cpu().numpy()), step, dataformats="HWC")

    def sound(self, step: int, name: str, audio: torch.Tensor, sample_rate: int) -> None:
        """Audio [N] in -1..1."""
        if self._writer:
            self._writer.add_audio(name, audio.float().cpu().clamp(-1, 1)[None], step, sample_rate)


def scalar_values(losses: Losses, learning_rate: float) -> dict[str, float]:
    """One step's numbers under RVC's names; waits for the device."""
    values = {
        "loss/g/total": losses.total,
        "loss/d/total": losses.disc,
        "loss/g/fm": losses.fm,
        "loss/g/mel": losses.mel,
        "loss/g/kl": losses.kl,
        **{f"grad_norm_{net}": norm for net, norm in losses.norms.items()},
    }
    for name, parts in (
        ("loss/g", losses.gen_parts),
        ("loss/d_r", losses.disc_real_parts),
        ("loss/d_g", losses.disc_fake_parts),
    ):
        values |= {f"{name}/{i}": part for i, part in enumerate(parts)}
    numbers = torch.stack([value.float() for value in values.values()]).tolist()
    return {**dict(zip(values, numbers, strict=True)), "learning_rate": learning_rate}


def mel_picture(mel: np.ndarray) -> np.ndarray:
    """uint8 [M, T, 3], low frequencies at the bottom, scaled to the values present."""
    mel = np.nan_to_num(mel[::-1])
    low, high = float(mel.min()), float(mel.max())
    level = (mel - low) / max(high - low, 1e-6)
    places = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(level, places, _COLOURS[:, i]) for i in range(3)], axis=-1).astype(np.uint8)
