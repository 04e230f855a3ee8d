"""Work on weight files for the page: the commands of the ckpt stage, and what they say as HTML."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from infer.jobs.command import Command
from infer.jobs.events import Event, Finished, ItemFailed
from infer.jobs.runner import Runner, StageFailed, Step
from infer.lib.errors import RvcError
from infer.web.convert_texts import note
from infer.web.errors_i18n import translated_text, translated_words
from infer.web.handlers import reason
from infer.web.i18n import known, say

STAGE = "ckpt"
MODULE = "infer.stages.ckpt"


@dataclass(frozen=True)
class Work:
    """What a command did: its line, the summary it ended with, and why it failed (empty: it did not)."""

    line: str
    summary: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def written(self) -> Path:
        """The voice that it wrote."""
        return Path(self.summary["voice"])


def steps_of(options: Any, language: str) -> Iterator[str | Work]:
    """First what to show meanwhile, as HTML; then the Work. Nothing is raised for expected failures."""
    command = Command(MODULE, options)
    yield note(say(language, "ckpt.working")) + command_box(command.display(), language)
    yield run_action(command, language)


def run_action(command: Command, language: str) -> Work:
    """Runs one command of the stage to its end; its line goes to the console too."""
    line = command.display()
    _print(f"$ {line}")
    said: list[Event] = []
    try:
        Runner(said.append).run_step(Step(STAGE, [command]))
    except StageFailed as failure:
        reasons = [event.reason for event in said if isinstance(event, ItemFailed)] or [failure.hint]
        return Work(line, failure="; ".join(translated_text(text, language) for text in reasons))
    except OSError as error:  # the command could not be started
        return Work(line, failure=reason(error, language))
    finished = next((event for event in said if isinstance(event, Finished)), None)
    return Work(line, finished.summary if finished else {})


def outcome(work: Work, language: str, html: str = "") -> str:
    """The failure, else `html`; the command line below."""
    told = note(work.failure, "bad") if work.failure else html
    return told + command_box(work.line, language)


def written_note(work: Work, language: str) -> str:
    """Where the new voice is, and where it can be chosen."""
    path = work.written
    return note(say(language, "ckpt.written", name=path.name, path=path), "good")


def command_box(line: str, language: str) -> str:
    """The exact command, to be opened."""
    title = escape(say(language, "ckpt.command"))
    return f'<details class="rvc-command-box"><summary>{title}</summary><pre>{escape(line)}</pre></details>'


def table(rows: dict[str, Any], language: str, words: str = "ckpt.fact.") -> str:
    """Names and values side by side; names with a text of their own are translated."""
    cells = "".join(
        f"<tr><th>{escape(_name(key, language, words))}</th><td>{escape(_value(value, language))}</td></tr>"
        for key, value in rows.items()
    )
    return f'<table class="rvc-facts">{cells}</table>'


def error_note(error: RvcError | OSError, language: str) -> str:
    return note(reason(error, language), "bad")


def _name(key: str, language: str, words: str) -> str:
    text = f"{words}{key.replace(' ', '_')}"
    return say(language, text) if known(text) else key


def _value(value: Any, language: str) -> str:
    if isinstance(value, bool):
        return say(language, "ckpt.yes" if value else "ckpt.no")
    return translated_words(str(value), language)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
