"""train_step_*: one optimisation step. loader_*: items, batches and the bucket sampler."""

import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from infer.lib.mel import MelSettings
from infer.lib.models.discriminators import MultiPeriodDiscriminator
from infer.lib.models.spec import standard_config
from infer.lib.models.synthesizer import Draws, Synthesizer
from infer.stages.train import losses as formulas
from infer.stages.train.batch import Batch, Item, collate
from infer.stages.train.data import cut_item
from infer.stages.train.precision import Precision
from infer.stages.train.sampler import BucketSampler, bucket_length
from infer.stages.train.step import Networks, Optimizers, StepSettings, forward, train_step
from tests.golden import fixtures
from tests.golden.core import DIM, Case, Result
from tests.golden.kinds.synthesis import tensor

CPU = torch.device("cpu")
SHOWN = 64  # values of each gradient and parameter
SAMPLER = re.compile(r"sampler_bs(\d+)_n(\d+)_r(\d+)_(?:e(\d+)|len)")
BYTES_PER_SAMPLE, WAV_HEADER_BYTES = 4, 58


class NeverFrozen(MultiPeriodDiscriminator):
    """The golden gradients of the discriminator were read after the generator's backward pass, which
    upstream lets add to them. Ours freezes the discriminator meanwhile; here it must not."""

    def requires_grad_(self, requires_grad: bool = True) -> "NeverFrozen":
        return self


def check_train_step(case: Case) -> Iterator[Result]:
    config = standard_config(case.version, case.sample_rate)
    spec = config.spec(case.version, case.use_f0)
    settings = StepSettings(
        mel=MelSettings.of(config.data, case.flavour),
        segment_frames=spec.segment_frames,
        precision=Precision("fp32", CPU),
    )
    nets = Networks(Synthesizer(spec), NeverFrozen(case.version))
    nets.generator.load_state_dict(case.folder.weights(case.model("G")))
    nets.discriminator.load_state_dict(case.folder.weights(f"D.{case.version}"))
    batch, draws = _batch(case, spec.hop), _draws(case, spec)
    yield from _before_the_step(case, nets, batch, draws, settings)
    result = train_step(nets, _optimizers(nets), batch, draws, settings, measure_norms=True)
    yield from _losses(case, result.losses)
    yield from _parameters(case, "g", nets.generator)
    yield from _parameters(case, "d", nets.discriminator)


def _batch(case: Case, hop: int) -> Batch:
    arrays = case.inputs
    lengths = tensor(arrays["phone_lengths"]).long()
    return Batch(
        audio=tensor(arrays["wave"])[:, 0].float(),
        audio_lengths=lengths * hop,
        content=tensor(arrays["phone"]),
        lengths=lengths,
        f0_coarse=tensor(arrays["pitch"]).long() if case.use_f0 else None,
        f0_hz=tensor(arrays["pitchf"]).float() if case.use_f0 else None,
        speaker_ids=tensor(arrays["sid"]).long(),
        frames=tuple(lengths.tolist()),
        slots=tuple(range(len(lengths))),
    )


def _draws(case: Case, spec) -> Draws:
    batch, frames = case.inputs["phone"].shape[:2]
    return Draws(
        posterior=torch.zeros(batch, spec.inter_channels, frames),
        starts=tensor(case.inputs["ids_slice"]).long(),
        source=torch.zeros(batch, spec.segment_frames * spec.hop, 1),
    )


def _optimizers(nets: Networks) -> Optimizers:
    def adamw(net: nn.Module) -> torch.optim.AdamW:
        return torch.optim.AdamW(net.parameters(), 1e-4, betas=(0.8, 0.99), eps=1e-9)

    return Optimizers(adamw(nets.generator), adamw(nets.discriminator))


@torch.no_grad()
def _before_the_step(
    case: Case, nets, batch: Batch, draws: Draws, settings: StepSettings
) -> Iterator[Result]:
    output, windows = forward(nets, batch, draws, settings)
    arrays = case.arrays
    if "spec_sum" in arrays:
        sums = batch.spectrogram(settings.mel).sum(1)
        yield case.of_peak("spec_sum", sums.reshape(arrays["spec_sum"].shape), arrays["spec_sum"])
    ours = {
        **{name: getattr(output, name) for name in ("m_p", "logs_p", "m_q", "logs_q", "z_p")},
        "y_hat": windows.made,
        "wave_slice": windows.true,
        "y_mel": windows.true_mel,
        "y_hat_mel": windows.made_mel,
    }
    for name, value in ours.items():
        if name in arrays:
            yield case.of_peak(name, value.reshape(arrays[name].shape), arrays[name])
    real, fake = (nets.discriminator(wave) for wave in (windows.true, windows.made))
    for kind, (scores, _) in (("real", real), ("fake", fake)):
        for number, score in enumerate(scores):
            golden = arrays.get(f"disc_{kind}_{number}")
            if golden is not None:
                yield case.of_peak(f"disc_{kind}_{number}", score.reshape(golden.shape), golden)
    gen, fm = formulas.generator_parts(fake[0]).sum(), formulas.feature_loss(real[1], fake[1])
    for name, loss in (("fwd_loss_gen", gen), ("fwd_loss_fm", fm)):
        if name in arrays:
            yield case.relative(name, loss, arrays[name], 1e-3)
    if "fmap_stats" in arrays:
        stats = _map_stats((real[1], fake[1]), arrays["fmap_stats"].shape)
        for column, what in enumerate(("mean", "std", "sum", "count")):
            name = f"fmap_stats {what}"
            yield case.of_peak(name, stats[..., column], arrays["fmap_stats"][..., column])


def _map_stats(maps: tuple, shape: tuple) -> np.ndarray:
    """[real/fake, discriminator, map, (mean, deviation, sum of magnitudes, count)]"""
    stats = np.zeros(shape)
    for a, kind in enumerate(maps):
        for b, discriminator in enumerate(kind):
            for c, values in enumerate(discriminator):
                values = values.double()
                stats[a, b, c] = (values.mean(), values.std(), values.abs().sum(), values.numel())
    return stats


def _losses(case: Case, losses) -> Iterator[Result]:
    arrays = case.arrays
    ours = {
        "loss_disc": losses.disc,
        "losses_disc_r": losses.disc_real_parts,
        "losses_disc_g": losses.disc_fake_parts,
        "grad_norm_d": losses.norms["d"],
        "loss_gen": losses.gen,
        "losses_gen": losses.gen_parts,
        "loss_fm": losses.fm,
        "loss_mel": losses.mel,
        "loss_kl": losses.kl,
        "loss_gen_all": losses.total,
        "grad_norm_g": losses.norms["g"],
    }
    for name, value in ours.items():
        if name in arrays:
            golden = arrays[name]
            yield case.relative(name, value.detach().reshape(golden.shape), golden, 1e-3)


def _parameters(case: Case, letter: str, net: nn.Module) -> Iterator[Result]:
    parameters = dict(net.named_parameters())
    for key, golden in case.arrays.items():
        if not key.startswith(f"grad_{letter}/"):
            continue
        name = key.partition("/")[2]
        gradient = parameters[name].grad.flatten()[:SHOWN]
        yield case.of_peak(key, gradient, golden, 5e-3)
        after = case.arrays.get(f"after_{letter}/{name}")
        if after is not None:
            clear = np.abs(golden) > 1e-2 * np.abs(golden).max()
            ours = parameters[name].detach().flatten()[:SHOWN].numpy()
            yield case.absolute(f"after_{letter}/{name}", ours[clear], after[clear], 1e-5)


def check_loader(case: Case) -> Iterator[Result]:
    if "items" in case.inputs:
        yield from _items_and_batch(case)
    yield from _sampler(case)


def _items_and_batch(case: Case) -> Iterator[Result]:
    """The items carry the name of their case, with or without what stands before the kind: both are tried."""
    whole = re.sub(r"_2[23]$", "", case.name)
    tags = dict.fromkeys((whole.removeprefix(case.prefix), whole))
    attempts = [list(_batch_of(case, tag)) for tag in tags]
    yield from min(attempts, key=lambda results: sum(not result.passed for result in results))


def _batch_of(case: Case, tag: str) -> Iterator[Result]:
    config = standard_config(case.version, case.sample_rate)
    hop = config.data.hop_length
    items, lengths = [], []
    for number, (wav, content, *pitch) in enumerate(case.inputs["items"].tolist()):
        item = _item(case, f"{tag}.loader", number, (wav * hop, content, *(pitch or [2 * content])))
        lengths.append(bucket_length(wav * hop * BYTES_PER_SAMPLE + WAV_HEADER_BYTES, hop))
        items.append(cut_item(item, hop))
    if "lengths" in case.inputs:
        yield case.equal("lengths", np.array(lengths), case.inputs["lengths"])
    batch = collate(items)
    arrays = {
        "phone": batch.content,
        "phone_lengths": batch.lengths,
        "pitch": batch.f0_coarse,
        "pitchf": batch.f0_hz,
        "spec": batch.spectrogram(MelSettings.of(config.data, case.flavour)),
        "spec_lengths": batch.lengths,
        "wave": batch.wave(hop),
        "wave_lengths": batch.lengths * hop,
        "sid": batch.speaker_ids,
    }
    for name, ours in arrays.items():
        yield from _batch_part(case, name, ours)


def _item(case: Case, tag: str, number: int, sizes: tuple[int, int, int]) -> Item:
    """The item as the golden data made it: signal, features and pitch from their names."""
    samples, content_frames, pitch_frames = sizes
    wave = fixtures.voice(case.sample_rate, samples / case.sample_rate, f"{tag}{number}")
    content = tensor(fixtures.phones(f"{tag}phone{number}", content_frames, DIM[case.version])[0])
    hz = fixtures.f0_curve(f"{tag}f0{number}", pitch_frames)
    coarse = np.clip(np.round(hz / 5), 1, 255).astype(np.int64)
    return Item(
        audio=tensor(wave.astype(np.float32) / 32768),
        content=content.repeat_interleave(2, dim=0),
        f0_coarse=tensor(coarse) if case.use_f0 else None,
        f0_hz=tensor(hz) if case.use_f0 else None,
        speaker_id=number % 2,
    )


def _batch_part(case: Case, name: str, ours: torch.Tensor | None) -> Iterator[Result]:
    shape, whole, sums = (case.arrays.get(f"batch_{kind}{name}") for kind in ("shape_", "", "sum_"))
    if ours is None:
        return
    if shape is not None:
        yield case.equal(f"batch shape of {name}", np.array(ours.shape), shape)
    if whole is not None:
        yield case.of_peak(f"batch {name}", ours, whole, 1e-6)
    if sums is not None:
        yield case.of_peak(f"batch sums of {name}", ours.double().flatten(1).sum(1), sums)


def _sampler(case: Case) -> Iterator[Result]:
    for name, golden in case.arrays.items():
        if not (match := SAMPLER.fullmatch(name)):
            continue
        batch_size, n_replicas, rank = (int(match[i]) for i in (1, 2, 3))
        sampler = BucketSampler(case.inputs["sampler_lengths"].tolist(), batch_size, n_replicas, rank)
        if match[4] is None:
            # Upstream's length counts samples per rank over the batch size: batches.
            yield case.equal(name, len(sampler), int(golden))
        else:
            yield case.equal(name, np.array(sampler.batches(int(match[4]))), golden)


CHECKS = {"train_step_": check_train_step, "loader_": check_loader}
