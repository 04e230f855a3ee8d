"""What each frame of the recordings is: phones aligned by the running mean, and the mean's own opinion.

CTC says where a phone peaks; a frame between two peaks belongs to the nearer one, unless it is far from both.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torchaudio.functional import forced_align

from infer.lib.content.starter import CONTENT
from tools.starter.augment import LogMel, normalised, source_times
from tools.starter.learner import Learner
from tools.starter.pool import Batch, Pool

UNKNOWN = -1
REACH = 5  # frames that a phone extends from its peak into a gap
TRUST = 0.2  # a guessed transcript counts where the mean gives its phones at least this probability
TRUST_ITEM = 0.35  # and is dropped where its whole stretch has less
SMOOTH = 7  # phones over which the trust is averaged


@dataclass
class Targets:
    """By frame of the whole pool: `labels` [F] (UNKNOWN where nothing is known), `content` [F, 768] bf16."""

    starts: torch.Tensor
    labels: torch.Tensor
    content: torch.Tensor
    trusted: np.ndarray  # by item: whether its transcript may be used

    def of(self, batch: Batch, n_frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Labels [B, T], the mean's content [B, T, 768], and where either applies [B, T]."""
        items = torch.tensor(batch.items, device=self.labels.device)
        first, last = self.starts[items], self.starts[items + 1]
        moment = source_times(batch, n_frames).round().long()
        valid = (moment >= 0) & (moment < (last - first)[:, None])
        place = (first[:, None] + moment).clamp(0, len(self.labels) - 1)
        labels = torch.where(valid, self.labels[place], UNKNOWN)
        return labels, self.content[place], valid


@torch.inference_mode()
def find(pool: Pool, mean: Learner, log_mel: LogMel, batch_s: float, workers: int = 8) -> Targets:
    """Passes every item once through `mean`, undisturbed."""
    starts = pool.frame_starts()
    content = torch.empty(int(starts[-1]), CONTENT, dtype=torch.bfloat16, device=pool.device)
    labels = np.full(int(starts[-1]), UNKNOWN, dtype=np.int16)
    trusted = np.ones(len(pool.items), dtype=bool)

    def settle(number: int, log_probs: torch.Tensor) -> None:
        first, last = starts[number : number + 2]
        item = pool.items[number]
        aligned, trust = align(log_probs, item.phones)
        if item.kind == "guess":
            trusted[number] = trust.mean() >= TRUST_ITEM
            aligned[trust < TRUST] = UNKNOWN
        if trusted[number]:
            labels[first:last] = aligned

    with ThreadPoolExecutor(workers) as threads:
        waiting = []
        for choice in pool.plain_choices(batch_s):
            batch = pool.batch(choice, None)
            with torch.autocast(batch.audio.device.type, torch.bfloat16):
                found, _ = mean(normalised(log_mel(batch.audio)))
                log_probs = mean.phones_ctc(found).float().log_softmax(-1).cpu()
            for row, number in enumerate(choice.items):
                first, last = starts[number : number + 2]
                n_frames = int(last - first)
                content[first:last] = found[row, :n_frames].to(torch.bfloat16)
                if 0 < len(pool.items[number].phones) < n_frames:
                    waiting.append(threads.submit(settle, number, log_probs[row, :n_frames]))
        for job in waiting:
            job.result()
    device = pool.device
    return Targets(
        torch.from_numpy(starts).to(device), torch.from_numpy(labels).long().to(device), content, trusted
    )


def align(log_probs: torch.Tensor, phones: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """log_probs [T, P] and a transcript -> the phone of each frame [T] (0: none) and its trust [T]."""
    wanted = torch.tensor([phones], dtype=torch.int32)
    try:
        path, scores = forced_align(log_probs[None].contiguous(), wanted)
    except RuntimeError:  # more phones, repeats counted, than frames
        return np.full(len(log_probs), UNKNOWN), np.zeros(len(log_probs))
    path, sure = path[0].numpy(), scores[0].exp().numpy()
    spoken = np.flatnonzero(path)
    peaks = np.convolve(np.pad(sure[spoken], SMOOTH // 2, mode="edge"), np.ones(SMOOTH) / SMOOTH, "valid")
    moments = np.arange(len(path))
    after = np.searchsorted(spoken, moments).clip(max=len(spoken) - 1)
    before = (np.searchsorted(spoken, moments, side="right") - 1).clip(min=0)
    nearer = np.where(np.abs(spoken[after] - moments) < np.abs(moments - spoken[before]), after, before)
    near = np.abs(spoken[nearer] - moments) <= REACH
    return np.where(near, path[spoken[nearer]], 0), peaks[nearer]
