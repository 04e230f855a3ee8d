"""What a training set amounts to, in numbers for people: usable minutes, what was left out and why."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from infer.stages.preprocess.clips import Outcome
from infer.stages.preprocess.manifest import Source


def why_unusable(outcome: Outcome) -> str:
    """The reason why a recording gave no clip at all; empty if it gave some."""
    if outcome.clips:
        return ""
    if outcome.error:
        return outcome.error
    return (
        f"nothing to train on, {what_was_left_out(outcome)}" if outcome.left_out else "it holds only silence"
    )


def what_was_left_out(outcome: Outcome) -> str:
    """`2 clips too short, 1 silent`; empty if nothing was."""
    parts = [f"{count} {reason}" for reason, count in sorted(outcome.left_out.items())]
    return "left out " + ", ".join(parts) if parts else ""


def summarise(sources: Iterable[Source], failed: dict[str, str]) -> dict:
    """The recordings report: totals and, under `files`, one entry for each recording."""
    sources = list(sources)
    outcomes = [source.outcome for source in sources]
    left_out: Counter = sum((Counter(outcome.left_out) for outcome in outcomes), Counter())
    seconds = sum(outcome.seconds for outcome in outcomes)
    floors = [outcome.noise_floor_db for outcome in outcomes if outcome.clips]
    return {
        "recordings": len(sources),
        "clips": sum(outcome.clips for outcome in outcomes),
        "usable_minutes": round(sum(outcome.usable_s for outcome in outcomes) / 60, 2),
        "recorded_minutes": round(seconds / 60, 2),
        "speakers": len({source.speaker for source in sources if source.outcome.clips}),
        "clips_left_out": dict(left_out),
        "failed": failed,
        "clipped": round(sum(o.clipped * o.seconds for o in outcomes) / max(seconds, 1e-9), 6),
        "noise_floor_db": round(statistics.median(floors), 1) if floors else None,
        "files": [_file_entry(source) for source in sources],
    }


def _file_entry(source: Source) -> dict:
    return {"name": source.name, "speaker": source.speaker, "number": source.index, **asdict(source.outcome)}
