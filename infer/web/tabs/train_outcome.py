"""What became of the last job of an experiment: finished with both files, or which stage failed and why."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infer.web.errors_i18n import translated_text
from infer.web.i18n import known, say
from infer.web.tabs.train_html import box, note
from infer.web.train_facts import ExperimentFacts
from infer.web.train_steps import INDEX, TRAIN, shown

if TYPE_CHECKING:
    from infer.jobs.detached import Job
    from infer.web.home import Home

ALIVE = ("queued", "running")


@dataclass(frozen=True)
class Outcome:
    """`html` is empty while there is nothing to say. `retry` names the steps a retry would run."""

    html: str = ""
    retry: tuple[str, ...] = ()
    wants_index: bool = False


def outcome_of(job: "Job | None", facts: ExperimentFacts, home: "Home", language: str) -> Outcome:
    """Of the newest job of the experiment. A voice without its index is told even long after."""
    if job is None or job.state in ALIVE:
        return Outcome() if job else _idle(facts, language)
    if job.state == "failed":
        steps = tuple(job.steps)[job.step :]
        reason = translated_text(job.reason, language)
        text = say(language, "train.outcome.failed", step=step_name(job, language), reason=reason)
        return Outcome(box("bad", text), retry=steps)
    if job.state != "done":
        return Outcome()  # stopped or interrupted: the job itself says so and offers to go on
    if facts.voice and facts.index and {INDEX, TRAIN} & set(job.steps):
        paths = [shown(path, home) for path in (facts.voice, facts.index)]
        return Outcome(box("good", say(language, "train.outcome.both"), paths))
    if TRAIN in job.steps or not job.steps:
        return _without_index(facts, language)
    return Outcome(box("good", say(language, "train.outcome.step", step=step_name(job, language))))


def step_name(job: "Job", language: str) -> str:
    """The step the job is, or ended, at; in words where we have them."""
    steps = list(job.steps)
    name = steps[min(job.step, len(steps) - 1)] if steps else job.title
    return step_words(name, language)


def step_words(name: str, language: str) -> str:
    key = f"job.step.{name}"
    return say(language, key) if known(key) else name


def _idle(facts: ExperimentFacts, language: str) -> Outcome:
    """Nothing was started here: what to do first, or that an index is wanting."""
    if facts.clips or facts.voice:
        return _without_index(facts, language)
    return Outcome(note(say(language, "train.outcome.begin")))


def _without_index(facts: ExperimentFacts, language: str) -> Outcome:
    if facts.voice is None or facts.index is not None or not facts.clips:
        return Outcome()
    return Outcome(box("fair", say(language, "train.outcome.no_index")), wants_index=True)
