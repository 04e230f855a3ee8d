"""The help tab: common questions with short answers, in the language of the page.

assets/help/<language>.md holds them as `## question {#q1}` and the answer below; `{train.start}` stands
for the text of that button. Each question becomes an element that opens on a click; browsers search
closed ones too, and a link to #q1 opens it.
"""

import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gradio as gr

from infer.lib.files import REPO
from infer.web.handlers import guarded
from infer.web.i18n import DEFAULT, language_of, say, t
from infer.web.page import QUIET, Page

FOLDER = REPO / "assets" / "help"
_HEADING = re.compile(r"^## (?P<question>.+) \{#(?P<anchor>q\d+)\}$", re.MULTILINE)
_LABEL = re.compile(r"\{([a-z]+\.[a-z_.]+)\}")


@dataclass(frozen=True)
class Entry:
    """A question and its answer in Markdown; `anchor` is the same in each language."""

    anchor: str
    question: str
    answer: str


def build(page: Page) -> None:
    """Adds the components of this tab."""
    with gr.Column(elem_id="rvc-help"):
        gr.Markdown(t("help.intro"))
        questions = gr.Markdown(elem_id="rvc-questions", sanitize_html=False)  # our own file, with <details>
    gr.on(None, guarded(_shown), None, questions, **QUIET)  # when the page is loaded


def entries(language: str, folder: Path = FOLDER) -> list[Entry]:
    """The questions of a language; English where there are none in it."""
    path = folder / f"{language}.md"
    if not path.is_file():
        path = folder / f"{DEFAULT}.md"
    text = path.read_text(encoding="utf-8")
    return parse(_LABEL.sub(lambda match: say(language, match[1]), text))


def parse(text: str) -> list[Entry]:
    """Splits a help file at its headings."""
    found = list(_HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        Entry(match["anchor"], match["question"], text[match.end() : end].strip())
        for match, end in zip(found, ends, strict=True)
    ]


@cache
def as_details(language: str) -> str:
    """Markdown with one collapsible element for each question.

    The anchor stands inside the collapsed part: browsers open what a link points into.
    """
    return "\n\n".join(
        f"<details><summary>{html.escape(entry.question)}</summary>"
        f'<span id="{entry.anchor}"></span>\n\n{entry.answer}\n\n</details>'
        for entry in entries(language)
    )


def _shown() -> str:
    return as_details(language_of())
