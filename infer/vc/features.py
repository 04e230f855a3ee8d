"""From content to what the voice hears: retrieval, twice the frame rate, protected consonants."""

import numpy as np
import torch

from infer.lib.retrieval import FeatureIndex
from infer.vc.chunks import WINDOW
from infer.vc.options import PROTECT_OFF, ConvertOptions

UNVOICED_BELOW_HZ = 1.0


def frame_count(n_samples: int, content_frames: int) -> int:
    """Frames of 10 ms a piece yields: its own, or twice its content's, whichever is fewer."""
    return min(n_samples // WINDOW, 2 * content_frames)


def piece_features(
    content: torch.Tensor,
    n_samples: int,
    hz: np.ndarray | None,
    index: FeatureIndex | None,
    options: ConvertOptions,
) -> torch.Tensor:
    """Features [P, D] of a piece of `n_samples` (16 kHz) from its content [T, D].

    P is `frame_count`; `hz` [at least P] is the piece's pitch, None for voices without pitch.
    """
    frames = frame_count(n_samples, content.shape[0])
    blended = blend(content, index, options.index_rate)
    features = _doubled(blended, frames)
    # 0.5 means off: the control runs 0..0.5 in saved settings, so it is not rescaled.
    if blended is content or hz is None or options.protect >= PROTECT_OFF:
        return features
    return protected(features, _doubled(content, frames), hz[:frames], options.protect)


def blend(content: torch.Tensor, index: FeatureIndex | None, index_rate: float) -> torch.Tensor:
    """`index_rate` of the index's nearest features, the rest of `content` [T, D]; rate 0 searches nothing."""
    if index is None or index_rate == 0:
        return content
    found = index.blend(content.float().cpu().numpy(), index_rate)
    return torch.from_numpy(found).to(content)


def protected(features: torch.Tensor, own: torch.Tensor, hz: np.ndarray, protect: float) -> torch.Tensor:
    """`features` [P, D] where `hz` [P] is voiced; elsewhere only `protect` of them, and the rest `own`."""
    share = np.where(hz < UNVOICED_BELOW_HZ, protect, 1.0).astype(np.float32)
    share = torch.from_numpy(share).to(features)[:, None]
    return features * share + own * (1 - share)


def _doubled(content: torch.Tensor, frames: int) -> torch.Tensor:
    """Every frame [T, D] twice, as many as `frames`."""
    return content.repeat_interleave(2, dim=0)[:frames]
