"""What an experiment at another rate has in common with the one it is made like."""

import json
import shutil
from dataclasses import asdict

from infer.jobs.experiment import Experiment
from infer.jobs.ledger import Ledger
from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import atomic_path
from infer.lib.models.spec import VERSIONS, rate_label
from infer.stages.preprocess.clips import Like
from infer.stages.preprocess.manifest import Manifest, Recording, Source, source_key
from infer.stages.preprocess.options import PreprocessOptions

# Stages whose work on a clip depends on its 16 kHz copy alone, and the names of a clip in their ledgers.
STAGES = {"extract_f0": ("",), "extract_content": tuple(f"{version}/" for version in VERSIONS)}
SETTINGS = ("version", "use_f0", "encoder", "f0_method", "fill_unvoiced")


class Likeness:
    """The recordings of `other` that can be cut as they were there."""

    def __init__(self, options: PreprocessOptions, experiment: Experiment, other: Experiment):
        if other.root.resolve() == experiment.root.resolve():
            raise BadInput(f"experiment {other.name} cannot be made like itself", "use a new experiment name")
        manifest, self.rate = Manifest(other), other.read_settings().sample_rate
        if not manifest.exists or self.rate is None:
            raise MissingFile(
                f"it is not known how the clips of {other.root} were cut",
                "give an experiment of this program",
            )
        self.experiment, self.other = experiment, other
        self.clips = 0  # taken over in this run
        key = (self.rate, options.slice_s)
        stems = set(other.stems_16k())
        self._known = {source.sha256 for source in manifest.sources.values()}
        self._usable = {
            source.sha256: source
            for source in manifest.sources.values()
            if source.key == source_key(source.sha256, key)
            and source.outcome.clips
            and stems.issuperset(source.stems())
        }
        self._old = {stage: Ledger(other.ledger_file(stage)) for stage in STAGES}
        self._new = {stage: Ledger(experiment.ledger_file(stage)) for stage in STAGES}

    def check(self, recordings: list[Recording]) -> None:
        """Raises BadInput if nothing can be taken over."""
        hashes = {recording.sha256 for recording in recordings}
        if hashes & self._usable.keys():
            return
        if hashes & self._known:
            raise BadInput(
                f"experiment {self.other.name} was cut with another --slice-s, or is not finished",
                "give the length it was cut with, or preprocess it again first",
            )
        raise BadInput(
            f"experiment {self.other.name} was made from other recordings", "give the same --trainset"
        )

    def of(self, source: Source) -> Like | None:
        """How to cut a recording; None for one that the other experiment does not have."""
        known = self._usable.get(source.sha256)
        if known is None:
            return None
        return Like(self.other.root, known.index, self.rate, json.dumps(asdict(known.outcome)))

    def note(self, source: Source) -> None:
        """Enters the clips of a recording as done where the other experiment had them done.

        A clip that was sliced anew after all has other bytes, so its entry does not count.
        """
        known = self._usable.get(source.sha256)
        if known is None or known.outcome != source.outcome:
            return
        for old, new in zip(known.stems(), source.stems(), strict=True):
            for stage, prefixes in STAGES.items():
                for prefix in prefixes:
                    if key := self._old[stage].get(prefix + old):
                        self._new[stage].record(prefix + new, key)
        self.clips += source.outcome.clips

    def finish(self) -> str:
        """Takes over silence and settings; returns what to tell."""
        for path in self.other.mute.root.rglob("*"):
            target = self.experiment.mute.root / path.relative_to(self.other.mute.root)
            if path.is_file() and not target.exists():
                with atomic_path(target) as temporary:
                    shutil.copyfile(path, temporary)
        before, theirs = self.experiment.read_settings(), self.other.read_settings()
        unset = {name: getattr(theirs, name) for name in SETTINGS if getattr(before, name) is None}
        self.experiment.update_settings(**unset)
        return (
            f"{self.clips} clips were cut as in experiment {self.other.name} ({rate_label(self.rate)}); "
            "what it has of their pitch and content is taken over"
        )
