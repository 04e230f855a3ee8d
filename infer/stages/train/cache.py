"""The whole training set in GPU memory: batches are gathered there, so shuffling stays real."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader

from infer.lib.errors import NoDevice, RvcError
from infer.lib.models.spec import DataConfig
from infer.stages.train.batch import Batch, Item, round_up
from infer.stages.train.data import MOST_LOADERS, Clip, ClipDataset, frame_step
from infer.stages.train.sampler import EndlessBatches


class DeviceCache:
    """All clips end to end in a few long tensors. Equal to reading each batch from disk."""

    def __init__(self, clips: list[Clip], data: DataConfig, device: torch.device, workers: int = 0):
        """Reads every clip once. Raises NoDevice when they do not fit, RvcError for an unusable one."""
        self.device = device
        items = _read(clips, data, min(workers, MOST_LOADERS))
        try:
            self._store(items, clips)
        except torch.cuda.OutOfMemoryError as error:
            raise NoDevice(
                f"the training set of {len(clips)} clips does not fit into the memory of {device}",
                "train without the cache in GPU memory",
            ) from error

    def batch(self, indices: Sequence[int]) -> Batch:
        """The batch that collating these clips would give, slots in the order given."""
        order = sorted(range(len(indices)), key=lambda k: -self.frames[indices[k]])
        rows = [indices[k] for k in order]
        frames = tuple(self.frames[row] for row in rows)
        samples = [self.samples[row] for row in rows]
        frame_starts = [self.frame_starts[row] for row in rows]
        numbers = torch.tensor(
            [frames, samples, frame_starts, [self.sample_starts[row] for row in rows], rows]
        )
        if self.device.type == "cuda":
            numbers = numbers.pin_memory()
        lengths, audio_lengths, frame_start, sample_start, row = numbers.to(self.device, non_blocking=True)
        frame_places, frame_inside = _places(
            frame_start, lengths, round_up(frames[0], frame_step(self.device))
        )
        sample_places, sample_inside = _places(sample_start, audio_lengths, max(samples))
        use_f0 = self.f0_coarse is not None
        return Batch(
            audio=self.audio[sample_places] * sample_inside,
            audio_lengths=audio_lengths,
            content=self.content[frame_places] * frame_inside.unsqueeze(-1),
            lengths=lengths,
            f0_coarse=self.f0_coarse[frame_places] * frame_inside if use_f0 else None,
            f0_hz=self.f0_hz[frame_places] * frame_inside if use_f0 else None,
            speaker_ids=self.speaker_ids[row],
            frames=frames,
            slots=tuple(order),
        )

    def stream(self, batches: EndlessBatches) -> Iterator[Batch]:
        sampler = batches.sampler
        for indices in batches:
            yield self.batch(indices).in_slots(sampler.rank, sampler.n_replicas)

    def _store(self, items: Iterator[Item], clips: list[Clip]) -> None:
        self.frames, self.samples = [clip.frames for clip in clips], [clip.samples for clip in clips]
        self.frame_starts, n_frames = _starts(self.frames)
        self.sample_starts, n_samples = _starts(self.samples)
        self.speaker_ids = torch.tensor([clip.item.speaker_id for clip in clips], device=self.device)
        self.audio = torch.zeros(n_samples, device=self.device)
        for i, item in enumerate(items):
            if i == 0:
                self._allocate(item, n_frames)
            here = slice(self.frame_starts[i], self.frame_starts[i] + self.frames[i])
            self.content[here] = item.content.to(self.device, non_blocking=True)
            if self.f0_coarse is not None:
                self.f0_coarse[here] = item.f0_coarse.to(self.device, non_blocking=True)
                self.f0_hz[here] = item.f0_hz.to(self.device, non_blocking=True)
            start = self.sample_starts[i]
            self.audio[start : start + self.samples[i]] = item.audio.to(self.device, non_blocking=True)

    def _allocate(self, item: Item, n_frames: int) -> None:
        use_f0 = item.f0_coarse is not None
        self.content = torch.zeros(n_frames, item.content.shape[1], device=self.device)
        self.f0_coarse = torch.zeros(n_frames, dtype=torch.long, device=self.device) if use_f0 else None
        self.f0_hz = torch.zeros(n_frames, device=self.device) if use_f0 else None


def _read(clips: list[Clip], data: DataConfig, workers: int) -> Iterator[Item]:
    loader = DataLoader(ClipDataset(clips, data), batch_size=None, num_workers=workers, pin_memory=False)
    for item in loader:
        if isinstance(item, RvcError):
            raise item
        yield item


def _starts(sizes: list[int]) -> tuple[list[int], int]:
    """Where each piece begins when all lie end to end, and the total."""
    starts, total = [], 0
    for size in sizes:
        starts.append(total)
        total += size
    return starts, total


def _places(starts: torch.Tensor, lengths: torch.Tensor, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices [B, longest] into a long tensor, and which of them belong to their row."""
    steps = torch.arange(longest, device=starts.device)
    inside = steps < lengths[:, None]
    return (starts[:, None] + steps) * inside, inside
