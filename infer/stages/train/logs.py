"""train.log in RVC's line form, and the same lines as events."""

import logging
from contextlib import contextmanager
from datetime import datetime, timedelta

from infer.jobs.events import Log, Report
from infer.jobs.experiment import Experiment
from infer.lib.models.spec import Config
from infer.stages.train.options import TrainOptions

LINE = "%(asctime)s\t%(name)s\t%(levelname)s\t%(message)s"
DONE = "Training is done. The program is closed."
MOST_SHOWN = {"loss_mel": 75.0, "loss_kl": 9.0}  # RVC caps what it shows; the events hold the values


class TrainLog:
    """Says a line on the console and writes it to the log. Nothing on ranks that do not lead."""

    def __init__(self, name: str, report: Report, handler: logging.Handler | None):
        self._report = report
        self._logger = logging.Logger(name)  # not registered: two runs in one process do not mix
        self._handler = handler
        if handler:
            handler.setFormatter(logging.Formatter(LINE))
            self._logger.addHandler(handler)

    def say(self, message: str) -> None:
        self.note(message)
        self._report(Log(message))

    def note(self, message: str) -> None:
        """To the file alone."""
        if self._handler:
            self._logger.info(message)


@contextmanager
def open_log(experiment: Experiment, report: Report, leads: bool):
    handler = logging.FileHandler(experiment.train_log, encoding="utf-8") if leads else None
    try:
        yield TrainLog(experiment.name, report, handler)
    finally:
        if handler:
            handler.close()


def hyper_parameters(options: TrainOptions, config: Config, experiment: Experiment) -> str:
    """The run as a Python literal: RVC's extraction reads sample_rate, if_f0 and version from it."""
    run = {
        "train": {**vars(config.train), "betas": list(config.train.betas), "batch_size": options.batch_size},
        "data": {**vars(config.data), "training_files": str(experiment.filelist)},
        "model": dict(config.model),
        "name": experiment.name,
        "model_dir": str(experiment.root),
        "experiment_dir": str(experiment.root),
        "save_every_epoch": options.save_every_epoch,
        "total_epoch": options.total_epoch,
        "pretrainG": options.pretrain_g,
        "pretrainD": options.pretrain_d,
        "version": options.version,
        "gpus": options.gpus,
        "sample_rate": options.sample_rate,
        "if_f0": int(options.use_f0),
        "if_latest": int(options.latest_only),
        "save_every_weights": str(int(options.save_every_weights)),
        "if_cache_data_in_gpu": int(options.cache_in_gpu),
        "precision": options.precision,
        "seed": options.seed,
    }
    return repr(run)


def loss_line(values: dict[str, float]) -> str:
    """The line of losses that RVC users know."""
    shown = {name: min(value, MOST_SHOWN.get(name, value)) for name, value in values.items()}
    return (
        f"loss_disc={shown['loss_disc']:.3f}, loss_gen={shown['loss_gen']:.3f}, "
        f"loss_fm={shown['loss_fm']:.3f},loss_mel={shown['loss_mel']:.3f}, loss_kl={shown['loss_kl']:.3f}"
    )


def epoch_line(epoch: int, elapsed_s: float) -> str:
    now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    return f"====> Epoch: {epoch} [{now}] | ({timedelta(seconds=elapsed_s)})"
