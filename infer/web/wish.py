"""Stopping a conversion from the browser: which runs a click on Stop concerns, and what they answer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from infer.web import convert_texts
from infer.web.engine_result import Stopped
from infer.web.i18n import language_of, say


@dataclass
class Wish:
    """Counts the stops a browser asked for. One that comes after the click that asked for a run ends it,
    also when the run itself begins later: a busy server answers Stop first."""

    stops: int = 0
    before: int = 0  # stops when a run was asked for last

    def asked(self) -> None:
        """The click on Convert has arrived; its run follows."""
        self.before = self.stops

    def watch(self) -> Callable[[], bool]:
        before = self.before
        return lambda: self.stops != before


def stopped_text() -> str:
    return convert_texts.note(say(language_of(), "convert.stopped"))


def stoppable(handler: Callable, n_outputs: int) -> Callable:
    """`handler` that writes into its first output that it was stopped, which is no failure, and leaves
    the others as they are."""

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Stopped:
            return (stopped_text(), *[gr.skip()] * (n_outputs - 1))

    return wrapped
