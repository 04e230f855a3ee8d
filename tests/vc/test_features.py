import numpy as np
import pytest
import torch

from infer.vc.features import frame_count, piece_features
from infer.vc.options import ConvertOptions


class Shifted:
    """An index whose nearest features are the asked ones plus one."""

    dim = 4

    def blend(self, content, rate):
        return (content + rate).astype(np.float32)


CONTENT = torch.arange(12.0).reshape(3, 4)  # [3, 4]
HZ = np.array([0, 100, 0.5, 100, 100, 0, 0], np.float32)


def features(hz=HZ, index=None, n_samples=1120, **changes):
    return piece_features(CONTENT, n_samples, hz, index, ConvertOptions(**changes))


@pytest.mark.parametrize(("n_samples", "expected"), [(1040, 6), (959, 5), (1120, 6)])
def test_frames_are_limited_by_samples_and_content(n_samples, expected):
    assert frame_count(n_samples, 3) == expected


def test_without_an_index_every_frame_comes_twice():
    assert torch.equal(features(), CONTENT.repeat_interleave(2, dim=0))
    assert torch.equal(features(index=Shifted(), index_rate=0.0), CONTENT.repeat_interleave(2, dim=0))


def test_index_moves_voiced_frames_fully_and_unvoiced_by_protect():
    moved = features(index=Shifted(), index_rate=1.0, protect=0.25) - CONTENT.repeat_interleave(2, dim=0)
    # 0.5 Hz counts as unvoiced
    assert moved[:, 0].tolist() == pytest.approx([0.25, 1, 0.25, 1, 1, 0.25])


@pytest.mark.parametrize("changes", [{"protect": 0.5}, {"hz": None}])
def test_protection_is_off_at_a_half_and_without_pitch(changes):
    moved = features(**{"index": Shifted(), "index_rate": 1.0, **changes}) - CONTENT.repeat_interleave(
        2, dim=0
    )
    assert moved[:, 0].tolist() == [1] * 6
