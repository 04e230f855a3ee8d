"""Slicing of a folder of recordings into the clips of an experiment.

Only what is new or changed is sliced; clips of recordings that are gone are removed at the end.
"""

import json
from pathlib import Path

from infer.jobs.events import Finished, ItemFailed, Log, Progress, Report, Started
from infer.jobs.experiment import Experiment
from infer.jobs.lock import alone
from infer.jobs.pool import outcomes
from infer.lib.audio import find_audio
from infer.lib.devices import worker_count
from infer.lib.errors import BadInput
from infer.lib.files import remove_leftovers, sha256_file, write_text
from infer.stages.preprocess.clips import Task
from infer.stages.preprocess.likeness import Likeness
from infer.stages.preprocess.manifest import (
    Manifest,
    Plan,
    Recording,
    Source,
    clips_on_disk,
    finished,
    make_plan,
)
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.preprocess.pitch_range import pitch_range
from infer.stages.preprocess.recut import slice_task
from infer.stages.preprocess.speakers import Speakers
from infer.stages.preprocess.summary import summarise, what_was_left_out, why_unusable

STAGE = "preprocess"


def run(options: PreprocessOptions, report: Report) -> dict:
    """Slices what is new or changed; returns the recordings report (also written as JSON).

    Raises BadInput if the folder has nothing usable or the experiment was made otherwise.
    """
    paths = find_audio(options.trainset)
    if not paths:
        raise BadInput(
            f"the folder {options.trainset} holds no recordings", "put wav, flac, mp3 or m4a there"
        )
    experiment = Experiment.find(options.experiment)
    with alone(experiment.lock_file, f"experiment {experiment.name}"):
        manifest = _open_manifest(experiment, options.sample_rate)
        report(Started(STAGE, len(paths)))
        job = _Job(options, experiment, manifest, report)
        plan = job.plan(paths)
        job.slice(plan)
        return job.finish(plan)


def _open_manifest(experiment: Experiment, sample_rate: int) -> Manifest:
    """Refuses an experiment whose clips have another rate, or that this program did not slice."""
    if experiment.read_settings().sample_rate is not None:
        experiment.update_settings(sample_rate=sample_rate)
    manifest = Manifest(experiment)
    clips = [] if manifest.exists else experiment.stems()
    if clips:
        raise BadInput(
            f"{experiment.gt_wavs} already holds {len(clips)} clips of unknown origin",
            "choose a new experiment name, or move them away",
        )
    return manifest


class _Job:
    """One run of the stage: what it works on, and what it has to tell."""

    def __init__(
        self, options: PreprocessOptions, experiment: Experiment, manifest: Manifest, report: Report
    ):
        self.options, self.experiment, self.manifest = options, experiment, manifest
        self.report = report
        self.speakers = Speakers(options.speaker_id)
        other = Experiment.find(options.like) if options.like else None
        self.likeness = Likeness(options, experiment, other) if other else None
        self.key = (options.sample_rate, options.slice_s)
        self.failed: dict[str, str] = {}  # name -> reason
        for folder in (experiment.gt_wavs, experiment.wavs_16k):
            remove_leftovers(folder)
        self.clips = clips_on_disk(experiment)

    def plan(self, paths: list[Path]) -> Plan:
        """Hashes the files and notes their numbers on disk before the first clip is written."""
        recordings = self._recordings(paths)
        if self.likeness:
            self.likeness.check(recordings)
        plan = make_plan(self.manifest, recordings, self.key, self.clips)
        fresh = [source for source, _ in plan.todo]
        self.manifest.sources = {source.name: source for source in [*plan.vanished, *plan.done, *fresh]}
        self.manifest.save()
        for twin, kept in plan.duplicates:
            self._fail(twin.name, f"the same recording as {kept.name}")
        for source in plan.done:
            self._tell(source)
        if plan.done:
            self.report(Log(f"{len(plan.done)} recordings are unchanged"))
        return plan

    def _recordings(self, paths: list[Path]) -> list[Recording]:
        recordings = []
        for path in paths:
            relative = path.relative_to(self.options.trainset)
            try:
                digest = sha256_file(path)
            except OSError as error:
                self._fail(relative.as_posix(), f"it cannot be read: {error.strerror or error}")
                continue
            recordings.append(Recording(relative.as_posix(), path, digest, self.speakers.of(relative)))
        for remark in self.speakers.remarks():
            self.report(Log(remark))
        return recordings

    def slice(self, plan: Plan) -> None:
        """Slices in parallel; every finished recording is noted at once, so stopping loses nothing."""
        tasks = {self._task(source, recording): source for source, recording in plan.todo}
        workers = min(self.options.workers or worker_count(), len(tasks))
        total = len(plan.done) + len(plan.duplicates) + len(tasks)
        done = total - len(tasks)
        if done:
            self.report(Progress(done, total))
        for task, outcome in outcomes(slice_task, list(tasks), workers):
            source = finished(tasks[task], outcome, self.key)
            if self.likeness:
                self.likeness.note(source)
            self.manifest.finish(source)
            done += 1
            self._tell(source)
            self.report(Progress(done, total, source.name))
        self.manifest.save()

    def _task(self, source: Source, recording: Recording) -> Task:
        return Task(
            path=recording.path,
            experiment=self.experiment.root,
            index=source.index,
            sample_rate=self.options.sample_rate,
            slice_s=self.options.slice_s,
            stale=tuple(sorted(set(self.clips.get(source.index, ())))),
            like=self.likeness.of(source) if self.likeness else None,
        )

    def finish(self, plan: Plan) -> dict:
        """Removes what is stale and writes the report. Raises BadInput if there is no clip at all."""
        gone = {source.name for source in plan.vanished}
        sources = [source for name, source in self.manifest.sources.items() if name not in gone]
        summary = summarise(sorted(sources, key=lambda source: source.index), self.failed)
        if not summary["clips"]:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(self.failed.items())[:3])
            raise BadInput(f"no recording in {self.options.trainset} can be used ({reasons})")
        numbers = {source.index for source in sources}
        for index in sorted(self.clips.keys() - numbers):
            for stem in self.clips[index]:
                self.experiment.remove_clip(stem)
        self.manifest.sources = {source.name: source for source in sources}
        self.manifest.save()
        self.experiment.write_speakers({stem: s.speaker for s in sources for stem in s.stems()})
        names = self.speakers.names({source.speaker for source in sources if source.outcome.clips})
        self.experiment.update_settings(sample_rate=self.options.sample_rate, speaker_names=names)
        if self.likeness:
            self.report(Log(self.likeness.finish()))
        summary["pitch_hz"] = pitch_range(self.experiment)
        write_text(self.experiment.report_file, json.dumps(summary, indent=1) + "\n")
        if gone:
            self.report(Log(f"removed the clips of {len(gone)} recordings that are gone"))
        brief = {key: value for key, value in summary.items() if key not in ("files", "failed")}
        self.report(Finished(STAGE, {**brief, "failed": len(self.failed)}))
        return summary

    def _tell(self, source: Source) -> None:
        """Reports what became of a recording, and notes it in the log of the experiment."""
        outcome = source.outcome
        if reason := why_unusable(outcome):
            self._fail(source.name, reason)
            return
        remarks = [*outcome.warnings, *filter(None, [what_was_left_out(outcome)])]
        for remark in remarks:
            self.report(Log(f"{source.name}: {remark}"))
        self._note(f"{source.name}->{outcome.clips} clips, {outcome.usable_s:.1f} s", *remarks)

    def _fail(self, name: str, reason: str) -> None:
        self.failed[name] = reason
        self.report(ItemFailed(name, reason))
        self._note(f"{name}->left out", reason)

    def _note(self, *parts: str) -> None:
        self.experiment.root.mkdir(parents=True, exist_ok=True)
        with self.experiment.preprocess_log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("; ".join(parts) + "\n")
