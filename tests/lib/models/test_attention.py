"""Relative-position attention against its definition, and in blocks."""

import pytest
import torch

from infer.lib.models import attention
from infer.lib.models.attention import MASKED_LOGIT, WINDOW, RelativeAttention, skew, unskew
from tests.lib.models.conftest import peak_error


def by_definition(net: RelativeAttention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One head, one pair of frames at a time."""
    query, key, value = (net._heads(conv(x)) for conv in (net.conv_q, net.conv_k, net.conv_v))
    query = query * net.scale
    batch, heads, frames, _ = query.shape
    logits = query @ key.transpose(2, 3)
    for i in range(frames):
        for j in range(max(0, i - WINDOW), min(frames, i + WINDOW + 1)):
            logits[:, :, i, j] += query[:, :, i] @ net.emb_rel_k[0, j - i + WINDOW]
    logits = logits.masked_fill(mask.unsqueeze(1) == 0, MASKED_LOGIT)
    weights = logits.softmax(-1)
    out = weights @ value
    for i in range(frames):
        for j in range(max(0, i - WINDOW), min(frames, i + WINDOW + 1)):
            out[:, :, i] += weights[:, :, i, j, None] * net.emb_rel_v[0, j - i + WINDOW]
    return net.conv_o(out.transpose(2, 3).reshape(batch, -1, frames))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return RelativeAttention(channels=8, n_heads=2)


@pytest.mark.parametrize("frames", [1, 5, 11, 34])
def test_attention_is_what_its_definition_says(net, frames):
    x, mask = torch.randn(2, 8, frames), torch.ones(2, 1, frames)
    mask[1, :, frames - frames // 3 :] = 0
    with torch.no_grad():
        expected = by_definition(net, x, mask)
    assert peak_error(net(x, mask).detach(), expected) < 1e-5


@pytest.mark.parametrize("limit", [1, 5000, 12000])
def test_blocks_of_queries_give_the_same_as_all_at_once(net, monkeypatch, limit):
    x, mask = torch.randn(1, 8, 97), torch.ones(1, 1, 97)
    mask[:, :, 90:] = 0
    whole = net(x, mask).detach()
    monkeypatch.setattr(attention, "BLOCK_LOGITS", limit)
    with torch.no_grad():
        assert net._block_rows(torch.empty(1, 2, 97, 4)) < 97
        assert peak_error(net(x, mask), whole) < 1e-6


def test_a_long_clip_is_answered_in_bounded_blocks(net):
    with torch.no_grad():
        rows = net._block_rows(torch.empty(1, 2, 6000, 96, device="meta"))
    assert rows * 2 * 6000 <= attention.BLOCK_LOGITS


def test_skew_places_each_row_one_further_and_unskew_takes_it_back():
    band = torch.arange(1.0, 7).reshape(2, 3)
    assert skew(band).tolist() == [[1, 2, 3, 0], [0, 4, 5, 6]]
    assert torch.equal(unskew(skew(band), 3), band)


def test_hidden_frames_change_nothing(net):
    x, mask = torch.randn(1, 8, 20), torch.ones(1, 1, 20)
    mask[:, :, 15:] = 0
    other = x.clone()
    other[:, :, 15:] = 7
    with torch.no_grad():
        assert torch.equal(net(x, mask)[:, :, :15], net(other, mask)[:, :, :15])
