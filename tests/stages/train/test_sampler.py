from pathlib import Path

import numpy as np
import pytest

from infer.stages.train.sampler import BucketSampler, EndlessBatches, bucket_length, bucket_of

GOLDEN = Path(__file__).parents[2] / "data" / "train" / "sampler.npz"
CASES = [(4, 1, 0), (3, 2, 0), (3, 2, 1)]


@pytest.mark.parametrize(("batch_size", "n_replicas", "rank"), CASES)
def test_batches_are_those_of_rvc(batch_size, n_replicas, rank):
    golden = np.load(GOLDEN)
    sampler = BucketSampler(golden["sampler_lengths"].tolist(), batch_size, n_replicas, rank)
    name = f"sampler_bs{batch_size}_n{n_replicas}_r{rank}"
    assert len(sampler) == golden[f"{name}_len"]
    for epoch in (1, 2):
        np.testing.assert_array_equal(sampler.batches(epoch), golden[f"{name}_e{epoch}"])


def test_bucket_borders_belong_to_the_lower_bucket():
    assert [bucket_of(n) for n in (100, 101, 200, 201, 900, 901)] == [None, 0, 0, 1, 7, None]


def test_length_counts_bytes():
    assert bucket_length(97658, 400) == 81


def test_ranks_together_have_the_batches_of_one_process():
    lengths = [101 + 7 * i for i in range(60)]
    alone = BucketSampler(lengths, 6).batches(5)
    ranks = [BucketSampler(lengths, 3, 2, rank).batches(5) for rank in range(2)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert whole[0::2] == shares[0]
        assert whole[1::2] == shares[1]


def test_a_bucket_smaller_than_a_batch_is_repeated():
    batches = BucketSampler([150, 160], 5).batches(1)
    assert len(batches) == 1
    assert len(batches[0]) == 5
    assert set(batches[0]) == {0, 1}


def test_the_stream_goes_on_where_it_was_left():
    sampler = BucketSampler([150] * 10, 2)
    whole = list(EndlessBatches(sampler, 1, 3))
    rest = EndlessBatches(sampler, 2, 3, skip=3)
    assert len(whole) == 15
    assert list(rest) == whole[8:]
    assert len(rest) == 7
