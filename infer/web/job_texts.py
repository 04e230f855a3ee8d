"""A job in the words of the page: its state, its step, how long it still takes. Pure: no components."""

from dataclasses import dataclass, replace
from html import escape

from infer.jobs.detached import Job
from infer.jobs.progress import JobProgress
from infer.web.errors_i18n import translated_text
from infer.web.i18n import known, say

MINUTE_S, HOUR_S = 60, 3600
BADGES = {"running": "work", "queued": "wait", "done": "good", "failed": "bad"}  # others: "rest"


@dataclass(frozen=True)
class Moment:
    """When a job is looked at, and the title of what runs meanwhile ("": nothing else)."""

    now_s: float
    elsewhere: str = ""


def head_html(job: Job, progress: JobProgress, language: str, moment: Moment) -> str:
    """Title, state, progress bar, and one line that says how it stands."""
    state = say(language, "job.state.stopping" if job.stopping else f"job.state.{job.state}")
    badge = BADGES.get(job.state, "rest")
    parts = [
        f'<div class="rvc-job-title"><span>{escape(said_title(job.title, language))}</span>'
        f'<span class="rvc-job-badge rvc-job-{badge}">{escape(state)}</span></div>',
        _bar(job, progress, language),
    ]
    lines = _lines(job, progress, language, moment.now_s)
    if moment.elsewhere:
        lines.append(say(language, "job.elsewhere", title=said_title(moment.elsewhere, language)))
    parts += [f'<div class="rvc-job-line">{escape(line)}</div>' for line in lines]
    return f'<div class="rvc-job" data-state="{escape(job.state)}">{"".join(filter(None, parts))}</div>'


def said_title(title: str, language: str) -> str:
    """`singer: preprocess, index` with the steps in the user's language; other titles as they are."""
    name, colon, steps = title.rpartition(": ")
    words = steps.split(", ")
    if not colon or not all(known(f"job.step.{word}") for word in words):
        return title
    return f"{name}: {', '.join(step_name(word, language) for word in words)}"


def step_name(step: str, language: str) -> str:
    """The stage in the user's language; one that has no name there as it is."""
    key = f"job.step.{step}"
    return say(language, key) if known(key) else step


def duration(seconds: float, language: str) -> str:
    """`2 h 5 min`, `12 min`, `40 s`."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return say(language, "job.time.seconds", seconds=whole)
    minutes = round(seconds / MINUTE_S)
    if minutes < HOUR_S // MINUTE_S:
        return say(language, "job.time.minutes", minutes=minutes)
    return say(language, "job.time.hours", hours=minutes // 60, minutes=minutes % 60)


def _bar(job: Job, progress: JobProgress, language: str) -> str:
    if job.state not in ("running", "interrupted", "stopped", "failed") or not progress.step:
        return ""
    fraction = progress.fraction
    label = escape(_where(job, progress, language))
    if fraction is None:
        unknown = " rvc-job-unknown" if job.state == "running" else ""
        return f'<div class="rvc-job-bar{unknown}" role="progressbar" aria-label="{label}"><div></div></div>'
    percent = 100 * fraction
    return (
        f'<div class="rvc-job-bar" role="progressbar" aria-label="{label}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent:.0f}"><div style="width:{percent:.1f}%"></div></div>'
    )


def _lines(job: Job, progress: JobProgress, language: str, now_s: float) -> list[str]:
    took = (
        duration((now_s if job.ended_s is None else job.ended_s) - job.started_s, language)
        if job.started_s is not None
        else ""
    )
    if job.state == "queued":
        if job.ahead:
            return [say(language, "job.ahead", jobs=job.ahead)]
        return [say(language, "job.starting")]
    if job.state == "running":
        lines = [_where(job, progress, language)]
        if progress.eta_s is not None and not job.stopping:
            lines[0] += " · " + say(language, "job.eta", time=duration(progress.eta_s, language))
        return [*lines, say(language, "job.since", time=took)]
    if job.state == "done":
        return [say(language, "job.took", time=took)]
    where = [_where(job, progress, language)] if progress.step else []
    if job.state == "failed":
        return [*where, translated_text(job.reason, language)]
    return [*where, say(language, f"job.note.{job.state}")]


def _where(job: Job, progress: JobProgress, language: str) -> str:
    """`Step 2 of 4: Pitch · 37 of 120 · song.wav`, or for training its epoch."""
    told = known(f"job.step.{progress.step}")  # a command may be a chain of stages of its own
    name = step_name(progress.step if told else _planned(job), language)
    if len(job.steps) > 1:
        name = say(language, "job.step_of", step=job.step + 1, steps=len(job.steps), name=name)
    if progress.epoch is not None:
        return f"{name} · {_epoch(job, progress, language)}"
    if progress.total:
        counted = say(language, "job.count", done=progress.done, total=progress.total)
        return " · ".join(filter(None, (name, counted, progress.item if job.state == "running" else "")))
    return name


def _epoch(job: Job, progress: JobProgress, language: str) -> str:
    """The epoch at work; of a job that has ended, the last complete one."""
    shown = progress if job.state == "running" else replace(progress, epoch=progress.done)
    text = say(language, "job.epoch", epoch=shown.epoch, total=shown.total_epochs)
    return text if job.state != "running" or not progress.part else f"{text} ({progress.part:.0%})"


def _planned(job: Job) -> str:
    return job.steps[job.step] if job.step < len(job.steps) else ""
