"""train_*: training for programs. A call waits for its job to end, or names it and returns at once."""

import time
from pathlib import Path

from infer.jobs.events import silent
from infer.jobs.experiment import Experiment
from infer.jobs.runner import Step
from infer.lib.errors import BadInput, RvcError
from infer.lib.files import inside, safe_name
from infer.stages import chain
from infer.stages.chain_options import TrainAllOptions
from infer.web.api import requests
from infer.web.api.convert import RVC_METHODS
from infer.web.api.endpoint import add_endpoint
from infer.web.page import Page

POLL_S = 0.25
SIDE_BY_SIDE = {"concurrency_limit": None}
LINES_SHOWN = 40


def add(page: Page) -> None:
    """Adds the endpoints to the Blocks being built."""
    calls = Calls(page)
    for request, handle, name in (
        (requests.Preprocess, calls.preprocess, "train_preprocess"),
        (requests.Extract, calls.extract, "train_extract_f0_feature"),
        (requests.Train, calls.train, "train_start"),
        (requests.TrainIndex, calls.index, "train_index"),
        (requests.TrainAll, calls.everything, "train_start_all"),
    ):
        add_endpoint(request, handle, str, name, **SIDE_BY_SIDE)
    add_endpoint(requests.JobName, calls.status, dict, "job_status", queue=False)
    add_endpoint(requests.JobName, calls.stop, dict, "job_stop", queue=False)


class JobFailed(RvcError):
    """A job that did not reach its end; the message is the stage's own reason."""


class Calls:
    """The handlers: each fills the options of the training chain and starts its steps as a job."""

    def __init__(self, page: Page):
        self._page = page

    def preprocess(self, call: requests.Preprocess) -> str:
        options = self._options(call, trainset=_folder(call.folder), processes=call.workers)
        return self._run(call, options, [chain.preprocess_step(options, self._experiment(call))])

    def extract(self, call: requests.Extract) -> str:
        options = self._options(call, processes=call.workers, gpus=_gpus(call.gpus))
        return self._run(call, options, chain.extraction(options, self._experiment(call)))

    def train(self, call: requests.Train) -> str:
        options = self._options(call, gpus=_gpus(call.gpus), config=_path(call.config))
        return self._run(call, options, [chain.training_step(options, self._experiment(call), silent)])

    def index(self, call: requests.TrainIndex) -> str:
        version = self._experiment(call).read_settings().version or "v2"
        options = self._options(call, version=version if call.version == "auto" else call.version)
        return self._run(call, options, [chain.index_step(options, self._experiment(call))])

    def everything(self, call: requests.TrainAll) -> str:
        options = self._options(
            call,
            trainset=_folder(call.folder),
            processes=call.workers,
            gpus=_gpus(call.gpus),
            config=_path(call.config),
        )
        return self._run(call, options, chain.whole_chain(options, self._experiment(call), silent))

    def status(self, call: requests.JobName) -> dict:
        """State, step, progress and reason of a job, as plain values."""
        job, progress = self._page.jobs.job(call.job), self._page.jobs.progress(call.job)
        return {
            "job": job.id,
            "title": job.title,
            "state": job.state,
            "ahead": job.ahead,
            "steps": list(job.steps),
            "step": job.step,
            "done": progress.done,
            "total": progress.total,
            "eta_s": progress.eta_s,
            "reason": job.reason,
            "commands": list(job.displays),
            "lines": list(progress.lines)[-LINES_SHOWN:],
        }

    def stop(self, call: requests.JobName) -> dict:
        self._page.jobs.stop(call.job)
        return self.status(call)

    def _experiment(self, call) -> Experiment:
        return Experiment(inside(self._page.home.logs, safe_name(call.experiment, "experiment name")))

    def _options(self, call, **values) -> TrainAllOptions:
        same = set(TrainAllOptions.__dataclass_fields__) & set(vars(call)) - {"experiment", "config", "gpus"}
        values = {name: getattr(call, name) for name in same} | values
        method = values.get("f0_method", "auto")
        return TrainAllOptions(
            **values
            | {
                "experiment": self._experiment(call).root,
                "f0_method": RVC_METHODS.get(method, method),
                "device": self._page.engine.device,
                "weights": self._page.home.weights,
                "assets": self._page.home.assets,
            }
        )

    def _run(self, call, options: TrainAllOptions, steps: list[Step]) -> str:
        title = f"{call.experiment}: {', '.join(step.name for step in steps)}"
        job = self._page.jobs.start(title, steps, experiment=options.experiment)
        return self._outcome(job) if call.wait else job

    def _outcome(self, job_id: str) -> str:
        while (job := self._page.jobs.job(job_id)).state in ("queued", "running"):
            time.sleep(POLL_S)
        if job.state != "done":
            raise JobFailed(f"{job.title} did not finish ({job.state})", job.reason)
        return "\n".join(self._page.jobs.progress(job_id).lines)


def _folder(text: str) -> Path:
    path = _path(text)
    if path is None:
        raise BadInput("no folder of recordings was named", "send its path as folder")
    return path


def _path(text: str) -> Path | None:
    text = text.strip(" \t\r\n\"'")
    return Path(text).expanduser() if text else None


def _gpus(text: str) -> str:
    """RVC sends "-" for none."""
    return text.strip(" -")
