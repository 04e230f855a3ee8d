"""The training set: which clips can be used, reading one, and the stream of batches."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile
from torch.utils.data import DataLoader, Dataset

from infer.jobs.experiment import TrainItem
from infer.lib.errors import BadInput, MissingFile, RvcError
from infer.lib.models.spec import DataConfig
from infer.stages.train.batch import Batch, Item, collate
from infer.stages.train.sampler import EndlessBatches, bucket_length

MOST_FRAMES = 900
CONTENT_REPEAT = 2  # content comes at 50 frames per second, everything else at 100
PREFETCH = 8
MOST_LOADERS = 8
ROUND_FRAMES = 64  # on a GPU


@dataclass(frozen=True)
class Clip:
    """A usable training clip: its files, bucketing length and frames."""

    item: TrainItem
    bucket_length: int
    frames: int
    samples: int


def scan(item: TrainItem, data: DataConfig) -> Clip:
    """Sizes of a clip from its files' headers. Raises BadInput for what cannot be used."""
    samples = _samples(item.wav, data, mapped=True)
    content = len(_array(item.content, mapped=True))
    pitch = [len(_array(path, mapped=True)) for path in (item.f0_coarse, item.f0_hz) if path]
    frames = _common_frames(len(samples) // data.hop_length, content, pitch)
    return Clip(item, bucket_length(item.wav.stat().st_size, data.hop_length), frames, len(samples))


def load_item(item: TrainItem, data: DataConfig) -> Item:
    """Reads a clip: content doubled to 100 frames per second, everything cut to the common length.

    Samples keep their values (no rescaling). Raises BadInput when a file is unusable.
    """
    audio = torch.from_numpy(_samples(item.wav, data).astype(np.float32))
    content = _floats(_array(item.content)).repeat_interleave(CONTENT_REPEAT, dim=0)
    coarse = torch.from_numpy(_array(item.f0_coarse).astype(np.int64)) if item.f0_coarse else None
    hz = _floats(_array(item.f0_hz)) if item.f0_hz else None
    loaded = cut_item(Item(audio, content, coarse, hz, item.speaker_id), data.hop_length)
    _check_finite(item, loaded)
    return loaded


def cut_item(item: Item, hop: int) -> Item:
    """The item with features and pitch cut to the frames that all parts have, at most 900."""
    pitch = [len(part) for part in (item.f0_coarse, item.f0_hz) if part is not None]
    frames = min(len(item.audio) // hop, len(item.content), MOST_FRAMES, *pitch)
    coarse = item.f0_coarse[:frames] if item.f0_coarse is not None else None
    hz = item.f0_hz[:frames] if item.f0_hz is not None else None
    return Item(item.audio, item.content[:frames], coarse, hz, item.speaker_id)


class ClipDataset(Dataset):
    """Clips by index, as items. An unreadable clip comes back as its error, not as an exception:

    an exception would reach the main process wrapped in a worker's traceback.
    """

    def __init__(self, clips: list[Clip], data: DataConfig):
        self.clips, self.data = clips, data

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Item | RvcError:
        try:
            return load_item(self.clips[index].item, self.data)
        except RvcError as error:
            return error


def stream(
    clips: list[Clip], data: DataConfig, batches: EndlessBatches, device: torch.device, workers: int
) -> Iterator[Batch]:
    """All batches on `device`; `workers` processes read ahead (0: reads in this process)."""
    workers = min(workers, MOST_LOADERS)
    loader = DataLoader(
        ClipDataset(clips, data),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_Collate(frame_step(device)),
        pin_memory=device.type == "cuda",
        prefetch_factor=PREFETCH if workers else None,
    )
    sampler = batches.sampler
    for batch in loader:
        if isinstance(batch, RvcError):
            raise batch
        yield batch.in_slots(sampler.rank, sampler.n_replicas).to(device)


@dataclass(frozen=True)
class _Collate:
    """The batch of some items, or the first error among them. A class: worker processes must pickle it."""

    round_to: int

    def __call__(self, items: list[Item | RvcError]) -> Batch | RvcError:
        errors = [item for item in items if isinstance(item, RvcError)]
        return errors[0] if errors else collate(items, self.round_to)


def frame_step(device: torch.device) -> int:
    """Batches are padded to a multiple of this many frames."""
    return ROUND_FRAMES if device.type == "cuda" else 1


def _common_frames(wav_frames: int, content_frames: int, pitch_frames: list[int]) -> int:
    return min(wav_frames, CONTENT_REPEAT * content_frames, MOST_FRAMES, *pitch_frames)


def _samples(path: Path, data: DataConfig, mapped: bool = False) -> np.ndarray:
    """Mono samples [N] as stored; `mapped` leaves them on disk."""
    try:
        sample_rate, samples = wavfile.read(path, mmap=mapped)
    except (ValueError, OSError, struct.error) as error:
        raise BadInput(f"{path} cannot be read ({error})", "run preprocess again") from error
    if sample_rate != data.sampling_rate:
        raise BadInput(
            f"{path} has {sample_rate} Hz, but the experiment trains at {data.sampling_rate} Hz",
            "preprocess again into a new experiment",
        )
    if samples.ndim != 1:
        raise BadInput(f"{path} has {samples.shape[1]} channels, not one", "run preprocess again")
    return samples


def _array(path: Path, mapped: bool = False) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing", "run the extraction again") from error
    except (ValueError, EOFError, OSError) as error:
        raise BadInput(
            f"{path} cannot be read ({error})", "delete it and run the extraction again"
        ) from error


def _floats(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _check_finite(source: TrainItem, item: Item) -> None:
    for path, tensor in (
        (source.wav, item.audio),
        (source.content, item.content),
        (source.f0_hz, item.f0_hz),
    ):
        if tensor is not None and not torch.isfinite(tensor).all():
            raise BadInput(
                f"{path} holds values that are not numbers", "delete it and prepare the clip again"
            )
