"""How far apart what two sounds say is, by the frozen content encoder: a loss for the base.

What tells one phone from another is a small part of a spectrogram, hence of a loss that compares them; a
recogniser looks for it (as in Li et al. 2021, who ask that a converted voice says what its source said).
"""

from pathlib import Path

import torch
import torchaudio
from torch.nn import functional

from infer.lib.content.base import SAMPLE_RATE
from infer.lib.content.starter import StarterEncoder
from infer.stages.train.precision import Precision
from infer.stages.train.step import Windows
from tools.starter.augment import LogMel, normalised

NOISE = 10 ** (-30 / 20)  # of the level: what is too faint to matter is no part of the content


class ContentDistance:
    """Windows at `sample_rate` -> a distance for each clip [B], 0 (the same) .. 2.

    Its noise comes from torch's own generator: a run that was stopped and goes on draws another.
    """

    def __init__(self, encoder: Path, sample_rate: int, precision: Precision):
        device = precision.device
        loaded = StarterEncoder(encoder, device)
        self._precision = precision
        self.name, self._network = loaded.name, loaded.network
        self._resample = torchaudio.transforms.Resample(sample_rate, SAMPLE_RATE).to(device)
        self._log_mel = LogMel(device)

    def __call__(self, windows: Windows) -> torch.Tensor:
        with torch.no_grad():
            meant = self._content(windows.true)
        said = self._content(windows.made)
        return 1 - functional.cosine_similarity(said, meant, dim=-1).mean(1)

    def _content(self, waves: torch.Tensor) -> torch.Tensor:
        """[B, 1, N] -> [B, T, 768] float32."""
        audio = self._resample(waves.squeeze(1))
        level = audio.detach().pow(2).mean(1, keepdim=True).sqrt()
        mel = normalised(self._log_mel(audio + NOISE * level * torch.randn_like(audio)))
        with self._precision.autocast():
            return self._network(mel).float()
