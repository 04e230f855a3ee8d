"""int8 storage: what comes back, and what is refused in one sentence."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from infer.lib import checkpoint
from infer.lib.checkpoint_packed import packed, rounding_error, unpacked
from infer.lib.errors import BadCheckpoint, MissingFile
from infer.lib.models.synthesizer import Synthesizer
from infer.lib.packed_layout import ENCODER, GENERATOR, VOICE_KEY, packed_notes
from infer.lib.voice_header import read_header
from tests.lib.tiny_voices import tiny_network, tiny_spec

SPEC = tiny_spec()


def notes(**changes) -> str:
    told = {"config": SPEC.voice_config(), "version": "v2", "sr": "40k", "f0": 1, "info": "9epoch"}
    return json.dumps(
        {**told, "encoder": "starter-2:0123456789ab", "speaker_names": ["Ann", "", "Bo"], **changes}
    )


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    checkpoint.write_packed(path, tiny_network(SPEC).state_dict(), GENERATOR, **{VOICE_KEY: notes()})
    return path


def spoiled(path, name, tensor):
    """The file with one tensor replaced, or (None) taken away."""
    tensors = load_file(path)
    tensors.pop(name)
    save_file({**tensors, **({} if tensor is None else {name: tensor})}, path, metadata=_metadata(path))
    return path


def _metadata(path):
    return checkpoint.read_metadata(path)


def test_matrices_are_rounded_by_slice_and_small_things_are_kept():
    torch.manual_seed(0)
    tensors = {
        "matrix": torch.randn(6, 40) * torch.logspace(-3, 3, 6)[:, None],
        "conv": torch.randn(4, 3, 5),
        "zero": torch.zeros(3, 8),
        "bias": torch.randn(7),
        "weight_g": torch.rand(5, 1, 1),
        "one": torch.randn(1, 9, 4),
    }
    stored = packed(tensors)
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.int8} == {
        "matrix",
        "conv",
        "zero",
    }
    assert stored["matrix.scale"].shape == (6,) and stored["conv.scale"].dtype == torch.float16
    back = unpacked(stored, "a file")
    assert {name: tensor.shape for name, tensor in back.items()} == {n: t.shape for n, t in tensors.items()}
    assert all(tensor.dtype == torch.float32 for tensor in back.values())
    errors = rounding_error(tensors, back)
    assert max(errors.values()) < 0.01 and errors["zero"] == 0
    assert packed(back)["matrix"].equal(stored["matrix"])  # packing twice changes nothing


@pytest.mark.parametrize("tensor", [torch.tensor([1e6]), torch.tensor([[float("nan")] * 4] * 2)])
def test_what_cannot_be_stored_is_refused(tensor):
    with pytest.raises(ValueError, match="x "):
        packed({"x": tensor})


def test_a_generator_comes_back_whole_and_as_a_voice(base):
    network = Synthesizer(SPEC)
    checkpoint.load_base(base, network)
    told = tiny_network(SPEC).state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(
            tensor, told[name], atol=0.01 * float(told[name].abs().max()) + 1e-7, rtol=0
        )
    voice = checkpoint.read_voice(base)
    assert voice.spec == SPEC.__class__(**{**vars(SPEC), "segment_frames": voice.spec.segment_frames})
    assert (voice.info, voice.encoder, voice.extra["speaker_names"]) == (
        "9epoch", "starter-2:0123456789ab", ["Ann", "", "Bo"],
    )  # fmt: skip
    assert not any(name.startswith("enc_q.") for name in voice.weights)
    assert checkpoint.kind_of(base) == "base"


def test_its_header_is_that_of_the_voice_it_holds(base):
    header = read_header(base)
    assert (header.kind, header.version, header.sample_rate, header.use_f0) == ("voice", "v2", 40000, True)
    assert (header.n_speakers, header.speaker_names, header.info) == (3, ("Ann", "", "Bo"), "9epoch")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("emb_g.weight.scale", None, "lacks the scales of emb_g.weight"),
        ("emb_g.weight.scale", torch.ones(4).half(), "lacks the scales"),
        ("emb_g.weight.scale", torch.tensor([1, float("inf"), 1]).half(), "no positive numbers"),
        ("emb_g.weight.scale", torch.zeros(3).half(), "no positive numbers"),
        ("emb_g.weight", None, "emb_g.weight.scale without its tensor"),
        ("emb_g.weight", torch.ones(3, 4), "torch.float32"),
        ("enc_p.proj.bias", torch.full((16,), float("nan")).half(), "no numbers"),
    ],
)
def test_a_damaged_file_is_one_sentence(base, name, tensor, words):
    with pytest.raises(BadCheckpoint, match=words):
        checkpoint.read_packed(spoiled(base, name, tensor), GENERATOR)


def test_other_files_are_told_by_what_they_hold(base, tmp_path):
    with pytest.raises(BadCheckpoint, match="no packed file that holds encoder"):
        checkpoint.read_packed(base, ENCODER)
    with pytest.raises(MissingFile):
        checkpoint.read_packed(tmp_path / "none.safetensors", ENCODER)
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(BadCheckpoint, match="text file"):
        checkpoint.read_packed(tmp_path / "text.safetensors", ENCODER)
    newer = {**packed_notes(ENCODER), "format_version": "2"}
    save_file({"x": torch.zeros(1).half()}, tmp_path / "new.safetensors", metadata=newer)
    with pytest.raises(BadCheckpoint, match="version 2 of its format"):
        checkpoint.read_packed(tmp_path / "new.safetensors", ENCODER)


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}"])
def test_a_base_that_does_not_say_what_it_is(tmp_path, text):
    path = tmp_path / "base.safetensors"
    checkpoint.write_packed(path, tiny_network(SPEC).state_dict(), GENERATOR, **{VOICE_KEY: text})
    for read in (checkpoint.read_voice, read_header):
        with pytest.raises(BadCheckpoint, match="does not say what voice"):
            read(path)


def test_a_base_without_a_tensor_of_its_voice_is_refused(base):
    with pytest.raises(BadCheckpoint, match="dec.conv_post.weight"):
        checkpoint.read_voice(spoiled(base, "dec.conv_post.weight", None))
    with pytest.raises(BadCheckpoint, match="does not fit the network"):
        checkpoint.load_base(base, Synthesizer(SPEC))
