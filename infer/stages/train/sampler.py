"""Which clips form which batch: buckets of similar length, shuffled by the epoch number alone.

The order depends on nothing but the clips, the batch size and the epoch, so a resumed run sees the
batches it would have seen. Rank r of n takes every n-th clip of a bucket: batch j of all ranks
together holds the clips of batch j of one process with n times the batch size.
"""

from collections.abc import Iterator, Sequence

import torch

BOUNDARIES = (100, 200, 300, 400, 500, 600, 700, 800, 900)


def bucket_length(n_bytes: int, hop: int) -> int:
    """RVC's measure of a clip's length: wav file size over three hops (4/3 of its frames in float32)."""
    return n_bytes // (3 * hop)


def bucket_of(length: int, boundaries: Sequence[int] = BOUNDARIES) -> int | None:
    """Index i with boundaries[i] < length <= boundaries[i + 1], or None outside all of them."""
    for i in range(len(boundaries) - 1):
        if boundaries[i] < length <= boundaries[i + 1]:
            return i
    return None


class BucketSampler:
    """Batches of clip indices for one rank. `len()` is the number of batches in an epoch."""

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        n_replicas: int = 1,
        rank: int = 0,
        boundaries: Sequence[int] = BOUNDARIES,
    ):
        if not 0 <= rank < n_replicas:
            raise ValueError(f"rank {rank} of {n_replicas}")
        self.batch_size, self.n_replicas, self.rank = batch_size, n_replicas, rank
        buckets: list[list[int]] = [[] for _ in boundaries[1:]]
        for index, length in enumerate(lengths):
            bucket = bucket_of(int(length), boundaries)
            if bucket is not None:
                buckets[bucket].append(index)
        self.buckets = [bucket for bucket in buckets if bucket]

    def __len__(self) -> int:
        whole = self.batch_size * self.n_replicas
        return sum(-(-len(bucket) // whole) for bucket in self.buckets)

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch. Entry k of a batch is clip `rank + k * n_replicas` of the global one."""
        generator = torch.Generator().manual_seed(epoch)
        orders = [torch.randperm(len(bucket), generator=generator).tolist() for bucket in self.buckets]
        batches = [
            [bucket[place] for place in chunk]
            for bucket, order in zip(self.buckets, orders, strict=True)
            for chunk in self._chunks(order)
        ]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def _chunks(self, order: list[int]) -> Iterator[list[int]]:
        """This rank's share of a bucket, repeated until all ranks have whole batches."""
        whole = self.batch_size * self.n_replicas
        total = -(-len(order) // whole) * whole
        filled = (order * (total // len(order) + 1))[:total]
        mine = filled[self.rank :: self.n_replicas]
        for start in range(0, len(mine), self.batch_size):
            yield mine[start : start + self.batch_size]


class EndlessBatches:
    """The batches of epoch `epoch`, `epoch + 1`, ... in one stream, so that loading never pauses.

    The first `skip` batches of the first epoch are left out (they were trained before a stop).
    """

    def __init__(self, sampler: BucketSampler, epoch: int, last_epoch: int, skip: int = 0):
        self.sampler, self.epoch, self.last_epoch, self.skip = sampler, epoch, last_epoch, skip

    def __len__(self) -> int:
        return (self.last_epoch - self.epoch + 1) * len(self.sampler) - self.skip

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in range(self.epoch, self.last_epoch + 1):
            batches = self.sampler.batches(epoch)
            yield from batches[self.skip :] if epoch == self.epoch else batches
