"""Which recordings an experiment was made from: content hash, number, speaker and outcome of each.

With it a second run finds out what changed. A recording counts as done only while its content and
the options are the same and its clips are all there.
"""

import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infer.jobs.experiment import Experiment
from infer.jobs.ledger import Ledger, make_key
from infer.lib.errors import BadInput
from infer.lib.files import write_text
from infer.stages.preprocess.clips import Outcome, outcome_of

RULES = "slices 1"  # to be raised when clips of the same recording would come out differently
_STEM = re.compile(r"(\d+)_(\d+)")


@dataclass(frozen=True)
class Recording:
    """A file of the training folder; `name` is its path in there, with slashes."""

    name: str
    path: Path
    sha256: str
    speaker: int


@dataclass(frozen=True)
class Source:
    """A recording that has a number. `key` is empty until its clips are all on disk."""

    name: str
    sha256: str
    speaker: int
    index: int
    key: str = ""
    outcome: Outcome = Outcome()

    def stems(self) -> list[str]:
        return [f"{self.index}_{j}" for j in range(self.outcome.clips)]


@dataclass(frozen=True)
class Plan:
    """What a run has to do. `vanished` sources go last, once there is something in their place."""

    done: list[Source]
    todo: list[tuple[Source, Recording]]
    duplicates: list[tuple[Recording, Recording]]  # (left out, kept)
    vanished: list[Source]


class Manifest:
    """The sources of an experiment, by name: a JSON file, and beside it a ledger of what was finished
    since that was written, so that noting one recording does not rewrite thousands."""

    def __init__(self, experiment: Experiment):
        self._path = experiment.sources_file
        self._ledger = Ledger(experiment.ledger_file("preprocess"))
        self.exists = self._path.is_file()
        self.sources = self._read() if self.exists else {}

    def finish(self, source: Source) -> None:
        """Notes at once that the clips of a source are on disk."""
        self.sources[source.name] = source
        self._ledger.record(source.name, json.dumps(_as_json(source)))

    def save(self) -> None:
        entries = {name: _as_json(source) for name, source in self.sources.items()}
        write_text(self._path, json.dumps({"sources": entries}, indent=1) + "\n")
        self._ledger.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Source]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))["sources"]
            entries |= {name: json.loads(text) for name, text in self._ledger.items().items()}
            return {name: _source(name, values) for name, values in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{self._path} is damaged ({error})", "use a new experiment name") from error


def make_plan(
    manifest: Manifest, recordings: list[Recording], options_key: tuple, stems: dict[int, list[str]]
) -> Plan:
    """Compares the folder with the manifest. `stems` are the clips on disk, by number.

    Known recordings keep their number, also under a new name; new ones get the next numbers.
    """
    kept, duplicates = _without_duplicates(recordings, manifest.sources)
    known, vanished = _numbered(kept, manifest.sources)
    done, todo = [], []
    for recording, source in zip(kept, known, strict=True):
        on_disk = sorted(stems.get(source.index, []))
        if source.key == source_key(recording.sha256, options_key) and on_disk == sorted(source.stems()):
            done.append(replace(source, name=recording.name, speaker=recording.speaker))
        else:
            fresh = Source(recording.name, recording.sha256, recording.speaker, source.index)
            todo.append((fresh, recording))
    return Plan(done, todo, duplicates, vanished)


def _numbered(kept: list[Recording], sources: dict[str, Source]) -> tuple[list[Source], list[Source]]:
    """The source of each recording, known by name, else by content, else new; and those left over."""
    left = dict(sources)
    names = {recording.name for recording in kept}
    by_content = {source.sha256: name for name, source in sources.items() if name not in names}
    next_index = 1 + max((source.index for source in sources.values()), default=-1)
    numbered = []
    for recording in kept:
        name = recording.name if recording.name in left else by_content.pop(recording.sha256, None)
        if name is None:
            numbered.append(Source(recording.name, recording.sha256, recording.speaker, next_index))
            next_index += 1
        else:
            numbered.append(left.pop(name))
    return numbered, list(left.values())


def source_key(sha256: str, options_key: tuple) -> str:
    """Names the clips of a recording: its bytes, the rules, rate and length."""
    return make_key(RULES, sha256, *options_key)


def finished(source: Source, outcome: Outcome, options_key: tuple) -> Source:
    """The source after its clips were written; one that could not be read is tried again next time."""
    key = "" if outcome.error else source_key(source.sha256, options_key)
    return replace(source, key=key, outcome=outcome)


def clips_on_disk(experiment: Experiment) -> dict[int, list[str]]:
    """Stems of either folder, by recording number. Half-made clips lack one of both and so count
    as a difference that has the recording sliced again."""
    at_target, at_16k = set(experiment.stems()), set(experiment.stems_16k())
    found = defaultdict(list)
    for stem in at_target | at_16k:
        if match := _STEM.fullmatch(stem):
            whole = stem in at_target and stem in at_16k
            found[int(match[1])] += [stem] if whole else [stem, stem]
    return found


def _without_duplicates(
    recordings: list[Recording], old: dict[str, Source]
) -> tuple[list[Recording], list[tuple[Recording, Recording]]]:
    """Of files with the same content the one that is already sliced stays, else the first."""

    def is_new(recording: Recording) -> bool:
        return recording.name not in old or old[recording.name].sha256 != recording.sha256

    first: dict[str, Recording] = {}
    for recording in sorted(recordings, key=is_new):
        first.setdefault(recording.sha256, recording)
    kept = [recording for recording in recordings if first[recording.sha256] is recording]
    twins = [
        (recording, first[recording.sha256])
        for recording in recordings
        if first[recording.sha256] is not recording
    ]
    return kept, twins


def _as_json(source: Source) -> dict:
    values = asdict(source)
    values.pop("name")
    return values


def _source(name: str, values: dict) -> Source:
    return Source(name=name, outcome=outcome_of(values.pop("outcome")), **values)
