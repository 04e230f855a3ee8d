"""Results of one recording that are kept to be compared, labelled by what differs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from infer.lib.index_choice import experiment_of
from infer.lib.starter_files import voice_name
from infer.vc.options import ConvertOptions
from infer.web.ab_player import MOST
from infer.web.engine_result import Result
from infer.web.i18n import known, say

_NOT_HEARD = ("format", "save_f0")


@dataclass(frozen=True)
class Pin:
    """One result to compare."""

    path: Path
    source: str  # tells recordings apart
    voice: Path
    options: ConvertOptions
    index: str  # file name, or ""


def pin_of(result: Result) -> Pin:
    index = result.index_used.name if result.index_used else ""
    return Pin(result.path, str(result.source), result.voice, result.options, index)


def pinned(pins: Sequence[Pin], new: Pin) -> list[Pin]:
    """With `new` at the end: only those of the same recording, the last four, none twice."""
    kept = [pin for pin in pins if pin.source == new.source and pin.path != new.path and pin.path.is_file()]
    return [*kept, new][-MOST:]


def labels(pins: Sequence[Pin], language: str) -> list[str]:
    """What sets each apart from the others; the voice's name where nothing does."""
    facts = [_facts(pin, pins, language) for pin in pins]
    differing = [name for name in facts[0] if len({fact[name] for fact in facts}) > 1] if facts else []
    return [
        ", ".join(fact[name] for name in differing if fact[name]) or voice_name(pin.voice)
        for fact, pin in zip(facts, pins, strict=True)
    ]


def _facts(pin: Pin, pins: Sequence[Pin], language: str) -> dict[str, str]:
    """Every fact in words; those that differ become the label."""
    facts = {"voice": _voice(pin, pins, language)}
    for field in fields(ConvertOptions):
        if field.name not in _NOT_HEARD:
            facts[field.name] = _words(field.name, getattr(pin.options, field.name), language)
    facts["index"] = pin.index or say(language, "convert.differs.no_index")
    return facts


def _voice(pin: Pin, pins: Sequence[Pin], language: str) -> str:
    """Voices of one experiment differ by what stands behind its name: the epoch."""
    experiments = {experiment_of(other.voice) for other in pins}
    tail = pin.voice.stem.removeprefix(experiment_of(pin.voice)).strip("_")
    if len(experiments) > 1 or not tail:
        return voice_name(pin.voice)
    return say(language, "convert.differs.epoch", value=tail.split("_")[0].removeprefix("e"))


def _words(name: str, value: object, language: str) -> str:
    key = f"convert.differs.{name}"
    if value is None:  # an option that was left alone
        return ""
    if name == "f0_up_key":
        value = f"{value:+g}"
    elif isinstance(value, Path):
        value = value.name
    return say(language, key, value=value) if known(key) else f"{name} {value}"
