"""What a run leaves behind on its way: checkpoints, voices, held-out samples, pictures. Rank 0 only."""

import torch

from infer.jobs.events import Metric, Report
from infer.lib.errors import RvcError
from infer.lib.mel import linear_to_mel, mel_spectrogram
from infer.stages.train import heldout
from infer.stages.train.batch import Batch, Item
from infer.stages.train.board import Board
from infer.stages.train.data import load_item
from infer.stages.train.logs import TrainLog
from infer.stages.train.state import Training
from infer.stages.train.step import StepResult


class Saver:
    """Writes checkpoints and voices, and lets the voice speak the held-out clips."""

    def __init__(self, training: Training, board: Board, log: TrainLog, report: Report):
        self._training, self._board, self._log, self._report = training, board, log, report
        self._leads = training.nets.team.leads
        self._saved_step = -1
        self._items: list[Item] | None = None

    def save(self) -> None:
        """At an epoch's end: checkpoints, the voice of this moment if wanted, and a held-out sample."""
        if not self._leads:
            return
        self._save_pair()
        training, progress = self._training, self._training.progress
        if training.plan.options.save_every_weights:
            name = f"{training.plan.experiment.name}_e{progress.epoch}_s{progress.step}"
            training.save_voice(name)
            self._log.say(f"saving ckpt {name}:Success.")
        self._listen()

    def save_on_stop(self) -> None:
        if self._leads and self._saved_step != self._training.progress.step:
            self._save_pair()

    def save_final_voice(self):
        """`<weights>/<experiment>.pth`; returns its path, None on ranks that do not lead."""
        if not self._leads:
            return None
        path = self._training.save_voice(self._training.plan.experiment.name)
        self._log.say("saving final ckpt:Success.")
        return path

    def show_step(self, step: int, scalars: dict[str, float], batch: Batch, result: StepResult) -> None:
        """The numbers and pictures of one step."""
        if not (self._leads and self._board):
            return
        windows, mel = result.windows, self._training.settings.mel
        self._board.scalars(step, scalars)
        self._board.picture(step, "slice/mel_org", windows.true_mel[0])
        self._board.picture(step, "slice/mel_gen", windows.made_mel[0].detach())
        whole = linear_to_mel(batch.spectrogram(mel)[:1], mel)[0]
        self._board.picture(step, "all/mel", whole[:, : batch.frames[0]])

    def _save_pair(self) -> None:
        training, progress = self._training, self._training.progress
        number = training.save()
        self._saved_step = progress.step
        experiment = training.plan.experiment
        for path in (experiment.generator_checkpoint(number), experiment.discriminator_checkpoint(number)):
            self._log.say(f"Saving model and optimizer state at epoch {progress.epoch} to {path}")

    @torch.no_grad()
    def _listen(self) -> None:
        """The held-out mel loss, and the first held-out clip as sound and picture."""
        training, step = self._training, self._training.progress.step
        items = self._listeners()
        if not items:
            return
        settings, generator = training.settings, training.nets.generator
        generator.eval()
        loss = heldout.mean_mel_loss(generator, items, settings.mel, settings.precision, settings.c_mel)
        self._report(Metric(step, training.progress.epoch, {"heldout_mel": loss}))
        self._board.scalars(step, {"heldout/mel": loss})
        if self._board:
            audio = heldout.speak(generator, items[0], training.device, settings.precision)
            truth = items[0].audio[: len(audio)].to(training.device)
            for name, sound in (("made", audio), ("true", truth)):
                self._board.sound(step, f"heldout/{name}", sound, settings.mel.sample_rate)
                self._board.picture(
                    step, f"heldout/mel_{name}", mel_spectrogram(sound[None], settings.mel)[0]
                )
        generator.train()

    def _listeners(self) -> list[Item]:
        """The clips to speak, read once. One that cannot be read is told and left out."""
        if self._items is None:
            self._items = []
            plan = self._training.plan
            for clip in plan.heldout:
                try:
                    self._items.append(load_item(clip.item, plan.config.data))
                except RvcError as error:
                    self._log.say(f"held-out clip {clip.item.stem} cannot be read: {error}")
        return self._items
