"""Clips in memory: one item, and the padded batch that a step works on."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch.nn.utils.rnn import pad_sequence

from infer.lib.mel import MelSettings, linear_spectrogram


@dataclass(frozen=True)
class Item:
    """One training clip. `audio` is whole: its end beyond `frames` still shapes the last spectrum frames."""

    audio: torch.Tensor  # [N] float32
    content: torch.Tensor  # [T, D] float32, 100 frames per second
    f0_coarse: torch.Tensor | None  # [T] long
    f0_hz: torch.Tensor | None  # [T] float32
    speaker_id: int

    @property
    def frames(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class Batch:
    """Items, longest first, zero padded. `frames` and `slots` stay on the host, so no step waits for them.

    `slots[b]` is the place of row b in the batch that all processes form together: the key of its draws.
    """

    audio: torch.Tensor  # [B, N]
    audio_lengths: torch.Tensor  # [B] samples
    content: torch.Tensor  # [B, T, D]
    lengths: torch.Tensor  # [B] frames
    f0_coarse: torch.Tensor | None  # [B, T]
    f0_hz: torch.Tensor | None  # [B, T]
    speaker_ids: torch.Tensor  # [B]
    frames: tuple[int, ...]
    slots: tuple[int, ...]

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device; from pinned memory the copy runs beside the host."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        return self.map(torch.Tensor.pin_memory)

    def in_slots(self, rank: int, n_replicas: int) -> "Batch":
        """The batch of process `rank` of `n_replicas`: row k of its share is row rank + k * n of all."""
        return replace(self, slots=tuple(rank + slot * n_replicas for slot in self.slots))

    def fitted(self, settings: MelSettings) -> "Batch":
        """Audio of a length that follows from the frames, so that equal frames mean equal shapes.

        Cut is only what no valid spectrum frame looks at.
        """
        n_samples = self.content.shape[1] * settings.hop + (settings.n_fft - settings.hop) // 2
        missing = max(n_samples - self.audio.shape[1], 0)
        audio = torch.nn.functional.pad(self.audio[:, :n_samples], (0, missing))
        return replace(self, audio=audio, audio_lengths=self.audio_lengths.clamp(max=n_samples))

    def tensors(self) -> list[torch.Tensor]:
        return [value for value in vars(self).values() if isinstance(value, torch.Tensor)]

    def wave(self, hop: int) -> torch.Tensor:
        """The audio of the valid frames, zero after them: [B, 1, T * hop]."""
        n_samples = self.content.shape[1] * hop
        wave = self.audio.new_zeros(len(self.audio), n_samples)
        kept = min(n_samples, self.audio.shape[1])
        wave[:, :kept] = self.audio[:, :kept]
        inside = torch.arange(n_samples, device=wave.device) < (self.lengths * hop)[:, None]
        return (wave * inside).unsqueeze(1)

    def spectrogram(self, settings: MelSettings) -> torch.Tensor:
        """Linear spectrogram [B, F, T] float32: each clip's own, as if it were alone, zero padded."""
        margin = (settings.n_fft - settings.hop) // 2
        n_frames = self.content.shape[1]
        fitted = self.fitted(settings)
        audio = _mirror_ends(fitted.audio, fitted.audio_lengths, fitted.audio.shape[1] + margin)
        linear = linear_spectrogram(audio, settings.n_fft, settings.hop, settings.win, settings.eps)
        inside = torch.arange(n_frames, device=linear.device) < self.lengths[:, None]
        return linear[:, :, :n_frames] * inside.unsqueeze(1)

    def map(self, function) -> "Batch":
        """The batch with `function` applied to each tensor."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {key: function(x) for key, x in tensors.items() if isinstance(x, torch.Tensor)}
        return replace(self, **moved)


def collate(items: Sequence[Item], round_to: int = 1) -> Batch:
    """A batch of items, longest first; slots number them in the order given.

    Frames are padded up to a multiple of `round_to`: few different shapes for kernels to be tuned to.
    """
    order = sorted(range(len(items)), key=lambda i: -items[i].frames)
    items = [items[i] for i in order]
    use_f0 = items[0].f0_coarse is not None
    frames = tuple(item.frames for item in items)
    return Batch(
        audio=pad_sequence([item.audio for item in items], batch_first=True),
        audio_lengths=torch.tensor([len(item.audio) for item in items]),
        content=_pad([item.content for item in items], round_to),
        lengths=torch.tensor(frames),
        f0_coarse=_pad([item.f0_coarse for item in items], round_to) if use_f0 else None,
        f0_hz=_pad([item.f0_hz for item in items], round_to) if use_f0 else None,
        speaker_ids=torch.tensor([item.speaker_id for item in items]),
        frames=frames,
        slots=tuple(order),
    )


def round_up(count: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def _pad(rows: list[torch.Tensor], round_to: int = 1) -> torch.Tensor:
    """Rows [n, ...], the longest first, as [B, N, ...] with zeros after each."""
    first = rows[0]
    padded = first.new_zeros(len(rows), round_up(len(first), round_to), *first.shape[1:])
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def _mirror_ends(audio: torch.Tensor, lengths: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Each row [N] followed by its own mirror image: [B, n_samples].

    A spectrogram pads with the mirror of the whole row; a short row in a long batch would see zeros.
    """
    places = torch.arange(n_samples, device=audio.device)
    last = (lengths - 1)[:, None]
    places = torch.where(places > last, 2 * last - places, places.expand(len(audio), -1))
    return audio.gather(1, places.clamp(min=0))
