"""Content extraction: `1_16k_wavs/<stem>.wav` -> `3_feature<256|768>/<stem>.npy`, clip by clip.

A clip is done while its feature file exists and the ledger holds the key made from the clip's
bytes, the encoder's name and the version. Outdated features are removed before anything is
computed, so that a stopped run never leaves features of two encoders side by side.
"""

from dataclasses import dataclass

import numpy as np
import torch

from infer.jobs.events import Finished, ItemFailed, Log, Progress, Report, Started
from infer.jobs.experiment import Experiment
from infer.jobs.ledger import Ledger, make_key
from infer.jobs.shard import Shard
from infer.lib import audio
from infer.lib.content import ContentEncoder, load_encoder
from infer.lib.errors import BadInput
from infer.lib.files import REPO, atomic_path, sha256_file
from infer.stages.extract_content.mute import write_mute
from infer.stages.extract_content.options import ExtractContentOptions

STAGE = "extract_content"


@dataclass(frozen=True)
class Job:
    """One experiment, one encoder, one version; `foreign`: another program made the experiment."""

    experiment: Experiment
    encoder: ContentEncoder
    version: str
    ledger: Ledger
    foreign: bool

    def key(self, stem: str) -> str:
        return make_key(sha256_file(self.experiment.wav_16k(stem)), self.encoder.name, self.version)

    def item(self, stem: str) -> str:
        return f"{self.version}/{stem}"


def run(options: ExtractContentOptions, report: Report) -> dict:
    """Makes the missing and outdated features of this shard; returns the summary.

    Raises BadInput without clips, for an encoder that does not fit, or if no clip gave features.
    """
    experiment = Experiment.find(options.experiment)
    stems = experiment.stems_16k()
    if not stems:
        raise BadInput(f"experiment {experiment.root} has no clips at 16 kHz", "run preprocess first")
    assets = options.assets or REPO / "assets"
    encoder = load_encoder(options.encoder, assets, options.device, options.precision)
    encoder.dim(options.version)
    job = _job(experiment, encoder, options.version)
    shard = Shard.parse(options.shard)
    mine = shard.of(stems)
    todo = _prepare(job, mine)
    if shard.first:
        _remove_strays(job, stems)
        write_mute(experiment, encoder, options.version)
    report(Started(STAGE, len(todo)))
    failed = _extract_all(job, todo, report)
    return _finish(job, (len(mine), len(todo), failed), report)


def _job(experiment: Experiment, encoder: ContentEncoder, version: str) -> Job:
    """Records encoder and version, unless the experiment was already trained with others."""
    before = experiment.read_settings()
    _refuse_change(experiment, "encoder", before.encoder, encoder.name)
    _refuse_change(experiment, "version", before.version, version)
    experiment.update_settings(encoder=encoder.name, version=version)
    ledger = Ledger(experiment.ledger_file(STAGE))
    foreign = before.sample_rate is None and before.encoder in (None, encoder.name)
    return Job(experiment, encoder, version, ledger, foreign and encoder.family == "hubert")


def _refuse_change(experiment: Experiment, what: str, before: str | None, now: str) -> None:
    if before not in (None, now) and experiment.checkpoints():
        raise BadInput(
            f"experiment {experiment.name} was trained with the {what} {before}, not {now}",
            f"use a new experiment name, or the same {what} again",
        )


def _prepare(job: Job, stems: list[str]) -> list[str]:
    """Stems to do; their outdated features are removed here."""
    todo = []
    for stem in stems:
        output = job.experiment.content_file(stem, job.version)
        recorded, key = job.ledger.get(job.item(stem)), job.key(stem)
        if output.is_file() and recorded == key:
            continue
        if output.is_file() and recorded is None and job.foreign:
            job.ledger.record(job.item(stem), key)  # RVC's own features are taken as they are
            continue
        output.unlink(missing_ok=True)
        todo.append(stem)
    return todo


def _remove_strays(job: Job, stems: list[str]) -> None:
    """Features of clips that are gone."""
    known = set(stems)
    for path in job.experiment.content(job.version).glob("*.npy"):
        if path.name.split(".")[0] not in known:
            path.unlink()


def _extract_all(job: Job, stems: list[str], report: Report) -> int:
    """Returns the number of clips that failed."""
    failed = 0
    for done, stem in enumerate(stems, 1):
        try:
            _extract(job, stem)
        except BadInput as error:
            failed += 1
            report(ItemFailed(stem, str(error)))
        report(Progress(done, len(stems), stem))
    return failed


def _extract(job: Job, stem: str) -> None:
    # The key comes first: should the clip change meanwhile, the next run does it again.
    wav, key = job.experiment.wav_16k(stem), job.key(stem)
    samples = torch.from_numpy(audio.load(wav, audio.SAMPLE_RATE_16K))
    save_content(job.experiment.content_file(stem, job.version), job.encoder.encode(samples, job.version))
    job.ledger.record(job.item(stem), key)


def save_content(path, content: torch.Tensor) -> None:
    """[T, D] -> .npy, float32, atomically."""
    with atomic_path(path) as temporary:
        np.save(temporary, content.cpu().numpy().astype(np.float32))


def _finish(job: Job, counts: tuple[int, int, int], report: Report) -> dict:
    clips, done, failed = counts
    if clips and failed == clips:
        raise BadInput(f"none of the {clips} clips of experiment {job.experiment.name} gave content features")
    if not done:
        report(Log(f"all {clips} clips already have {job.version} content of {job.encoder.name}"))
    summary = {
        "clips": clips,
        "extracted": done - failed,
        "kept": clips - done,
        "failed": failed,
        "encoder": job.encoder.name,
        "folder": str(job.experiment.content(job.version)),
    }
    report(Finished(STAGE, summary))
    return summary
