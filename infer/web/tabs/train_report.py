"""The recordings report as the page shows it: the verdict first, then the numbers, then every file."""

from collections.abc import Iterable
from html import escape

from infer.web.advice import Advice, advise
from infer.web.errors_i18n import translated_words
from infer.web.i18n import say

MOST_ROWS = 200


def report_html(report: dict | None, language: str) -> str:
    """The whole report; empty without one. Never fails on a report of another version."""
    if not report:
        return ""
    advice = advise(report)
    parts = [verdict(advice, language), _numbers(report, language), _left_out(report, language)]
    return f'<div class="rvc-report">{"".join(parts)}{_table(report, language)}</div>'


def verdict(advice: Advice, language: str) -> str:
    """What the minutes are good for, and the epochs that follow from minutes and quality."""
    kind = "bad" if advice.needs_confirmation else "good" if advice.band in ("10_50", "above_50") else "fair"
    sentences = (
        say(language, f"train.verdict.{advice.band}"),
        say(language, f"train.quality.{advice.quality}"),
        say(language, "train.verdict.epochs", epochs=advice.epochs),
    )
    return f'<p class="rvc-verdict rvc-{kind}">{" ".join(map(escape, sentences))}</p>'


def _numbers(report: dict, language: str) -> str:
    pairs = [
        ("minutes", _minutes(report, language)),
        ("clips", _text(report.get("clips"))),
        ("recordings", _text(report.get("recordings"))),
        ("speakers", _text(report.get("speakers"))),
        ("clipped", _percent(report.get("clipped"))),
        ("noise_floor", _text(report.get("noise_floor_db"), " dB")),
        ("pitch", _pitch(report.get("pitch_hz"))),
    ]
    cells = "".join(
        f"<div><dt>{escape(say(language, f'train.report.{name}'))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f"<dl>{cells}</dl>"


def _left_out(report: dict, language: str) -> str:
    """Clips and files that are not used, with the reasons."""
    clips = [
        f"{count} × {reason_text(reason, language)}" for reason, count in _pairs(report, "clips_left_out")
    ]
    files = [f"{name}: {reason_text(reason, language)}" for name, reason in _pairs(report, "failed")]
    parts = []
    for key, items in (("left_out_clips", clips), ("left_out_files", files)):
        if items:
            parts.append(
                f"<p><b>{escape(say(language, f'train.report.{key}'))}</b> {_join(items, language)}</p>"
            )
    return "".join(parts)


def reason_text(reason: object, language: str) -> str:
    """The words of the slicer in the language of the page; longer reasons stay as they are."""
    key = {
        "too short": "train.reason.too_short",
        "silent": "train.reason.silent",
        "far too loud": "train.reason.too_loud",
        "broken": "train.reason.broken",
    }.get(str(reason))
    return say(language, key) if key else translated_words(str(reason), language)


def _table(report: dict, language: str) -> str:
    """Every recording, the worst first; closed at first."""
    files = [entry for entry in report.get("files") or [] if isinstance(entry, dict)]
    if not files:
        return ""
    heads = ("file", "usable", "clips", "left_out", "clipped", "noise_floor")
    head = "".join(f"<th>{escape(say(language, f'train.report.{name}'))}</th>" for name in heads)
    rows = "".join(_row(entry, language) for entry in worst_first(files)[:MOST_ROWS])
    title = escape(say(language, "train.report.each"))
    rest = len(files) - MOST_ROWS
    more = f"<p>{escape(say(language, 'train.report.more', count=rest))}</p>" if rest > 0 else ""
    return (
        f"<details><summary>{title}</summary><div class='rvc-scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{more}</details>"
    )


def worst_first(files: Iterable[dict]) -> list[dict]:
    """Recordings that gave nothing, then clipped ones, then noisy ones."""
    return sorted(
        files,
        key=lambda entry: (
            bool(entry.get("clips")),
            -float(entry.get("clipped") or 0),
            -float(entry.get("noise_floor_db") or -120),
            str(entry.get("name")),
        ),
    )


def _row(entry: dict, language: str) -> str:
    left_out = [f"{n} {reason_text(reason, language)}" for reason, n in _pairs(entry, "left_out")]
    left_out += [reason_text(entry["error"], language)] if entry.get("error") else []
    usable, seconds = float(entry.get("usable_s") or 0), float(entry.get("seconds") or 0)
    cells = (
        str(entry.get("name", "")),
        say(language, "train.report.of_seconds", usable=_text(usable), seconds=_text(seconds)),
        _text(entry.get("clips")),
        ", ".join(left_out) or "–",
        _percent(entry.get("clipped")),
        _text(entry.get("noise_floor_db"), " dB") if entry.get("clips") else "–",
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _pairs(values: dict, name: str) -> list[tuple]:
    found = values.get(name)
    return list(found.items()) if isinstance(found, dict) else []


def _join(items: list[str], language: str, most: int = 8) -> str:
    shown = "; ".join(escape(item) for item in items[:most])
    rest = len(items) - most
    return shown + (f"; {escape(say(language, 'train.report.more', count=rest))}" if rest > 0 else "")


def _minutes(report: dict, language: str) -> str:
    usable, recorded = (_text(report.get(name)) for name in ("usable_minutes", "recorded_minutes"))
    return say(language, "train.report.of_minutes", usable=usable, recorded=recorded)


def _percent(share: object) -> str:
    return f"{100 * float(share):.2f} %" if isinstance(share, int | float) else "–"


def _pitch(pitch: object) -> str:
    """Low, median and high in Hz."""
    if not isinstance(pitch, dict) or not all(isinstance(hz, int | float) for hz in pitch.values()):
        return "–"
    return " – ".join(f"{pitch[name]:.0f}" for name in ("low", "median", "high") if name in pitch) + " Hz"


def _text(value: object, unit: str = "") -> str:
    if value is None:
        return "–"
    return (f"{value:.1f}" if isinstance(value, float) else str(value)) + unit
