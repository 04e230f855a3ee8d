"""The System tab's facts as HTML in the user's language. Pure: no components."""

from collections.abc import Sequence
from html import escape

from infer.lib.models.spec import RATE_LABELS
from infer.web.errors_i18n import translated_text, translated_words
from infer.web.i18n import say
from infer.web.machine import Device, Facts, Finding
from tools.asset_list import Presence

MEGABYTE = 10**6
FINDINGS = {"free disk": "system.disk"}  # the doctor's own names, where they are words


def status(facts: Facts | None, language: str) -> str:
    """One sentence, and below it what needs attention with its remedy."""
    if facts is None:
        return _note(say(language, "system.asking"))
    if facts.failure:
        reason = translated_text(facts.failure, language)
        return _note(say(language, "system.no_answer", reason=reason), "bad")
    if not facts.problems:
        return _note(say(language, "system.good"), "good")
    if facts.works:
        sentence = _note(say(language, "system.minor", count=len(facts.problems)), "good")
    else:
        sentence = _note(say(language, "system.broken"), "bad")
    head = [say(language, f"system.{name}") for name in ("what", "state", "remedy")]
    return sentence + table(head, [_problem(finding, language) for finding in facts.problems])


def devices(facts: Facts | None, language: str) -> str:
    """The GPUs by name, with the reason against those that cannot be used."""
    if facts is None or facts.failure:
        return ""
    if not facts.devices:
        return _note(say(language, "system.no_gpu"), "good")
    head = [say(language, f"system.{name}") for name in ("gpu", "memory", "capability", "state")]
    return table(head, [_device(device, language) for device in facts.devices])


def precision(facts: Facts | None, device: str, language: str) -> str:
    """What conversion and training compute in on a device."""
    settings = facts.settings.get(device) if facts else None
    if not settings:
        return ""
    chosen = {"conversion": settings["precision"], "training": settings["training_precision"]}
    return _note(say(language, "system.precision", **chosen), "good") + _note(
        say(language, "system.precision_note")
    )


def model(found: Presence, language: str) -> str:
    """Name, use and state of a group of downloads."""
    kind, _, rate = found.name.rpartition("_")
    of_rate = rate in RATE_LABELS
    use = (
        say(language, f"system.for.{kind}", rate=rate)
        if of_rate
        else say(language, f"system.for.{found.name}")
    )
    size = "" if not found.bytes else f" · {found.bytes / MEGABYTE:.0f} MB"
    good = " rvc-job-good" if found.complete else ""
    badge = f'<span class="rvc-job-badge{good}">{escape(model_state(found, language))}</span>'
    note = f'<span class="rvc-note">{escape(use + size)}</span>'
    return f'<div class="rvc-model"><b>{escape(found.name)}</b>{badge}{note}</div>'


def model_state(found: Presence, language: str) -> str:
    if found.complete:
        return say(language, "system.present")
    if found.short:
        return say(language, "system.short")
    if found.there:
        return say(language, "system.partly", there=found.there, wanted=found.wanted)
    return say(language, "system.absent")


def machine(facts: Facts | None, language: str) -> str:
    """Memory, disk, cores and the versions of everything with native code."""
    if facts is None or facts.failure:
        return ""
    known = {finding.name: finding.value for finding in facts.section("system")}
    rows = [
        ("system.os", known.get("system", "")),
        ("system.cores", known.get("cores", "")),
        ("system.workers", str(facts.settings.get("auto", {}).get("workers", ""))),
        ("system.ram", _free(facts.free_ram_gib, facts.ram_gib, language)),
        ("system.disk", _free(facts.free_disk_gib, facts.disk_gib, language)),
    ]
    chips = [f"{say(language, key)}: {value}" for key, value in rows if value]
    chips.append(f"Python {known.get('Python', '')}")
    chips += [_version(finding, language) for finding in facts.section("libraries")]
    return f'<div class="rvc-chips">{"".join(f"<span>{escape(chip)}</span>" for chip in chips)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that becomes a list of cards on a narrow screen."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-title="{escape(title)}">{escape(cell)}</td>'
            for title, cell in zip(head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table class="rvc-table"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _device(device: Device, language: str) -> list[str]:
    memory = f"{device.memory_gib:.0f} GiB"
    if device.free_gib is not None:
        memory = _free(device.free_gib, device.memory_gib, language)
    problem = translated_words(device.problem, language) or say(language, "system.usable")
    return [f"{device.device} {device.name}", memory, device.capability, problem]


def _problem(finding: Finding, language: str) -> list[str]:
    words = [translated_words(text, language) for text in (finding.value, finding.remedy)]
    name = say(language, FINDINGS[finding.name]) if finding.name in FINDINGS else finding.name
    return [name, *words]


def _version(finding: Finding, language: str) -> str:
    value = say(language, "system.not_loading") if finding.remedy else finding.value
    return f"{finding.name} {value}"


def _free(free_gib: float, total_gib: float, language: str) -> str:
    return say(language, "system.free_of", free=f"{free_gib:.0f}", total=f"{total_gib:.0f}")


def _note(sentence: str, kind: str = "") -> str:
    return f'<p class="rvc-note{kind and f" rvc-{kind}"}">{escape(sentence)}</p>'
