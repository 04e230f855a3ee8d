"""A voice as one zip: the voice, its index, and a card that says what they are (`voice.json`)."""

import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.jobs.events import Log, Progress, Report
from infer.lib.checkpoint import VoiceFile, read_voice, set_info
from infer.lib.checkpoint_layout import median_of, names_of
from infer.lib.errors import BadInput, MissingFile
from infer.lib.files import atomic_path, sha256_file
from infer.lib.index_choice import find_index_for
from infer.lib.retrieval import sidecar_path
from infer.lib.starter_files import is_demo
from infer.lib.voice_header import AMERICAN_LICENCE, AUTHOR, LICENCE
from infer.stages.ckpt.options import INDEX_AUTO, INDEX_NONE, ExportOptions

CARD = "voice.json"
CARD_FORMAT = "rvc-voice"
CARD_VERSION = 1
SUFFIX = ".pth"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same voice gives the same zip, whenever it is packed


@dataclass(frozen=True)
class Terms:
    """Who made a voice, and what others may do with it."""

    author: str
    licence: str

    @classmethod
    def of(cls, voice: VoiceFile, options: ExportOptions) -> "Terms":
        """As asked for, else as the voice says."""
        licence = voice.extra.get(LICENCE) or voice.extra.get(AMERICAN_LICENCE) or ""
        return cls(options.author or str(voice.extra.get(AUTHOR) or ""), options.licence or str(licence))

    def notes(self, voice: VoiceFile) -> dict[str, str]:
        """What the voice file itself lacks of them."""
        wanted = {AUTHOR: self.author, LICENCE: self.licence}
        told = {AUTHOR: voice.extra.get(AUTHOR), LICENCE: voice.extra.get(LICENCE)}
        if not told[LICENCE] and voice.extra.get(AMERICAN_LICENCE) == self.licence:
            told[LICENCE] = self.licence
        return {key: text for key, text in wanted.items() if text and text != told[key]}


def export(options: ExportOptions, report: Report) -> dict:
    """Writes the zip; returns where it is and what is in it."""
    source = voice_file(options.voice, options.weights)
    if is_demo(source):
        raise BadInput("the demo voices come with the program", "share a voice of your own")
    voice = read_voice(source)
    target = _target(options, source)
    index = _index(options, source, report)
    terms = Terms.of(voice, options)
    with tempfile.TemporaryDirectory() as folder:
        packed = _with_terms(source, voice, terms, Path(folder))
        files = [packed, *([index] if index else [])]
        if index and sidecar_path(index).is_file():
            files.append(sidecar_path(index))
        hashes = {path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in files}
        card = {**_card(source.stem, voice, terms), "files": hashes}
        _write_zip(target, files, card, report)
    return {"zip": str(target), "voice": source.name, "index": index.name if index else "", **_told(card)}


def voice_file(given: Path, weights: Path) -> Path:
    """The file at the path `given`, or of that name in `weights`, with or without its suffix."""
    places = [given, weights / given]
    for place in [*places, *(place.with_name(place.name + SUFFIX) for place in places if place.name)]:
        if place.is_file():
            return place
    raise MissingFile(f"there is no voice {given}", f"give a path, or a name in {weights}")


def _target(options: ExportOptions, source: Path) -> Path:
    target = options.output or source.parent
    if target.is_dir() or not target.suffix:
        target = target / f"{source.stem}.zip"
    if target.suffix.lower() != ".zip":
        raise BadInput(f"the output {target} is no zip", "give a name that ends with .zip, or a folder")
    if target.exists() and not options.overwrite:
        raise BadInput(f"{target} exists", "choose another --output, or --overwrite")
    return target


def _index(options: ExportOptions, source: Path, report: Report) -> Path | None:
    if options.index == INDEX_NONE:
        return None
    if options.index == INDEX_AUTO:
        choice = find_index_for(source, [options.logs, source.parent])
        if choice.path is None:
            report(Log(f"without an index: {choice.reason}"))
        return choice.path
    path = Path(options.index)
    if not path.is_file():
        raise MissingFile(f"there is no index {path}", "give an .index file, auto or none")
    return path


def _with_terms(source: Path, voice: VoiceFile, terms: Terms, folder: Path) -> Path:
    """The voice file, or a copy that also names author and licence, so that they stay with the voice."""
    notes = terms.notes(voice)
    if not notes:
        return source
    copy = folder / source.name
    set_info(source, copy, notes=notes)
    return copy


def _card(name: str, voice: VoiceFile, terms: Terms) -> dict[str, Any]:
    spec = voice.spec
    return {
        "format": CARD_FORMAT,
        "format_version": CARD_VERSION,
        "name": name,
        "version": spec.version,
        "sample_rate": spec.sample_rate,
        "use_f0": spec.use_f0,
        "speakers": spec.n_speakers,
        "speaker_names": list(names_of(voice.extra)),
        "median_hz": median_of(voice.extra),
        "encoder": voice.encoder,
        "fill_unvoiced": voice.fill_unvoiced,
        "info": voice.info,
        "author": terms.author,
        "licence": terms.licence,
    }


def _told(card: dict[str, Any]) -> dict[str, Any]:
    return {key: card[key] for key in ("author", "licence", "version", "sample_rate", "files")}


def _write_zip(target: Path, files: list[Path], card: dict, report: Report) -> None:
    """Stored as they are: weights and vectors hardly become smaller, and packing them takes long."""
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(card, ensure_ascii=False, indent=1) + "\n"
        archive.writestr(zipfile.ZipInfo(CARD, EPOCH), text)
        for number, path in enumerate(files, 1):
            entry = zipfile.ZipInfo(path.name, EPOCH)
            entry.file_size = path.stat().st_size  # decides whether large sizes are written
            with path.open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed, 2**20)
            report(Progress(number, len(files), path.name))
