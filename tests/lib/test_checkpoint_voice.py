"""Voice files: what is read from them, what is written, what is refused."""

import dataclasses
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from infer.lib.checkpoint import kind_of, read_voice, set_info, write_voice
from infer.lib.checkpoint_voice import voice_content
from infer.lib.errors import BadCheckpoint
from infer.lib.models.synthesizer import Synthesizer
from tests.lib.tiny_voices import tiny_network, tiny_spec, tiny_voice

UPSTREAM = Path(__file__).parents[1] / "data" / "voices" / "tiny_v2_48k_f0_fused.pth"


@pytest.fixture
def stored(tmp_path):
    """`stored(content)`: the path of a file that holds it."""

    def write(content, name="voice.pth", **options) -> Path:
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize("sample_rate", [32000, 40000, 48000])
@pytest.mark.parametrize("use_f0", [True, False])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_written_is_read_back(tmp_path, version, use_f0, sample_rate):
    voice = tiny_voice(tiny_spec(version, use_f0, sample_rate), info="20epoch")
    write_voice(tmp_path / "voice.pth", voice)
    read = read_voice(tmp_path / "voice.pth")
    # A voice file does not keep the training segment: RVC always writes 32 there.
    assert read.spec == dataclasses.replace(voice.spec, segment_frames=32)
    assert list(read.weights) == list(voice.weights)
    assert all(torch.equal(read.weights[name], tensor) for name, tensor in voice.weights.items())
    assert {tensor.dtype for tensor in read.weights.values()} == {torch.float32}
    assert (read.info, read.encoder, read.fill_unvoiced, read.extra) == ("20epoch", None, False, {})
    Synthesizer(read.spec, posterior=False).load_state_dict(read.weights)


def test_layout_is_rvcs(tmp_path):
    write_voice(tmp_path / "voice.pth", tiny_voice(info="20epoch"))
    content = torch.load(tmp_path / "voice.pth", weights_only=True)
    assert type(content) is OrderedDict
    assert list(content) == ["weight", "config", "info", "sr", "f0", "version"]
    assert type(content["weight"]) is dict
    assert {tensor.dtype for tensor in content["weight"].values()} == {torch.float16}
    assert not any("enc_q" in name for name in content["weight"])
    assert content["config"] == [
        1025, 32, 8, 8, 16, 2, 1, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3,
        [10, 10, 2, 2], 32, [16, 16, 4, 4], 3, 4, 40000,
    ]  # fmt: skip
    assert (content["sr"], content["f0"], content["version"]) == ("40k", 1, "v2")
    assert type(content["f0"]) is int


@pytest.mark.parametrize(
    ("order", "keys"),
    [
        ("training", ["info", "sr", "f0", "version"]),
        ("extraction", ["info", "version", "sr", "f0"]),
        ("merge", ["sr", "f0", "version", "info"]),
    ],
)
def test_our_keys_stand_behind_rvcs(order, keys):
    voice = tiny_voice(encoder="starter-1:0123456789ab", fill_unvoiced=True, extra={"author": "me"})
    assert list(voice_content(voice, order))[2:] == [*keys, "encoder", "fill_unvoiced", "author"]


def test_our_keys_are_read_back(tmp_path):
    voice = tiny_voice(
        encoder="hubert:0123456789ab", fill_unvoiced=True, extra={"author": "나", "licence": "CC0"}
    )
    write_voice(tmp_path / "목소리 'x'.pth", voice)
    read = read_voice(tmp_path / "목소리 'x'.pth")
    assert (read.encoder, read.fill_unvoiced) == ("hubert:0123456789ab", True)
    assert read.extra == {"author": "나", "licence": "CC0"}


@pytest.mark.parametrize(("version", "use_f0"), [("v1", True), ("v2", True), ("v1", False)])
def test_oldest_form_says_neither_version_nor_pitch(stored, version, use_f0):
    content = voice_content(tiny_voice(tiny_spec(version, use_f0)))
    content["config"][-3] = 109  # the table really has three rows
    old = {key: content[key] for key in ("weight", "config", "info", "sr")}
    spec = read_voice(stored(old)).spec
    assert (spec.version, spec.use_f0, spec.n_speakers) == (version, use_f0, 3)


def test_rate_is_the_last_value_of_config(stored):
    content = voice_content(tiny_voice())
    content["sr"] = "48k"
    assert read_voice(stored(content)).spec.sample_rate == 40000


def test_older_container_and_fp32(stored):
    voice = tiny_voice()
    content = voice_content(voice)
    content["weight"] = {f"module.{name}": tensor.float() for name, tensor in content["weight"].items()}
    read = read_voice(stored(content, _use_new_zipfile_serialization=False))
    assert all(torch.equal(read.weights[name], tensor) for name, tensor in voice.weights.items())


def test_posterior_and_unknown_tensors_are_left_out(stored):
    spec = tiny_spec()
    content = voice_content(tiny_voice(spec))
    content["weight"] |= {name: tensor.half() for name, tensor in tiny_network(spec).state_dict().items()}
    content["weight"]["something.else"] = torch.zeros(2)
    assert list(read_voice(stored(content)).weights) == list(tiny_voice(spec).weights)


def test_weight_norm_under_its_newer_names(stored):
    voice = tiny_voice()
    content = voice_content(voice)
    content["weight"] = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for name, tensor in content["weight"].items()
    }
    assert read_voice(stored(content)).weights.keys() == voice.weights.keys()


def test_fused_decoder_of_rvc():
    raw = torch.load(UPSTREAM, weights_only=True)["weight"]
    voice = read_voice(UPSTREAM)
    assert "dec.ups.0" in voice.fused
    network = Synthesizer(voice.spec, posterior=False)
    network.load_state_dict(voice.weights)
    network.fuse_weight_norm()
    fused = network.state_dict()
    for layer in voice.fused:
        torch.testing.assert_close(
            fused[f"{layer}.weight"], raw[f"{layer}.weight"].float(), rtol=1e-6, atol=1e-7
        )


def test_fused_decoder_is_written_as_it_was(tmp_path):
    write_voice(tmp_path / "copy.pth", read_voice(UPSTREAM))
    before, after = (torch.load(path, weights_only=True) for path in (UPSTREAM, tmp_path / "copy.pth"))
    assert list(before["weight"]) == list(after["weight"])
    assert all(torch.equal(after["weight"][name], tensor) for name, tensor in before["weight"].items())
    assert [before[key] for key in before if key != "weight"] == [
        after[key] for key in after if key != "weight"
    ]


def test_applio_voice(stored):
    content = voice_content(tiny_voice())
    del content["info"]
    content |= {
        "sr": 40000, "f0": True, "epoch": "200epoch", "step": 12000, "author": "someone",
        "embedder_model": "contentvec", "vocoder": "HiFi-GAN", "speakers_id": 1,
    }  # fmt: skip
    voice = read_voice(stored(content))
    assert (voice.info, voice.encoder, voice.spec.use_f0) == ("200epoch", None, True)
    assert voice.extra["author"] == "someone"
    assert voice.extra["step"] == 12000


def test_applio_voice_of_another_embedder_says_so(stored):
    content = voice_content(tiny_voice()) | {"embedder_model": "spin-v2"}
    assert read_voice(stored(content)).encoder == "embedder:spin-v2"


def test_another_vocoder_is_refused(stored):
    content = voice_content(tiny_voice()) | {"vocoder": "RefineGAN"}
    with pytest.raises(BadCheckpoint, match="RefineGAN.*HiFi-GAN"):
        read_voice(stored(content))


def _without(name):
    return lambda content: content["weight"].pop(name)


def _with(name, tensor):
    return lambda content: content["weight"].__setitem__(name, tensor)


def _config(place, value):
    return lambda content: content["config"].__setitem__(place, value)


BIAS = "dec.ups.0.bias"  # [16]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_without(BIAS), r"1 tensors are missing \(dec.ups.0.bias\)"),
        (_without("emb_g.weight"), "no text encoder or no speakers"),
        (_with(BIAS, torch.zeros(17).half()), r"dec.ups.0.bias should be \[16\] and is \[17\]"),
        (_with(BIAS, torch.zeros(1).half().expand(10**12)), r"is \[1000000000000\]"),
        (_with(BIAS, torch.zeros(16, dtype=torch.int64)), "no dense float tensor"),
        (_with(BIAS, torch.zeros(16).to_sparse()), "no dense float tensor"),
        (_with(BIAS, torch.zeros(16, device="meta")), "no dense float tensor"),
        (_with(BIAS, "text"), "no dense float tensor"),
        (_with(BIAS, torch.full((16,), float("nan"))), "not numbers"),
        (_with(BIAS, torch.full((16,), float("inf")).half()), "not numbers"),
        (lambda content: content.update(config="40k"), "not a list of 18"),
        (lambda content: content["config"].pop(), "not a list of 18"),
        (_config(6, 10**9), "impossible size"),
        (_config(6, 1000), "1000 layers"),
        (_config(2, "many"), "inter_channels"),
        (_config(12, [10, 10, 2]), "rates and kernels"),
        (_config(17, 44100), "44100"),
        (lambda content: content.update(version="v9"), "v9"),
        (lambda content: content.update(version="v1"), "another shape"),
    ],
)
def test_a_damaged_voice_is_one_sentence(stored, damage, sentence):
    content = voice_content(tiny_voice())
    damage(content)
    path = stored(content)
    with pytest.raises(BadCheckpoint, match=sentence) as caught:
        read_voice(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_fp16_cannot_hold_are_not_written(tmp_path):
    voice = tiny_voice()
    voice.weights[BIAS][3] = 1e6
    with pytest.raises(BadCheckpoint, match=BIAS):
        write_voice(tmp_path / "voice.pth", voice)
    assert list(tmp_path.iterdir()) == []


def test_set_info_changes_nothing_else(tmp_path):
    set_info(UPSTREAM, tmp_path / "new.pth", "새 정보")
    before, after = (torch.load(path, weights_only=True) for path in (UPSTREAM, tmp_path / "new.pth"))
    assert after.pop("info") == "새 정보"
    before.pop("info")
    weights = before.pop("weight"), after.pop("weight")
    assert before == after
    assert all(torch.equal(weights[1][name], tensor) for name, tensor in weights[0].items())


def test_kind_is_told_by_content(stored):
    assert kind_of(stored(voice_content(tiny_voice()), name="G_100.zip")) == "voice"
