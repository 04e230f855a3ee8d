"""What every event handler of the page is wrapped in: a failure becomes one sentence."""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from infer.lib.errors import RvcError
from infer.web.errors_i18n import translated
from infer.web.i18n import language_of, say

log = logging.getLogger(__name__)


def guarded(handler: Callable) -> Callable:
    """`handler` whose failures are shown as their real reason, in the language of the page.

    Expected ones (RvcError, ValueError, OSError) as they are; others are bugs: their traceback goes to
    the console, their type and text to the page. Plain functions and generators alike.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def wrapped(*args: Any, **kwargs: Any):
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the outermost frame of the page
                raise bubble(error) from error
    else:

        @functools.wraps(handler)
        def wrapped(*args: Any, **kwargs: Any):
            try:
                return handler(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the outermost frame of the page
                raise bubble(error) from error

    return wrapped


def bubble(error: Exception) -> gr.Error:
    """The error as the page shows it; it is never empty."""
    if isinstance(error, gr.Error):
        return error
    return gr.Error(reason(error, language_of()), print_exception=False)


def reason(error: Exception, language: str) -> str:
    """One sentence: what happened and what to do."""
    if isinstance(error, RvcError | OSError) or (isinstance(error, ValueError) and str(error)):
        return translated(error, language)
    log.error("a handler of the page failed", exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return say(language, "common.bug", error=text)
