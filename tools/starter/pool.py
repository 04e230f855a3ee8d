"""All training audio of the content encoder in GPU memory, at several speeds, and batches cut from it.

Speed changes pitch, formants and tempo together (Ko et al. 2015), so one speaker becomes several.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio

from infer.lib.audio import load
from infer.lib.content.base import frames
from tools.starter.corpus import Item

SAMPLE_RATE = 16000
SPEEDS = (100, 85, 92, 109, 118, 128)  # percent; the first is the original
SPEED_WEIGHTS = (0.4, 0.12, 0.12, 0.12, 0.12, 0.12)
LENGTHS_S = (2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.5, 16.0, 20.0)
# How often a corpus is drawn, against once for each of its items.
SHARES = {"librispeech": 5.0, "vctk": 10.0, "libritts": 5.0, "ljspeech": 2.0, "rhasspy-kerstin": 0.5}
TTS_SHARE = 0.4
TEMPO, UNSTRETCHED = (0.75, 1.4), 0.5


@dataclass(frozen=True)
class Batch:
    """`audio` [B, N] at 16 kHz. Clip b is item `items[b]`, played at `speed[b]` (1: as recorded), from sample
    `offset[b]` on; what surrounds it is silence. It may be stretched by `stretch[b]` and still fits."""

    audio: torch.Tensor
    items: list[int]
    speed: torch.Tensor  # [B]
    offset: torch.Tensor  # [B]
    stretch: torch.Tensor  # [B]
    labels: torch.Tensor  # [B, L], 0 behind the end
    label_lengths: torch.Tensor  # [B], 0 where unknown


@dataclass(frozen=True)
class Choice:
    """What a batch is made of: items, their speeds in percent, their stretches, the window of all of them."""

    window_s: float
    items: list[int]
    speeds: list[int]
    stretches: list[float]


class Pool:
    """`items` with their audio as int16 on `device`."""

    def __init__(self, folder: Path, name: str, device: str, limit: int = 0, workers: int = 8):
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        self.phones: list[str] = content["phones"]
        self.items = [Item(**item) for item in content["items"][:: max(limit, 1)]]
        self.device = device
        names = sorted({item.speaker for item in self.items})
        self.speakers = torch.tensor([names.index(item.speaker) for item in self.items], device=device)
        self.n_speakers = len(names)
        clips = _decoded(folder, self.items, workers)
        lengths = [len(clip) for clip in clips]
        self.seconds = np.array(lengths) / SAMPLE_RATE
        whole = torch.from_numpy(np.concatenate(clips)).to(device)
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self.audio = {100: whole}

    def add_speeds(self) -> None:
        """Resamples everything: about a gigabyte for each speed and 9 hours."""
        for speed in SPEEDS[1:]:
            self.audio[speed] = _resampled(self.audio[100], speed)

    def clip(self, number: int) -> torch.Tensor:
        """Item `number` as recorded [N], float32."""
        return self.audio[100][int(self.starts[number]) : int(self.starts[number + 1])].float() / 32768

    def epoch(self, batch_s: float, draw: np.random.Generator) -> Iterator["Choice"]:
        """Batches of one pass, each of about `batch_s` seconds, in random order."""
        drawn = [i for i in range(len(self.items)) for _ in range(self._times(i, draw))]
        speeds = draw.choice(SPEEDS, len(drawn), p=SPEED_WEIGHTS)
        stretches = np.exp(draw.uniform(*np.log(TEMPO), len(drawn)))
        stretches[draw.random(len(drawn)) < UNSTRETCHED] = 1.0
        buckets: dict[float, list[tuple[int, int, float]]] = {}
        for number, speed, stretch in zip(drawn, speeds, stretches, strict=True):
            seconds = self.seconds[number] * 100 / speed * max(stretch, 1.0)
            window = next((length for length in LENGTHS_S if seconds <= 0.98 * length), None)
            if window:
                buckets.setdefault(window, []).append((number, int(speed), float(stretch)))
        choices = []
        for window, members in buckets.items():
            draw.shuffle(members)
            size = max(int(batch_s / window), 1)
            parts = [members[i : i + size] for i in range(0, len(members), size)]
            parts = [
                part for part in parts if len(part) >= max(size // 4, 2)
            ]  # a scrap is left out this time
            choices += [
                Choice(window, *(list(column) for column in zip(*part, strict=True))) for part in parts
            ]
        for place in draw.permutation(len(choices)):
            yield choices[place]

    def _times(self, number: int, draw: np.random.Generator) -> int:
        item = self.items[number]
        share = TTS_SHARE if item.kind == "tts" else SHARES.get(item.corpus, 1.0)
        return int(share + draw.random())

    def batch(self, choice: "Choice", draw: np.random.Generator | None) -> Batch:
        """The audio and labels of some items, each at a random place in its window, or at its start."""
        size = int(choice.window_s * SAMPLE_RATE)
        audio = torch.zeros(len(choice.items), size, device=self.device)
        offsets = []
        for row, (number, speed, stretch) in enumerate(
            zip(choice.items, choice.speeds, choice.stretches, strict=True)
        ):
            first, last = (int(self.starts[number + i] * 100 / speed) for i in (0, 1))
            clip = self.audio[speed][first:last][:size]
            room = int(size / max(stretch, 1.0)) - len(clip)
            offset = int(draw.integers(0, room + 1)) if draw and room > 0 else 0
            audio[row, offset : offset + len(clip)] = clip
            offsets.append(offset)
        spoken = [self.items[number].phones for number in choice.items]
        lengths = torch.tensor([len(phones) for phones in spoken])
        labels = torch.zeros(len(spoken), max(int(lengths.max()), 1), dtype=torch.long)
        for row, phones in enumerate(spoken):
            labels[row, : len(phones)] = torch.tensor(phones)
        return Batch(
            audio / 32768,
            choice.items,
            torch.tensor(choice.speeds, device=self.device) / 100,
            torch.tensor(offsets, device=self.device),
            torch.tensor(choice.stretches, device=self.device),
            labels.to(self.device),
            lengths.to(self.device),
        )

    def plain_choices(self, batch_s: float) -> Iterator["Choice"]:
        """Every item once, as recorded, those of like length together."""
        order = np.argsort(self.seconds, kind="stable")[::-1]
        first = 0
        while first < len(order):
            window = float(self.seconds[order[first]]) + 0.1
            part = [int(number) for number in order[first : first + max(int(batch_s / window), 1)]]
            yield Choice(window, part, [100] * len(part), [1.0] * len(part))
            first += len(part)

    def frame_starts(self) -> np.ndarray:
        """Where each item's content frames begin in an array of all of them; the last entry is its length."""
        return np.concatenate([[0], np.cumsum([frames(int(s * SAMPLE_RATE + 0.5)) for s in self.seconds])])


def _decoded(folder: Path, items: list[Item], workers: int) -> list[np.ndarray]:
    def one(path: str) -> np.ndarray:
        return np.round(load(folder / path, SAMPLE_RATE).clip(-1, 1) * 32767).astype(np.int16)

    paths = sorted({item.path for item in items})
    with ThreadPoolExecutor(workers) as pool:
        files = dict(zip(paths, pool.map(one, paths), strict=True))
    return [
        files[item.path][int(item.start_s * SAMPLE_RATE) : int(item.end_s * SAMPLE_RATE + 0.5)]
        for item in items
    ]


def _resampled(audio: torch.Tensor, speed: int, part: int = 1 << 24) -> torch.Tensor:
    """[N] int16 -> [N * 100 / speed], in parts whose lengths divide evenly."""
    part -= part % (100 * speed)
    resample = torchaudio.transforms.Resample(speed, 100).to(audio.device)
    parts = []
    for start in range(0, len(audio), part):
        changed = resample(audio[start : start + part].float()[None])[0]
        parts.append(changed.clamp(-32768, 32767).round().to(torch.int16))
    return torch.cat(parts)
