"""The help tab: the same questions in every language, each answered."""

import re

import pytest

from infer.web.i18n import LANGUAGES, texts
from infer.web.tabs.help import FOLDER, Entry, as_details, entries, parse
from tests.test_floors import ROOT

ANCHORS = [f"q{number}" for number in range(1, 19)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_questions_are_there_with_the_same_anchors(language):
    found = entries(language)
    assert [entry.anchor for entry in found] == ANCHORS
    assert len({entry.question for entry in found}) == len(ANCHORS)
    for entry in found:
        assert len(entry.answer) > 80, entry.anchor


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_files_and_links_are_the_same_in_each_language(language):
    """What stands in code font or behind a link is never translated."""
    literal = re.compile(r"`([^`]+)`|\]\((\S+)\)|^    (\S.+)$", re.MULTILINE)
    for english, entry in zip(entries("en"), entries(language), strict=True):
        assert set(literal.findall(entry.answer)) == set(literal.findall(english.answer)), entry.anchor


@pytest.mark.parametrize("language", LANGUAGES)
def test_controls_are_called_what_they_are_called(language):
    """The same controls are named in each language, by the label they have on the page."""
    label = re.compile(r"\{([a-z]+\.[a-z_.]+)\}")
    named = label.findall((FOLDER / f"{language}.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(label.findall((FOLDER / "en.md").read_text(encoding="utf-8")))
    assert not label.search(as_details(language))
    assert texts(language)["train.index"] in entries(language)[0].answer


def test_named_files_exist():
    text = "\n".join(entry.answer for entry in entries("en"))
    for name in ("config.py", "go-web.sh", "go-web.bat"):
        assert name in text
        assert (ROOT / name).is_file()


def test_parsing():
    text = "## A <question>? {#q1}\n\nYes.\n\n    code\n\n## Another {#q2}\nNo.\n"
    assert parse(text) == [Entry("q1", "A <question>?", "Yes.\n\n    code"), Entry("q2", "Another", "No.")]


def test_a_language_without_help_gets_english():
    assert entries("fr") == entries("en")


def test_each_question_is_a_collapsible_with_its_anchor_inside():
    shown = as_details("ko")
    assert shown.count("<details>") == shown.count("</details>") == len(ANCHORS)
    assert shown.index("</summary>") < shown.index('id="q1"') < shown.index("</details>")
    assert "&quot;Expecting value" in shown
