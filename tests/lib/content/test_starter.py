"""The shipped encoder against its own golden numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from infer.lib import checkpoint
from infer.lib.content import same_encoder
from infer.lib.content.starter import StarterEncoder, mel_basis, rotary_angles, rotated
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.packed_layout import ENCODER, is_packed

REPO = Path(__file__).parents[3]
WEIGHTS = REPO / "assets/starter/content_encoder.safetensors"


@pytest.fixture(scope="module")
def encoder():
    return StarterEncoder(WEIGHTS)


@pytest.fixture(scope="module")
def golden():
    return np.load(REPO / "tests/data/content.npz")


def test_log_mel_and_content_match(encoder, golden):
    audio = torch.from_numpy(golden["starter_signal"])
    np.testing.assert_allclose(encoder.log_mel(audio)[::4], golden["starter_logmel_every4"], atol=1e-4)
    assert encoder.family == "starter-6"  # whose numbers they are
    content = encoder.encode(audio, "v2")[:, ::8]
    np.testing.assert_allclose(content, golden["starter_content_every8"], atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 2e-3), ("fp16", 0.1), ("bf16", 0.5)])
def test_gpu_agrees(encoder, golden, dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    audio = torch.from_numpy(golden["starter_signal"])
    content = StarterEncoder(WEIGHTS, "cuda:0", dtype).encode(audio, "v2")
    torch.testing.assert_close(content.cpu(), encoder.encode(audio, "v2"), atol=tolerance, rtol=0)


@pytest.mark.parametrize("n_samples", [400, 560, 719, 720, 1040, 16000])
def test_frames_are_huberts(encoder, n_samples):
    content = encoder.encode(torch.randn(n_samples, generator=torch.Generator().manual_seed(1)), "v2")
    assert content.shape == ((n_samples - 80) // 320, 768)


def test_silence_is_finite_and_short_audio_refused(encoder):
    assert torch.isfinite(encoder.encode(torch.zeros(48000), "v2")).all()
    with pytest.raises(BadInput, match="399 samples"):
        encoder.encode(torch.zeros(399), "v2")


def test_it_has_no_v1(encoder):
    with pytest.raises(BadInput, match="v2 content only"):
        encoder.encode(torch.zeros(800), "v1")


def test_rotation_depends_on_distance_only():
    x = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(2))
    query, key = x[:, :1].expand(1, 9, 64), x[:, 1:].expand(1, 9, 64)
    angles = rotary_angles(9, 64, torch.device("cpu"))
    scores = rotated(query, angles) @ rotated(key, angles).transpose(1, 2)
    diagonal = scores[0].diagonal(offset=3)
    torch.testing.assert_close(diagonal, diagonal[:1].expand(6), atol=1e-4, rtol=0)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(MissingFile):
        StarterEncoder(tmp_path / "none.safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(BadCheckpoint, match="damaged"):
        StarterEncoder(bad)
    save_file({"x": torch.zeros(1)}, bad, metadata={"name": "other"})
    with pytest.raises(BadCheckpoint, match="'other'"):
        StarterEncoder(bad)
    save_file({"subsample.0.weight": torch.zeros(1)}, bad, metadata={"name": "starter-1"})
    with pytest.raises(BadCheckpoint):
        StarterEncoder(bad)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The shipped network as int8, by another name."""
    path = tmp_path_factory.mktemp("packed") / "encoder.safetensors"
    notes = {**checkpoint.read_metadata(WEIGHTS), "name": "starter-7"}
    plain = not is_packed(notes)
    tensors = checkpoint.read_tensors(WEIGHTS) if plain else checkpoint.read_packed(WEIGHTS, ENCODER)[0]
    for key in ("format", "format_version", "holds"):
        notes.pop(key, None)
    checkpoint.write_packed(path, tensors, ENCODER, **notes)
    return path


def test_int8_weights_make_nearly_the_same_content(encoder, packed, golden):
    assert packed.stat().st_size <= 20e6
    small = StarterEncoder(packed)
    assert small.family == "starter-7" and re.fullmatch(r"starter-7:[0-9a-f]{12}", small.name)
    assert StarterEncoder(packed).name == small.name
    audio = torch.from_numpy(golden["starter_signal"])
    one, two = encoder.encode(audio, "v2"), small.encode(audio, "v2")
    assert (two - one).norm() / one.norm() < 0.03


def test_voices_of_another_run_of_it_are_refused(encoder, packed):
    with pytest.raises(BadInput, match=f"made with the content encoder {encoder.name}, but starter-7:"):
        same_encoder(encoder.name, StarterEncoder(packed))


def test_a_packed_file_that_lacks_scales_is_refused(packed, tmp_path):
    tensors = load_file(packed)
    tensors.pop("blocks.3.ffn_in.weight.scale")
    bad = tmp_path / "bad.safetensors"
    save_file(tensors, bad, metadata=checkpoint.read_metadata(packed))
    with pytest.raises(BadCheckpoint, match="lacks the scales of blocks.3.ffn_in.weight"):
        StarterEncoder(bad)


def test_mel_bands_are_triangles_that_meet():
    basis = mel_basis()
    assert basis.shape == (80, 201) and 0.9 < basis.max() <= 1
    np.testing.assert_allclose(basis[:, 10:190].sum(axis=0), 1, atol=1e-5)
