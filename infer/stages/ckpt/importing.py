"""Taking in a voice that somebody shared: checked as a whole, then put where voices and indexes live."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.jobs.events import Log, Progress, Report
from infer.jobs.experiment import Experiment
from infer.lib.checkpoint import VoiceFile, read_voice
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.files import atomic_path, inside, safe_name, sha256_file
from infer.lib.index_choice import experiment_of, find_index_for
from infer.lib.retrieval import FeatureIndex, index_file_names, lists_of, write_sidecar
from infer.stages.ckpt.offer import VOICE, Offer, gather, in_words
from infer.stages.ckpt.options import ImportOptions

_STEPS = 3
_TEMPORARY = ".import-"
_LEFT_BEHIND_S = 6 * 3600


@dataclass(frozen=True)
class _Places:
    """Where voice and index go."""

    name: str
    voice: Path
    index: Path


def import_voice(options: ImportOptions, report: Report) -> dict[str, Any]:
    """Copies voice and index into place; returns where they are. Nothing is changed on failure."""
    options.weights.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(options.weights)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=options.weights) as folder:
        offer = gather(options.files, Path(folder))
        report(Progress(1, _STEPS, offer.voice.name))
        voice = _readable(offer)
        index_problem = _index_problem(offer, voice)
        report(Progress(2, _STEPS, offer.voice.name))
        has_index = offer.index is not None and not index_problem
        places = _places(options, offer, voice)
        _refuse_clash(options, offer, places, has_index)
        if has_index:  # first: the voice is in every list as soon as its file is there
            _put(offer.index.path, places.index)
            if offer.sidecar:
                write_sidecar(places.index, offer.sidecar)
        _put(offer.voice.path, places.voice)
        report(Progress(_STEPS, _STEPS, places.voice.name))
    remarks = [*offer.remarks, *([index_problem] if index_problem else [])]
    remarks += _other_index(options, places, has_index)
    for remark in remarks:
        report(Log(remark))
    index = str(places.index) if has_index else ""
    return {"voice": str(places.voice), "index": index, "name": places.name, "remarks": remarks}


def _remove_leftovers(weights: Path) -> None:
    """What killed imports unpacked; another that is at work is left alone."""
    for folder in weights.glob(f"{_TEMPORARY}*"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > _LEFT_BEHIND_S:
            shutil.rmtree(folder, ignore_errors=True)


def _readable(offer: Offer) -> VoiceFile:
    try:
        return read_voice(offer.voice.path)
    except BadCheckpoint as error:
        raise in_words(error, offer.voice) from error


def _index_problem(offer: Offer, voice: VoiceFile) -> str:
    """Why the index is left out; empty if it fits, or there is none."""
    if offer.index is None:
        return ""
    try:
        index = FeatureIndex.load(offer.index.path)
    except BadInput as error:
        return f"the index was left out: {in_words(error, offer.index)}"
    except MissingFile:
        return ""  # the package is not installed; the index will be checked when it is used
    if index.dim != voice.spec.feature_dim:
        return (
            f"the index {offer.index.name} was left out: it holds vectors of {index.dim} values, "
            f"the voice needs {voice.spec.feature_dim}"
        )
    recorded = offer.sidecar.get("encoder")
    if recorded and voice.encoder and recorded != voice.encoder:
        return f"the index {offer.index.name} was left out: it was made with another content encoder"
    return ""


def _places(options: ImportOptions, offer: Offer, voice: VoiceFile) -> _Places:
    told = options.name or str(offer.card.get("name") or "") or Path(offer.voice.name).stem
    name = told.strip() if options.name else told.strip(" .")
    name = safe_name(name, "voice name").removesuffix(VOICE)
    lists = lists_of(offer.index.name) if offer.index else None
    # Under the name that is looked for first, whatever it was called elsewhere.
    index = index_file_names(lists or 1, experiment_of(f"{name}{VOICE}"), voice.spec.version).added
    return _Places(name, inside(options.weights, name + VOICE), inside(options.logs, name) / index)


def _refuse_clash(options: ImportOptions, offer: Offer, places: _Places, has_index: bool) -> None:
    """Raises BadInput where something else has the name."""
    what = "choose another --name, or --overwrite"
    if not (options.overwrite or _free(places.voice, offer.voice.path)):
        raise BadInput(f"there is another voice {places.voice}", what)
    if not has_index or _same(places.index, offer.index.path):
        return
    experiment = Experiment(places.index.parent)
    if experiment.settings_file.exists() or experiment.gt_wavs.exists() or experiment.checkpoints():
        raise BadInput(
            f"{experiment.root} is an experiment of its own", "choose another --name for the voice"
        )
    if places.index.exists() and not options.overwrite:
        raise BadInput(f"there is another index {places.index}", what)


def _free(target: Path, source: Path) -> bool:
    return not target.exists() or _same(target, source)


def _same(target: Path, source: Path) -> bool:
    same_size = target.is_file() and target.stat().st_size == source.stat().st_size
    return same_size and sha256_file(target) == sha256_file(source)


def _put(source: Path, target: Path) -> None:
    if not (target.exists() and source.samefile(target)):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def _other_index(options: ImportOptions, places: _Places, has_index: bool) -> list[str]:
    """Conversion looks for the index by name: it should find this one."""
    found = find_index_for(places.voice, [options.logs]).path
    if has_index and found is not None and not found.samefile(places.index):
        return [f"another index comes first for this name: {found}"]
    return []
