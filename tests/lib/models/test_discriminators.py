"""The discriminators: names, shapes, independence of clips."""

import pytest
import torch

from infer.lib.models.discriminators import MultiPeriodDiscriminator, PeriodDiscriminator, ScaleDiscriminator
from infer.lib.models.spec import PERIODS, VERSIONS
from tests.golden.synthetic_weights import load_spec


@pytest.mark.parametrize("version", VERSIONS)
def test_names_shapes_and_order_are_those_of_published_weights(version):
    with torch.device("meta"):
        net = MultiPeriodDiscriminator(version)
    found = [(key, tuple(tensor.shape)) for key, tensor in net.state_dict().items()]
    assert found == [(key, shape) for key, (shape, _) in load_spec(f"D.{version}").items()]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_discriminator_gives_a_score_and_its_feature_maps(version):
    with torch.device("meta"):
        scores, maps = MultiPeriodDiscriminator(version)(torch.empty(2, 1, 12800))
    assert len(scores) == len(maps) == 1 + len(PERIODS[version])
    assert [len(of_one) for of_one in maps] == [7] + [6] * len(PERIODS[version])
    assert scores[0].shape == (2, 50)
    for period, score, of_one in zip(PERIODS[version], scores[1:], maps[1:], strict=True):
        rows = -(-12800 // period)
        for _ in range(4):
            rows = -(-rows // 3)
        assert score.shape == (2, rows * period)
        assert of_one[-1].flatten(1).shape == score.shape


def test_the_end_is_mirrored_up_to_a_whole_period():
    net = PeriodDiscriminator(3)
    audio = torch.randn(1, 1, 301)
    mirrored = torch.cat((audio, audio[:, :, [-2]], audio[:, :, [-3]]), dim=2)
    with torch.no_grad():
        assert torch.allclose(net(audio)[0], net(mirrored)[0], atol=1e-7)


@pytest.mark.parametrize("net", [ScaleDiscriminator, lambda: PeriodDiscriminator(5)])
def test_clips_of_one_batch_do_not_see_each_other_and_gradients_flow(net):
    torch.manual_seed(0)
    net = net()
    audio = torch.randn(2, 1, 1000, requires_grad=True)
    score, maps = net(audio)
    alone, _ = net(audio[1:])
    assert torch.allclose(score[1:], alone, atol=1e-6)
    (score[1].sum() + sum(part[1].abs().mean() for part in maps)).backward()
    assert audio.grad[0].abs().max() == 0
    assert audio.grad[1].abs().max() > 0
    assert all(p.grad is not None for p in net.parameters())
