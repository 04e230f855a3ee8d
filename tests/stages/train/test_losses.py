import torch

from infer.stages.train.losses import (
    KlStats,
    discriminator_parts,
    feature_loss,
    generator_parts,
    kl_loss,
    mel_loss,
)


def test_adversarial_losses_are_least_squares():
    real, fake = [torch.tensor([[1.0, 0.5]])], [torch.tensor([[0.5, -1.0]])]
    real_parts, fake_parts = discriminator_parts(real, fake)
    assert real_parts.tolist() == [0.125]
    assert fake_parts.tolist() == [0.625]
    assert generator_parts(fake).tolist() == [(0.25 + 4.0) / 2]


def test_feature_loss_doubles_the_sum_and_spares_the_truth():
    real = [[torch.ones(2, 3, requires_grad=True)], [torch.zeros(4)]]
    fake = [[torch.zeros(2, 3, requires_grad=True)], [torch.full((4,), 0.5)]]
    loss = feature_loss(real, fake)
    loss.backward()
    assert loss.item() == 2 * (1.0 + 0.5)
    assert real[0][0].grad is None
    assert fake[0][0].grad is not None


def test_mel_loss_is_weighted_l1():
    assert mel_loss(torch.zeros(1, 2, 2), torch.full((1, 2, 2), -0.5), 45.0).item() == 22.5


def _stats(mask: torch.Tensor) -> KlStats:
    ones = torch.ones(1, 3, mask.shape[2])
    return KlStats(z_p=ones, m_p=0 * ones, logs_p=0 * ones, logs_q=-2 * ones, mask=mask)


def test_kl_sums_channels_and_divides_by_frames():
    # one value: 0 + 2 - 0.5 + 0.5 * 1 = 2, three channels
    assert kl_loss(_stats(torch.tensor([[[1.0, 1.0, 0.0]]]))).item() == 6.0


def test_kl_of_two_processes_averages_to_that_of_one():
    masks = torch.tensor([[[1.0, 1.0, 1.0]]]), torch.tensor([[[1.0, 0.0, 0.0]]])
    frames = sum(mask.sum() for mask in masks) / 2
    shares = [kl_loss(_stats(mask), frames).item() for mask in masks]
    assert sum(shares) / 2 == 6.0


def test_half_precision_inputs_are_widened():
    loss = feature_loss([[torch.zeros(3, dtype=torch.bfloat16)]], [[torch.ones(3, dtype=torch.bfloat16)]])
    assert loss.dtype == torch.float32
