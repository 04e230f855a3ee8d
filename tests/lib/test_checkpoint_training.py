"""Training checkpoints: both parameter orders, resuming, bases, the voice inside."""

import dataclasses

import numpy as np
import pytest
import torch

from infer.lib.checkpoint import (
    TrainingCheckpoint,
    load_base,
    load_matching,
    map_optimizer,
    named_shapes,
    read_training,
    spec_from_tensors,
    voice_from_training,
    write_training,
)
from infer.lib.checkpoint_training import PART_ORDERS
from infer.lib.errors import BadCheckpoint, BadInput
from infer.lib.models.spec import SAMPLE_RATES, read_config, standard_config
from infer.lib.models.synthesizer import Synthesizer
from tests.lib.tiny_voices import first_moment, tiny_checkpoint, tiny_network, tiny_spec, trained


def order_of_23(network) -> list[str]:
    """The parameters as RVC 2.3 numbers those of a v2 generator."""
    names = list(named_shapes(network))
    return [name for part in PART_ORDERS[1] for name in names if name.startswith(f"{part}.")]


def test_round_trip(tmp_path):
    written = tiny_checkpoint(
        epoch=12, spec=dataclasses.asdict(tiny_spec()), encoder="starter-1:0123456789ab",
        random=torch.get_rng_state(), scaler={"scale": np.float64(2.0)},
    )  # fmt: skip
    write_training(tmp_path / "G_1.pth", written)
    read = read_training(tmp_path / "G_1.pth")
    assert (read.iteration, read.learning_rate) == (12, 1e-4)
    assert all(torch.equal(read.model[name], tensor) for name, tensor in written.model.items())
    assert type(tiny_spec())(**read.extra["spec"]) == tiny_spec()
    assert read.extra["encoder"] == "starter-1:0123456789ab"
    assert torch.equal(read.extra["random"], written.extra["random"])
    assert read.extra["scaler"] == {"scale": 2.0}


def test_layout_is_rvcs(tmp_path):
    write_training(tmp_path / "G_1.pth", tiny_checkpoint(step=5))
    content = torch.load(tmp_path / "G_1.pth", weights_only=True)
    assert list(content) == ["model", "iteration", "optimizer", "learning_rate", "step"]
    assert any(name.startswith("enc_q.") for name in content["model"])
    assert set(content["optimizer"]) == {"state", "param_groups"}


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    model = {"enc_p.x": torch.zeros(1000, 1000)[0]}
    write_training(tmp_path / "G_1.pth", TrainingCheckpoint(model, 1))
    assert (tmp_path / "G_1.pth").stat().st_size < 20_000


def test_a_broken_network_never_replaces_a_good_file(tmp_path):
    good = tiny_checkpoint()
    write_training(tmp_path / "G_1.pth", good)
    good.model["emb_g.weight"][0, 0] = float("nan")
    with pytest.raises(BadCheckpoint, match="emb_g.weight is no longer finite"):
        write_training(tmp_path / "G_1.pth", good)
    assert read_training(tmp_path / "G_1.pth").iteration == 7


def test_an_extra_that_could_not_be_read_back_is_a_bug(tmp_path):
    with pytest.raises(TypeError, match="options"):
        write_training(tmp_path / "G_1.pth", tiny_checkpoint(options=object()))
    with pytest.raises(TypeError, match="model"):
        write_training(tmp_path / "G_1.pth", dataclasses.replace(tiny_checkpoint(), extra={"model": 1}))


@pytest.mark.parametrize("writer", ["2.2", "2.3"])
def test_optimizer_of_either_version(writer):
    network = tiny_network(tiny_spec("v2"))
    order = order_of_23(network) if writer == "2.3" else None
    state = trained(network, order).state_dict()
    mapped, fresh = map_optimizer(state, named_shapes(network))
    assert fresh == []
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    optimizer.load_state_dict(mapped)
    for name, parameter in network.named_parameters():
        assert optimizer.state[parameter]["exp_avg"].flatten()[0].item() == pytest.approx(
            first_moment(network, name)
        )
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    optimizer.step()


def test_optimizer_of_a_discriminator():
    network = torch.nn.ModuleDict(
        {"discriminators": torch.nn.ModuleList([torch.nn.Linear(2, 3) for _ in range(3)])}
    )
    mapped, fresh = map_optimizer(trained(network).state_dict(), named_shapes(network))
    assert fresh == []
    assert mapped["state"][1]["exp_avg"].tolist() == pytest.approx(
        [first_moment(network, "discriminators.0.bias")] * 3
    )


def test_optimizer_entry_of_another_shape_starts_fresh():
    network = tiny_network(tiny_spec(n_speakers=3))
    state = trained(network, order_of_23(network)).state_dict()
    mapped, fresh = map_optimizer(state, named_shapes(tiny_network(tiny_spec(n_speakers=9))))
    assert fresh == ["emb_g.weight"]
    assert len(mapped["state"]) == len(named_shapes(network)) - 1


def test_optimizer_of_another_network_is_refused():
    other = torch.nn.Sequential(*(torch.nn.Linear(2, 3) for _ in range(4)))
    with pytest.raises(BadCheckpoint, match="another network"):
        map_optimizer(trained(other).state_dict(), named_shapes(tiny_network(tiny_spec())))


def test_no_optimizer_means_all_fresh():
    assert map_optimizer({}, {"a": (1,)}) == ({}, ["a"])


def test_what_does_not_fit_keeps_its_fresh_value():
    network, other = tiny_network(tiny_spec(n_speakers=3)), tiny_network(tiny_spec(n_speakers=5), seed=1)
    before = network.emb_g.weight.clone()
    state = {f"module.{name}": tensor for name, tensor in other.state_dict().items()}
    del state["module.dec.cond.bias"]
    assert sorted(load_matching(network, state)) == ["dec.cond.bias", "emb_g.weight"]
    assert torch.equal(network.emb_g.weight, before)
    assert torch.equal(network.dec.cond.weight, other.dec.cond.weight)


def test_base_is_loaded_strictly(tmp_path):
    base, network = tiny_network(tiny_spec(), seed=1), tiny_network(tiny_spec(), seed=2)
    write_training(tmp_path / "f0G40k.pth", TrainingCheckpoint(base.state_dict(), 1))
    load_base(tmp_path / "f0G40k.pth", network)
    assert all(torch.equal(tensor, base.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (tiny_spec("v1"), "768-wide content features, the network for 256"),
        (tiny_spec(use_f0=False), "with pitch guidance, the network without"),
        (tiny_spec(n_speakers=9), "3 speakers, the network 9.*109"),
        (tiny_spec(sample_rate=48000), r"\(16, 16, 4, 4\), the network \(24, 20, 4, 4\)"),
        (
            dataclasses.replace(tiny_spec(), filter_channels=20),
            r"is \[16, 8, 3\], the network needs \[20, 8, 3\]",
        ),
    ],
)
def test_a_base_that_does_not_fit_says_why(tmp_path, spec, reason):
    write_training(tmp_path / "base.pth", TrainingCheckpoint(tiny_network(tiny_spec()).state_dict(), 1))
    network = tiny_network(spec)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(BadCheckpoint, match=reason):
        load_base(tmp_path / "base.pth", network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_discriminator_base_of_the_other_version_says_so(tmp_path):
    def network(count):
        return torch.nn.ModuleDict({"discriminators": torch.nn.ModuleList([torch.nn.Linear(1, 1)] * count)})

    write_training(tmp_path / "D.pth", TrainingCheckpoint(network(7).state_dict(), 1))
    with pytest.raises(BadCheckpoint, match="discriminators 7, the network 9"):
        load_base(tmp_path / "D.pth", network(9))


def test_non_finite_checkpoint_is_refused(tmp_path):
    torch.save({"model": {"enc_p.x": torch.tensor([float("nan")])}, "iteration": 1}, tmp_path / "G_1.pth")
    with pytest.raises(BadCheckpoint, match="enc_p.x that are not numbers"):
        read_training(tmp_path / "G_1.pth")


@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
@pytest.mark.parametrize("use_f0", [True, False])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_tensors_tell_the_network(version, use_f0, sample_rate):
    spec = tiny_spec(version, use_f0, sample_rate)
    with torch.device("meta"):
        tensors = Synthesizer(spec).state_dict()
    # Only the training segment leaves no trace in the shapes.
    assert dataclasses.replace(spec_from_tensors(tensors), segment_frames=spec.segment_frames) == spec


def test_unusual_upsampling_needs_its_config(tmp_path):
    config = standard_config("v2", 40000)
    config.model.update(upsample_rates=[8, 10, 5], upsample_kernel_sizes=[16, 20, 11])
    spec = dataclasses.replace(
        tiny_spec(), upsample_rates=(8, 10, 5), upsample_kernel_sizes=(16, 20, 11), segment_frames=32
    )
    tensors = Synthesizer(spec).state_dict()
    with pytest.raises(BadInput, match=r"\[16, 20, 11\]"):
        spec_from_tensors(tensors)
    (tmp_path / "config.json").write_text(config.to_json(), encoding="utf-8")
    assert spec_from_tensors(tensors, read_config(tmp_path / "config.json")) == spec


def test_the_voice_inside():
    checkpoint = tiny_checkpoint()
    voice = voice_from_training(
        checkpoint, tiny_spec(), "7epoch", "starter-1:0123456789ab", fill_unvoiced=True
    )
    assert (voice.info, voice.encoder, voice.fill_unvoiced) == ("7epoch", "starter-1:0123456789ab", True)
    assert list(voice.weights) == [name for name in checkpoint.model if not name.startswith("enc_q.")]
    with pytest.raises(BadCheckpoint, match="does not hold the network"):
        voice_from_training(checkpoint, tiny_spec("v1"))
