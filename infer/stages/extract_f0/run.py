"""Pitch extraction: `1_16k_wavs/<stem>.wav` -> coarse bins and Hz, clip by clip.

A clip is done while both its files exist and the ledger holds the key made from the clip's bytes,
the method and the fill switch. Outdated files are removed before anything is computed, so that a
stopped run never leaves curves of two methods side by side. An experiment that another program
made keeps its curves.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from infer.jobs.events import Finished, ItemFailed, Log, Progress, Report, Started
from infer.jobs.experiment import Experiment
from infer.jobs.ledger import Ledger, make_key
from infer.jobs.pool import outcomes
from infer.jobs.shard import Shard
from infer.lib.errors import BadInput
from infer.lib.f0 import METHODS, preferred_method
from infer.lib.files import REPO, sha256_file
from infer.stages.extract_f0.clip import Clip, Recipe, extract, shared_estimator
from infer.stages.extract_f0.options import ExtractF0Options

STAGE = "extract_f0"
CLIPS_PER_WORKER = 8  # below this, starting a process takes longer than its work


def run(options: ExtractF0Options, report: Report) -> dict:
    """Makes the missing and outdated curves of this shard; returns the summary.

    Raises BadInput without clips or without any result, MissingFile for a missing model.
    """
    experiment = Experiment.find(options.experiment)
    stems = experiment.stems_16k()
    if not stems:
        raise BadInput(f"experiment {experiment.root} has no clips at 16 kHz", "run preprocess first")
    shard, recipe = Shard.parse(options.shard), _recipe(options)
    ledger = Ledger(experiment.ledger_file(STAGE))
    mine = shard.of(stems)
    todo = _to_do(experiment, ledger, [_clip(experiment, stem, recipe) for stem in mine])
    if todo:
        shared_estimator(recipe)  # a missing model ends the stage before anything is removed
    for clip in todo:
        clip.coarse.unlink(missing_ok=True)
        clip.hz.unlink(missing_ok=True)
    if shard.first:
        _remove_strays(experiment, stems)
        experiment.update_settings(f0_method=recipe.method, fill_unvoiced=recipe.fill_unvoiced)
    report(Started(STAGE, len(todo)))
    failures = _extract_all(experiment, ledger, (recipe, todo), report)
    return _finish(experiment, (len(mine), len(todo)), failures, report)


def _recipe(options: ExtractF0Options) -> Recipe:
    assets = options.assets or REPO / "assets"
    return Recipe(
        method=preferred_method(options.method, assets),
        fill_unvoiced=options.fill_unvoiced,
        device="cpu" if options.device == "auto" else options.device,
        assets=assets,
        workers=options.workers or 1,
    )


def _clip(experiment: Experiment, stem: str, recipe: Recipe) -> Clip:
    wav = experiment.wav_16k(stem)
    return Clip(
        stem=stem,
        key=make_key(sha256_file(wav), recipe.method, recipe.fill_unvoiced),
        wav=wav,
        coarse=experiment.f0_coarse_file(stem),
        hz=experiment.f0_hz_file(stem),
    )


def _to_do(experiment: Experiment, ledger: Ledger, clips: list[Clip]) -> list[Clip]:
    """Clips whose curves are missing or outdated. Another program's curves are entered as done."""
    foreign = experiment.read_settings().sample_rate is None  # our preprocess always records it
    todo = []
    for clip in clips:
        recorded = ledger.get(clip.stem)
        exists = clip.coarse.is_file() and clip.hz.is_file()
        if exists and recorded == clip.key:
            continue
        if exists and recorded is None and foreign and _readable(clip):
            ledger.record(clip.stem, clip.key)
            continue
        todo.append(clip)
    return todo


def _readable(clip: Clip) -> bool:
    """Both files are whole and agree in length."""
    try:
        shapes = {np.load(path, mmap_mode="r").shape for path in (clip.coarse, clip.hz)}
    except (ValueError, EOFError, OSError):
        return False
    return len(shapes) == 1 and len(shapes.pop()) == 1


def _remove_strays(experiment: Experiment, stems: list[str]) -> None:
    """Curves of clips that are gone."""
    known = set(stems)
    for folder in (experiment.f0_coarse, experiment.f0_hz):
        for path in folder.glob("*.npy"):
            if path.name.split(".")[0] not in known:
                path.unlink()


def _extract_all(
    experiment: Experiment, ledger: Ledger, work: tuple[Recipe, list[Clip]], report: Report
) -> list[str]:
    """Reasons of the clips that failed."""
    recipe, clips = work
    failures = []
    with experiment.extract_log.open("a", encoding="utf-8") as log:
        log.write(f"todo-f0-{len(clips)}\n" if clips else "no-f0-todo\n")
        for done, (clip, reason) in enumerate(_results(recipe, clips), 1):
            log.write(f"f0ing,now-{done - 1},all-{len(clips)},-{clip.wav}\n")
            if reason is None:
                ledger.record(clip.stem, clip.key)
            else:
                failures.append(reason)
                log.write(f"f0fail-{clip.wav}-{reason}\n")
                report(ItemFailed(clip.stem, reason))
            log.flush()
            report(Progress(done, len(clips), clip.stem))
    return failures


def _results(recipe: Recipe, clips: list[Clip]) -> Iterator[tuple[Clip, str | None]]:
    """(clip, None or the reason of its failure), in the order of completion."""
    workers = min(recipe.workers, len(clips) // CLIPS_PER_WORKER)
    if METHODS[recipe.method].uses_gpu:  # networks use all cores by themselves
        workers = 1
    return outcomes(partial(extract, recipe), clips, workers)


def _finish(experiment: Experiment, counts: tuple[int, int], failures: list[str], report: Report) -> dict:
    clips, done = counts
    if clips and len(failures) == clips:
        raise BadInput(
            f"none of the {clips} clips of experiment {experiment.name} gave a pitch curve ({failures[0]})"
        )
    if not done:
        report(Log(f"all {clips} clips already have their pitch curves"))
    summary = {
        "clips": clips,
        "extracted": done - len(failures),
        "kept": clips - done,
        "failed": len(failures),
        "folder": str(experiment.f0_hz),
    }
    report(Finished(STAGE, summary))
    return summary
