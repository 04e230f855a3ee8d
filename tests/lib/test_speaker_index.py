"""Rows for each speaker: found by number, never mixed."""

import numpy as np
import pytest
import torch

from infer.lib import checkpoint
from infer.lib.errors import BadCheckpoint
from infer.lib.packed_layout import ROWS
from infer.lib.retrieval import k_means
from infer.lib.speaker_index import load_speaker, write_rows


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return {
        0: rng.normal(size=(30, 16)).astype(np.float32),
        7: rng.normal(size=(9, 16)).astype(np.float32) + 5,
    }


def test_each_speaker_has_an_index_of_its_own(tmp_path, rows):
    path = tmp_path / "rows.safetensors"
    write_rows(path, rows, "starter-2:abc")
    assert checkpoint.kind_of(path) == "rows"
    first, second = load_speaker(path, 0), load_speaker(path, 7)
    assert (first.encoder, first.dim) == ("starter-2:abc", 16)
    probe = np.full((3, 16), 2.5, np.float32)
    assert first.blend(probe, 1.0).mean() < 2 < second.blend(probe, 1.0).mean()
    np.testing.assert_allclose(first.blend(rows[0], 1.0), rows[0], atol=0.05)
    assert load_speaker(path, 3) is None


def test_other_tensors_are_refused(tmp_path):
    path = tmp_path / "rows.safetensors"
    checkpoint.write_packed(path, {"speaker.x": torch.ones(4, 8)}, ROWS, encoder="e")
    with pytest.raises(BadCheckpoint, match="speaker.x"):
        load_speaker(path, 0)


def test_means_stand_for_many_rows(rows):
    assert k_means(rows[7], 20) is rows[7]
    means = k_means(np.concatenate([rows[0] * 0.01, rows[7] * 0.01 + 1]), 2)
    assert sorted(np.round(means.mean(axis=1), 1)) == pytest.approx([0.0, 1.0], abs=0.11)
