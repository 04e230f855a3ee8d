import json

import numpy as np
import pytest
import torch

from infer.lib.errors import BadInput
from infer.lib.mel import MelSettings, linear_spectrogram
from infer.lib.models.spec import parse_config, standard_config
from infer.stages.train.batch import collate
from infer.stages.train.cache import DeviceCache
from infer.stages.train.data import load_item, scan, stream
from infer.stages.train.draws import DrawKey, make_draws, row_key
from infer.stages.train.sampler import BucketSampler, EndlessBatches
from tests.stages.train.tiny import HOP, tiny_config

CONFIG = standard_config("v2", 40000)
MEL = MelSettings.of(CONFIG.data)
CPU = torch.device("cpu")


@pytest.fixture
def clips(experiment):
    return [scan(item, CONFIG.data) for item in experiment.training_items("v2", True)]


@pytest.fixture
def items(clips):
    return [load_item(clip.item, CONFIG.data) for clip in clips]


def test_an_item_is_cut_to_what_all_parts_have(experiment, clips, items):
    np.save(experiment.f0_hz_file("0_0"), np.full(90, 100.0))
    clip = scan(clips[0].item, CONFIG.data)
    item = load_item(clip.item, CONFIG.data)
    assert item.frames == clip.frames == 90
    assert items[0].frames == clips[0].frames == 100
    assert len(item.content) == len(item.f0_coarse) == len(item.f0_hz) == 90
    assert len(item.audio) == 100 * HOP  # whole: the last spectrum frames look beyond the cut


def test_content_is_doubled_in_time(clips, items):
    stored = np.load(clips[0].item.content)
    assert torch.equal(items[0].content[0:4:2], torch.from_numpy(stored[:2]))
    assert torch.equal(items[0].content[0], items[0].content[1])


def test_a_batch_is_sorted_padded_and_knows_its_order(items):
    batch = collate([items[0], items[3], items[1]])
    assert batch.frames == tuple(sorted((items[i].frames for i in (0, 3, 1)), reverse=True))
    assert batch.slots == (1, 2, 0)
    assert not batch.content[2, items[0].frames :].any()
    assert batch.wave(HOP).shape == (3, 1, batch.frames[0] * HOP)
    assert batch.in_slots(rank=1, n_replicas=2).slots == (3, 5, 1)


@pytest.mark.parametrize("round_to", [1, 64])
def test_a_spectrogram_is_that_of_each_clip_alone(items, round_to):
    batch = collate(items, round_to)
    spectrogram = batch.spectrogram(MEL)
    assert spectrogram.shape[2] % round_to == 0
    for row, item in zip(spectrogram, sorted(items, key=lambda item: -item.frames), strict=True):
        alone = linear_spectrogram(item.audio[None], MEL.n_fft, MEL.hop, MEL.win, MEL.eps)[0]
        torch.testing.assert_close(row[:, : item.frames], alone[:, : item.frames], atol=1e-4, rtol=1e-5)
        assert not row[:, item.frames :].any()


def test_the_cache_gives_the_batches_of_the_loader(clips):
    sampler = BucketSampler([clip.bucket_length for clip in clips], 4)
    batches = EndlessBatches(sampler, 1, 2)
    read = list(stream(clips, CONFIG.data, batches, CPU, workers=0))
    cached = list(DeviceCache(clips, CONFIG.data, CPU).stream(batches))
    assert len(read) == len(cached) == 4
    for one, other in zip(read, cached, strict=True):
        for name in ("audio", "audio_lengths", "content", "lengths", "f0_coarse", "f0_hz", "speaker_ids"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)
        assert (one.frames, one.slots) == (other.frames, other.slots)


def test_worker_processes_give_the_same_batches(clips):
    batches = EndlessBatches(BucketSampler([clip.bucket_length for clip in clips], 3), 1, 1)
    here = list(stream(clips, CONFIG.data, batches, CPU, workers=0))
    there = list(stream(clips, CONFIG.data, batches, CPU, workers=2))
    assert all(torch.equal(one.audio, two.audio) for one, two in zip(here, there, strict=True))


def test_a_clip_with_nan_is_named(clips):
    np.save(clips[0].item.content, np.full((50, 768), np.nan, np.float32))
    batches = EndlessBatches(BucketSampler([clip.bucket_length for clip in clips], 6), 1, 1)
    with pytest.raises(BadInput, match="0_0.npy holds values that are not numbers"):
        list(stream(clips, CONFIG.data, batches, CPU, workers=0))


def test_a_clip_at_another_rate_is_refused(clips):
    with pytest.raises(BadInput, match="40000 Hz, but the experiment trains at 48000 Hz"):
        scan(clips[0].item, standard_config("v2", 48000).data)


def test_draws_of_a_row_do_not_depend_on_its_neighbours(items):
    spec = parse_config(json.dumps(tiny_config()), "tiny").spec("v2", True)
    key = DrawKey(seed=1, epoch=3, batch=7)
    together = collate([items[0], items[3]])
    draws = make_draws(together, key, spec)
    for slot, item in enumerate((items[0], items[3])):
        alone = make_draws(collate([item]).in_slots(slot, 2), key, spec)
        row = together.slots.index(slot)
        assert torch.equal(draws.posterior[row, :, : item.frames], alone.posterior[0])
        assert torch.equal(draws.source[row], alone.source[0])
        assert draws.starts[row] == alone.starts[0]
        assert 0 <= alone.starts[0] <= item.frames - spec.segment_frames


def test_every_part_of_the_key_matters():
    keys = [(1, 1, 0, 0), (2, 1, 0, 0), (1, 2, 0, 0), (1, 1, 1, 0), (1, 1, 0, 1)]
    drawn = {row_key(DrawKey(*key[:3]), key[3]) for key in keys}
    assert len(drawn) == len(keys)
    assert all(0 <= uniform < 1 for _, uniform in drawn)
