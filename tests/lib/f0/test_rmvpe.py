from pathlib import Path

import numpy as np
import pytest
import torch

from infer.lib.errors import BadCheckpoint
from infer.lib.f0 import estimator, rmvpe
from infer.lib.f0.rmvpe_net import RmvpeNet
from tests.golden.synthetic_weights import load_spec

GOLDEN = Path(__file__).parents[2] / "data" / "f0" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return RmvpeNet().eval()


def test_keys_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        state = RmvpeNet().state_dict()
    spec = {name: tuple(shape) for name, (shape, _) in load_spec("RMVPE").items()}
    assert list(state) == list(spec)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == spec


def test_mel(golden):
    audio = torch.from_numpy(golden["signal"].astype(np.float32) / 32768)
    mel = rmvpe.log_mel(audio).numpy()
    assert mel.shape == (128, 101)
    np.testing.assert_allclose(mel[::4], golden["mel_every4"], atol=1e-3)


def test_decoder(golden):
    hz = rmvpe.decode(golden["craft_salience"])
    np.testing.assert_allclose(hz, golden["craft_f0"], rtol=1e-4)


def test_salience_at_the_threshold_is_unvoiced():
    salience = np.zeros((2, 360), np.float32)
    salience[:, 100] = rmvpe.THRESHOLD, rmvpe.THRESHOLD + 1e-6
    assert (rmvpe.decode(salience) > 0).tolist() == [False, True]


@pytest.mark.parametrize("frames", (1, 32, 45))
def test_any_number_of_frames(network, frames):
    with torch.inference_mode():
        salience = network(torch.randn(1, 128, frames))
    assert salience.shape == (1, frames, 360)
    assert salience.min() >= 0 and salience.max() <= 1


def test_audio_shorter_than_a_window(network):
    tracker = rmvpe.Rmvpe(network, "cpu")
    assert tracker.salience(np.full(300, 0.1, np.float32)).shape == (2, 360)
    assert tracker(np.full(300, 0.1, np.float32), 5).shape == (5,)


def test_pieces_fall_on_the_pooling_grid():
    assert rmvpe.PLAN.core % 32 == rmvpe.PLAN.context % 32 == 0


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "rmvpe" / "rmvpe.pt"
    path.parent.mkdir()
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(BadCheckpoint, match="not the RMVPE model"):
        estimator("rmvpe", "cpu", tmp_path)
