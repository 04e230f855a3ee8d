"""The work behind the actions on voice files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infer.jobs.events import Finished, ItemFailed, Log, Progress, Report, Started
from infer.lib.checkpoint import (
    KIND_WORDS,
    VoiceFile,
    compare_voices,
    kind_of,
    merge_voices,
    read_training,
    read_voice,
    set_info,
    write_voice,
)
from infer.lib.checkpoint_layout import gain_of, median_of, names_of, noise_scale_of
from infer.lib.errors import BadInput, RvcError
from infer.lib.files import inside, safe_name
from infer.stages.ckpt.extract import voice_of_checkpoint
from infer.stages.ckpt.importing import import_voice
from infer.stages.ckpt.options import (
    CompareOptions,
    DeleteOptions,
    ExportOptions,
    ExtractOptions,
    ImportOptions,
    MergeOptions,
    SetInfoOptions,
    ShowOptions,
)
from infer.stages.ckpt.package import SUFFIX, export
from infer.stages.ckpt.removal import delete

_SHOWN_EXTRAS = ("author", "licence", "license", "embedder_model", "creation_date", "model_name")


def run(options: Any, report: Report) -> dict:
    """Does what the class of `options` asks for; returns the summary that was reported."""
    report(Started(_STAGE))
    summary = _ACTIONS[type(options)](options, report)
    report(Finished(_STAGE, summary))
    return summary


def extract(options: ExtractOptions, report: Report) -> dict:
    """Writes the voice of a training checkpoint."""
    voice, found = voice_of_checkpoint(options)
    target = voice_path(options.weights, options.name or found.name)
    report(Log(f"{found.path}: epoch {found.epoch}, {_kind(voice)}"))
    return _write(target, voice, options.overwrite, "extraction")


def merge(options: MergeOptions, report: Report) -> dict:
    """Writes the mix of voices."""
    target = voice_path(options.weights, options.name)
    voices = []
    for number, path in enumerate(options.voices, 1):
        voices.append(read_voice(path))
        report(Progress(number, len(options.voices), str(path)))
    shares = options.weight or (1 / len(voices),) * len(voices)
    mixed = merge_voices(voices, shares, options.info or _mix_text(options))
    return _write(target, mixed, options.overwrite, "merge")


def show(options: ShowOptions, report: Report) -> dict:
    """Reports what each file is; a file that cannot be read does not hide the others."""
    told = {}
    for path in options.files:
        try:
            told[str(path)] = facts = describe(path)
            report(Log(f"{path}: " + ", ".join(f"{key} {value}" for key, value in facts.items())))
        except RvcError as error:
            report(ItemFailed(str(path), str(error)))
    if not told:
        raise BadInput("none of the files could be read", "see the reasons above")
    return {"files": told, "failed": len(options.files) - len(told)}


def change_info(options: SetInfoOptions, report: Report) -> dict:
    """Rewrites a voice with another text, in place or under a new name."""
    target = voice_path(options.weights, options.name) if options.name else options.voice
    same = target.exists() and target.resolve() == options.voice.resolve()
    if not same:
        _refuse_other(target, read_voice(options.voice), options.overwrite)
    asked = {key: getattr(options, key) for key in ("author", "licence")}
    terms = {key: text for key, text in asked.items() if text is not None}
    set_info(options.voice, target, options.info, terms)
    return {"voice": str(target), "info": options.info, **terms}


def compare(options: CompareOptions, report: Report) -> dict:
    """Reports the similarity of two voices."""
    alike = compare_voices(read_voice(options.first), read_voice(options.second))
    for group, cosine in alike.groups.items():
        report(Log(f"{group}: {cosine:.6f}"))
    if alike.identical:
        report(Log("the two voices are identical"))
    return {
        "similarity": round(alike.overall, 6),
        "largest_difference": alike.largest_difference,
        "identical": alike.identical,
        "groups": {group: round(cosine, 6) for group, cosine in alike.groups.items()},
    }


def describe(path: Path) -> dict[str, Any]:
    """Facts about a weight file, ready to show. Raises RvcError for a damaged or unsafe one."""
    kind = kind_of(path)
    if kind in ("voice", "base", "damaged", "unsafe", "empty", "folder"):
        return _voice_facts(read_voice(path))
    facts = {"kind": KIND_WORDS[kind]}
    if kind in ("generator", "discriminator"):
        checkpoint = read_training(path)
        facts |= {"epoch": checkpoint.iteration, "tensors": len(checkpoint.model)}
        facts["optimizer"] = "yes" if checkpoint.optimizer.get("state") else "no"
    return facts


def voice_path(folder: Path, name: str) -> Path:
    """`folder/name.pth`; the suffix may be given. Raises BadInput for a name that is no file name."""
    return inside(folder, safe_name(name, "voice name").removesuffix(SUFFIX) + SUFFIX)


def _voice_facts(voice: VoiceFile) -> dict[str, Any]:
    spec = voice.spec
    facts = {
        "kind": KIND_WORDS["voice"],
        "info": voice.info or "-",
        "version": spec.version,
        "sample_rate": spec.sample_rate,
        "use_f0": spec.use_f0,
        "speakers": spec.n_speakers,
        "encoder": voice.encoder or "hubert",
        "parameters": sum(tensor.numel() for tensor in voice.weights.values()),
    }
    if median_hz := median_of(voice.extra):
        facts["median_hz"] = median_hz
    if names := names_of(voice.extra):
        facts["speaker_names"] = ", ".join(f"{number} {name}" for number, name in enumerate(names) if name)
    facts |= {key: str(voice.extra[key]) for key in _SHOWN_EXTRAS if voice.extra.get(key)}
    if (noise := noise_scale_of(voice.extra)) is not None:
        facts["noise_scale"] = noise
    if (gain := gain_of(voice.extra)) is not None:
        facts["gain_db"] = gain
    if voice.fill_unvoiced:
        facts["fill_unvoiced"] = True
    if voice.fused:
        facts["weight_norm"] = f"removed from {len(voice.fused)} layers"
    return facts


def _write(target: Path, voice: VoiceFile, overwrite: bool, order: str) -> dict:
    _refuse_other(target, voice, overwrite)
    write_voice(target, voice, order)
    return {"voice": str(target), **_voice_facts(voice)}


def _refuse_other(target: Path, voice: VoiceFile, overwrite: bool) -> None:
    """Raises BadInput if `target` is another voice than the one to be written, and may not be replaced."""
    if overwrite or not target.exists():
        return
    try:
        same = _same(read_voice(target), voice)
    except RvcError:
        same = False
    if not same:
        raise BadInput(f"{target} exists and holds another voice", "choose another name, or --overwrite")


def _same(stored: VoiceFile, voice: VoiceFile) -> bool:
    if stored.weights.keys() != voice.weights.keys() or stored.spec.sample_rate != voice.spec.sample_rate:
        return False
    return all(
        tensor.shape == stored.weights[name].shape
        and bool((tensor.half() == stored.weights[name].half()).all())
        for name, tensor in voice.weights.items()
    )


def _kind(voice: VoiceFile) -> str:
    spec = voice.spec
    return f"{spec.version} {spec.rate_label} {'with' if spec.use_f0 else 'without'} pitch guidance"


def _mix_text(options: MergeOptions) -> str:
    shares = options.weight or ("equal",)
    names = " + ".join(path.stem for path in options.voices)
    return f"{names} ({', '.join(str(share) for share in shares)})"


_STAGE = "ckpt"
_ACTIONS: dict[type, Callable[[Any, Report], dict]] = {
    ExtractOptions: extract,
    MergeOptions: merge,
    ShowOptions: show,
    SetInfoOptions: change_info,
    CompareOptions: compare,
    ExportOptions: export,
    ImportOptions: import_voice,
    DeleteOptions: delete,
}
