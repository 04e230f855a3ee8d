"""Trains the content encoder on one GPU.

    python -m tools.starter.train_encoder --corpus=. --output=encoder --seconds=1000

First CTC (Graves et al. 2006), then also the phone of each frame as the running mean aligned it and the
mean's own content for the undisturbed clip, so that disturbances and speed, which change the speaker, leave
the content alone. `--seconds` is the time of the whole training; a state is written at each change of part,
and a run with `--resume` begins with the next part. `--begin-from` takes up an earlier encoder file.
"""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch.nn import functional

from infer.jobs.command import option
from infer.jobs.events import Log, Report
from infer.jobs.stage import stage_main
from tools.starter import learner, targets
from tools.starter.augment import LogMel, disturbed, masked, normalised, warped
from tools.starter.heard import phone_error_rate, speaker_probe
from tools.starter.learner import Learner, Mean
from tools.starter.pool import Batch, Pool

WARM_UP = 300  # steps
BETAS, DECAY = (0.9, 0.98), 0.05
LOG_EVERY = 50


@dataclass(frozen=True)
class EncoderOptions:
    """Train the content encoder from the collected material."""

    corpus: Path = option(help="folder with items.json, heldout.json and the audio")
    output: Path = option(help="folder for the encoder and the states between the parts")
    seconds: float = option(1000.0, help="of training, all parts together")
    batch_s: float = option(640.0, help="seconds of audio in a batch")
    rate: float = option(1.2e-3, help="highest learning rate")
    begin_from: Path | None = option(None, help="encoder file with its phone heads, to go on from")
    device: str = option("cuda", help="cuda or cpu")
    seed: int = option(1, help="of all random draws")
    thin: int = option(1, help="use each n-th item only, for a trial")
    resume: bool = option(False, help="go on behind the last part that was finished")
    until: str = option("", help="stop behind this part", choices=("", "ctc", "settle"))
    workers: int = option(8, help="threads for decoding and aligning")


@dataclass(frozen=True)
class Part:
    """A share of the time and the weights of its losses."""

    name: str
    share: float
    rate: float  # of the highest learning rate
    ctc: float
    frame: float = 0.0
    alike: float = 0.0


# An adversary that guesses the speaker (Ganin and Lempitsky 2015) was tried and made it worse: with it a
# fresh linear probe knew the speaker of 2 s in 76 % of the cases, 480 s later without it in 21 %.
PARTS = (
    Part("ctc", 0.25, 1.0, ctc=1.0),
    Part("settle", 0.75, 1.0, ctc=1.0, frame=1.0, alike=0.5),
)


class Training:
    """Learner, mean and optimizer on the pool."""

    def __init__(self, options: EncoderOptions, report: Report):
        torch.manual_seed(options.seed)
        self.options, self.report = options, report
        self.draw = np.random.default_rng(options.seed)
        self.pool = Pool(options.corpus, "items", options.device, options.thin, options.workers)
        self.held = Pool(options.corpus, "heldout", options.device, 1, options.workers)
        self.pool.add_speeds()
        self.learner = Learner(len(self.pool.phones)).to(options.device)
        if options.begin_from:
            learner.load(options.begin_from, self.learner, self.pool.phones)
        self.mean = Mean(self.learner)
        self.log_mel = LogMel(options.device)
        self.targets: targets.Targets | None = None
        self.step = 0
        self.optimizer = self._optimizer()
        self.batches = self._batches()
        report(Log(f"{self.pool.seconds.sum() / 3600:.2f} h, {self.pool.n_speakers} speakers"))

    def _optimizer(self) -> torch.optim.Optimizer:
        decayed, free = [], []
        for parameter in self.learner.parameters():
            (decayed if parameter.ndim > 1 else free).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": DECAY},
            {"params": free, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=self.options.device != "cpu")

    def _batches(self):
        while True:
            for choice in self.pool.epoch(self.options.batch_s, self.draw):
                yield self.pool.batch(choice, self.draw)

    def run_part(self, part: Part) -> None:
        """Steps until the part's share of the time is used up."""
        seconds = part.share * self.options.seconds
        began, first, sums = time.monotonic(), self.step, {}
        while (used := (time.monotonic() - began) / seconds) < 1:
            self._set_rate(part, used, self.step - first)
            for name, value in self._step(part, next(self.batches)).items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            if self.step % LOG_EVERY == 0:
                shown = ", ".join(f"{name} {float(value) / LOG_EVERY:.3f}" for name, value in sums.items())
                pace = (self.step - first) / (time.monotonic() - began)
                self.report(Log(f"{part.name} step {self.step} ({pace:.1f}/s): {shown}"))
                sums = {}

    def _set_rate(self, part: Part, used: float, step: int) -> None:
        fading = 0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * used))
        rate = self.options.rate * part.rate * fading * min(1.0, (step + 1) / WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _step(self, part: Part, batch: Batch) -> dict[str, torch.Tensor]:
        mel = masked(normalised(warped(self.log_mel(disturbed(batch.audio)), batch.stretch)))
        self.learner.train()
        with torch.autocast(mel.device.type, torch.bfloat16):
            content, middle = self.learner(mel)
            losses = self._losses(part, batch, content.float(), middle)
        total = sum(losses.values())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 5.0)
        self.optimizer.step()
        self.mean.follow(self.step)
        return {name: value.detach() for name, value in losses.items()}

    def _losses(self, part: Part, batch: Batch, content, middle) -> dict[str, torch.Tensor]:
        losses = {}
        usable = self._usable(batch)
        if bool(usable.any()):
            losses["ctc"] = part.ctc * _ctc(self.learner.phones_ctc(content[usable]), batch, usable)
            losses["early"] = 0.3 * part.ctc * _ctc(self.learner.phones_early(middle[usable]), batch, usable)
        if part.frame:
            labels, wanted, valid = self.targets.of(batch, content.shape[1])
            logits = self.learner.phones_frame(content).float()
            losses["frame"] = part.frame * functional.cross_entropy(
                logits.transpose(1, 2), labels, ignore_index=targets.UNKNOWN, label_smoothing=0.05
            )
            apart = 1 - functional.cosine_similarity(content, wanted.float(), dim=-1)
            losses["alike"] = part.alike * (apart * valid).sum() / valid.sum().clamp_min(1)
        return losses

    def _usable(self, batch: Batch) -> torch.Tensor:
        usable = batch.label_lengths > 0
        if self.targets is not None:
            usable &= torch.from_numpy(self.targets.trusted[batch.items]).to(usable.device)
        return usable

    def judge(self) -> None:
        """Phone errors on the held-out speakers, and what a linear probe knows of the speakers."""
        errors = phone_error_rate(self.held, self.mean.model, self.log_mel)
        probe = speaker_probe(self.pool, self.mean.model, self.log_mel)
        shown = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in errors.items())
        self.report(Log(f"phone errors: {shown}; speaker probe {probe[0]:.3f} (mel {probe[1]:.3f})"))

    def refresh(self) -> None:
        began = time.monotonic()
        self.targets = targets.find(
            self.pool, self.mean.model, self.log_mel, self.options.batch_s, self.options.workers
        )
        guesses = [self.targets.trusted[i] for i, item in enumerate(self.pool.items) if item.kind == "guess"]
        known = (self.targets.labels != targets.UNKNOWN).float().mean()
        self.report(
            Log(
                f"aligned in {time.monotonic() - began:.0f} s: {np.mean(guesses or [0]):.0%} of the guesses "
                f"trusted, {known:.0%} of the frames known"
            )
        )

    def save(self, name: str) -> None:
        self.options.output.mkdir(parents=True, exist_ok=True)
        state = {f"mean.{key}": value for key, value in self.mean.model.state_dict().items()}
        state |= {f"learner.{key}": value for key, value in self.learner.state_dict().items()}
        state = {key: value.contiguous() for key, value in state.items()} | {"step": torch.tensor(self.step)}
        safetensors.torch.save_file(state, self.options.output / f"state_{name}.safetensors")
        learner.save(self.options.output / f"{name}.safetensors", self.mean.model, self.pool.phones)

    def restore(self, name: str) -> None:
        state = safetensors.torch.load_file(self.options.output / f"state_{name}.safetensors")
        self.step = int(state["step"])
        for prefix, module in (("mean", self.mean.model), ("learner", self.learner)):
            own = {key.removeprefix(f"{prefix}."): v for key, v in state.items() if key.startswith(prefix)}
            module.load_state_dict(own)


def run(options: EncoderOptions, report: Report) -> None:
    """Runs the parts that are not done yet; the result is `<output>/settle.safetensors`."""
    training = Training(options, report)
    done = [part.name for part in PARTS if (options.output / f"state_{part.name}.safetensors").is_file()]
    if not options.resume:
        done = []
    if done:
        training.restore(done[-1])
    for part in PARTS[len(done) :]:
        if part is not PARTS[0]:
            training.refresh()
        training.run_part(part)
        training.save(part.name)
        training.judge()
        if part.name == options.until:
            break


def _ctc(logits: torch.Tensor, batch: Batch, usable: torch.Tensor) -> torch.Tensor:
    """Mean over the phones of the usable clips; logits [B', T, P]."""
    lengths = batch.label_lengths[usable]
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    spans = torch.full_like(lengths, log_probs.shape[0])
    labels = batch.labels[usable]
    loss = functional.ctc_loss(log_probs, labels, spans, lengths, reduction="none", zero_infinity=True)
    return loss.sum() / lengths.sum()


def main(argv: list[str] | None = None) -> int:
    return stage_main(EncoderOptions, "tools.starter.train_encoder", argv)


if __name__ == "__main__":
    sys.exit(main())
