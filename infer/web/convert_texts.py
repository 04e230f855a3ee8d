"""What the Convert tab says, as finished HTML: facts of a voice, of a result, of a suggested key."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from infer.lib.errors import RvcError
from infer.lib.models.spec import rate_label
from infer.web.handlers import reason
from infer.web.i18n import known, say
from infer.web.pitch_advice import Suggestion

if TYPE_CHECKING:
    from infer.lib.index_choice import IndexChoice
    from infer.lib.voice_header import FileHeader
    from infer.web.engine_result import Result

PHASES = ("load", "f0", "features", "index", "synthesis")


def note(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is "", "good", "warn" or "bad"."""
    return f'<p class="rvc-note {f"rvc-{kind}" if kind else ""}">{escape(text)}</p>'


def chips(parts: Iterable[str]) -> str:
    """Short facts side by side."""
    return '<div class="rvc-chips">' + "".join(f"<span>{escape(part)}</span>" for part in parts) + "</div>"


def voice_facts(header: "FileHeader", language: str) -> str:
    """Version, rate, pitch, speakers, encoder, median pitch, and what its maker wrote."""
    facts = [
        header.version,
        rate_label(header.sample_rate),
        say(language, "convert.fact.with_pitch" if header.use_f0 else "convert.fact.without_pitch"),
        say(language, "convert.fact.encoder", name=encoder_name(header.encoder)),
    ]
    speakers = sum(map(bool, header.speaker_names)) or header.n_speakers
    if speakers > 1:
        facts.append(say(language, "convert.fact.speakers", count=speakers))
    if header.median_hz:
        facts.append(say(language, "convert.fact.median", hz=f"{header.median_hz:.0f}"))
    for key in ("info", "author", "licence"):
        if text := getattr(header, key):
            facts.append(say(language, f"convert.fact.{key}", text=text))
    return chips(facts)


def encoder_name(encoder: str | None) -> str:
    """Without the fingerprint; RVC's files were made with HuBERT."""
    return (encoder or "hubert").partition(":")[0]


def index_facts(choice: "IndexChoice", voice: str, language: str) -> str:
    """Which index was chosen for the voice, or why none."""
    if choice.path is not None:
        return note(say(language, "convert.index_found", index=choice.path.name), "good")
    return note(say(language, "convert.index_none", voice=voice))


def problem_list(errors: dict[str, RvcError], language: str) -> str:
    """Files that cannot be used, each with its reason."""
    return bullet_list((name, reason(error, language)) for name, error in errors.items())


def bullet_list(pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<li><strong>{escape(name)}</strong> {escape(text)}</li>" for name, text in pairs)
    return f'<ul class="rvc-list">{items}</ul>'


def result_facts(result: "Result", language: str) -> str:
    """Length and time, method, index, device, then warnings."""
    total = sum(result.seconds.values())
    facts = [
        say(language, "convert.done", seconds=f"{result.duration_s:.1f}", took=f"{total:.1f}"),
        say(language, "convert.fact.rate", rate=result.sample_rate),
        say(language, "convert.fact.device", name=result.device),
    ]
    if result.f0_method:
        facts.append(say(language, "convert.fact.method", name=result.f0_method))
    if result.index_used is not None:
        facts.append(say(language, "convert.fact.index", name=result.index_used.name))
    if result.n_pieces > 1:
        facts.append(say(language, "convert.fact.pieces", count=result.n_pieces))
    return chips(facts) + _timings(result.seconds, language) + warnings(result.warnings, language)


def warnings(sentences: Sequence[str], language: str) -> str:
    """One paragraph for each."""
    return "".join(note(warning_text(sentence, language), "warn") for sentence in sentences)


def warning_text(sentence: str, language: str) -> str:
    """A note of the pipeline in the page's language; others as they are."""
    key = f"convert.warning.{getattr(sentence, 'kind', '')}"
    return say(language, key, **sentence.values) if known(key) else str(sentence)


def suggestion_text(suggestion: Suggestion, language: str) -> str:
    """Why this key: both medians, and whole octaves for songs over a backing track."""
    values = {"source": f"{suggestion.source_hz:.0f}"}
    if suggestion.voice_hz is None:
        return note(say(language, "convert.key_unknown", **values))
    values |= {"voice": f"{suggestion.voice_hz:.0f}", "key": f"{suggestion.semitones:+d}"}
    text = say(language, "convert.key_suggested", **values)
    if suggestion.semitones != suggestion.octaves:
        text += " " + say(language, "convert.key_octaves", key=f"{suggestion.octaves:+d}")
    return note(text)


def batch_state(done: int, failed: int, total: int, language: str) -> str:
    return note(say(language, "convert.batch_state", done=done, failed=failed, total=total))


def _timings(seconds: dict[str, float], language: str) -> str:
    parts = [
        say(language, "convert.phase", name=say(language, f"convert.phase.{phase}"), seconds=f"{value:.2f}")
        for phase in PHASES
        if (value := seconds.get(phase, 0)) >= 0.005
    ]
    return note(" · ".join(parts)) if parts else ""


def short(path: Path, most: int = 40) -> str:
    """A file name that fits into a label."""
    return path.name if len(path.name) <= most else path.name[: most - 1] + "…"
