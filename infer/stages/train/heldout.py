"""Clips that are never trained on: how the voice sounds on them tells how far training has come."""

import hashlib
from collections.abc import Sequence

import torch

from infer.lib.mel import MelSettings, mel_spectrogram
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer
from infer.stages.train.batch import Item
from infer.stages.train.data import Clip
from infer.stages.train.losses import mel_loss
from infer.stages.train.precision import Precision

SHARE = 0.02
MOST_CLIPS = 8
LEAST_CLIPS_TO_SPARE = 20


def choose(clips: Sequence[Clip], earlier: Sequence[str] = ()) -> list[str]:
    """Stems to hold out: about 2 %, at most 8, none of a set below 20 clips.

    Those of an `earlier` run stay held out as long as they exist; others follow by the hash of their
    stem, so added clips do not change the choice of what was there.
    """
    if len(clips) < LEAST_CLIPS_TO_SPARE:
        return []
    stems = {clip.item.stem for clip in clips}
    count = min(MOST_CLIPS, max(1, round(SHARE * len(stems))))
    kept = [stem for stem in earlier if stem in stems][:MOST_CLIPS]
    others = sorted(stems - set(kept), key=lambda stem: hashlib.sha256(stem.encode()).digest())
    return kept + others[: max(0, count - len(kept))]


@torch.no_grad()
def speak(generator: Synthesizer, item: Item, device: torch.device, precision: Precision) -> torch.Tensor:
    """Audio [T * hop] float32 of a clip's content, pitch and speaker: the way a conversion is made."""
    length = torch.tensor([item.frames], device=device)
    pitch = None
    if item.f0_hz is not None:
        pitch = Pitch(item.f0_coarse[None].to(device), item.f0_hz[None].to(device))
    with precision.autocast():
        audio = generator.infer(
            item.content[None].to(device),
            length,
            pitch,
            torch.tensor([item.speaker_id], device=device),
            _fixed_draws(generator, item.frames, device),
        )
    return audio[0].float()


def mean_mel_loss(
    generator: Synthesizer, items: Sequence[Item], mel: MelSettings, precision: Precision, c_mel: float
) -> float:
    """The mel loss (same weight as in training) of whole clips through the way of conversion."""
    device = next(generator.parameters()).device
    losses = []
    for item in items:
        made = speak(generator, item, device, precision)
        true = item.audio[: len(made)].to(device)
        mels = [mel_spectrogram(audio[None], mel) for audio in (true, made)]
        losses.append(mel_loss(*mels, c_mel))
    return torch.stack(losses).mean().item()


def _fixed_draws(generator: Synthesizer, frames: int, device: torch.device) -> Draws:
    """The same noise at every save, so that only the network makes a difference."""
    source = torch.Generator().manual_seed(frames)
    spec = generator.spec
    prior = torch.randn(1, spec.inter_channels, frames, generator=source)
    noise = torch.randn(1, frames * spec.hop, 1, generator=source)
    return Draws(prior=prior.to(device), source=noise.to(device) if spec.use_f0 else None)
