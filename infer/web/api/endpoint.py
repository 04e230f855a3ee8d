"""A named endpoint from a dataclass: its fields, in their order, are the parameters clients send.

Calls by position keep RVC's order and calls by name are checked by Gradio's client. The values are
parsed here, since clients send what RVC's page would have sent: "Yes", 5.0, a file or its path.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import FileData

from infer.lib.errors import BadInput
from infer.web.handlers import guarded

# RVC sends the labels of its radio buttons in the language of its page.
TRUE_WORDS = ("true", "yes", "on", "1", "是", "はい", "예", "네", "sí", "oui", "да")
FALSE_WORDS = ("false", "no", "off", "0", "否", "いいえ", "아니요", "아니오", "non", "нет", "")


def add_endpoint(request: type, handle: Callable[[Any], Any], returns: type, name: str, **settings) -> None:
    """Adds `/name` to the Blocks being built; `handle` gets a filled `request`."""

    def call(*values: Any) -> Any:
        return handle(filled(request, values))

    call.__signature__ = _signature(request, returns)
    call.__annotations__ = {**_hints(request), "return": returns}
    call.__name__ = name
    gr.api(guarded(call), api_name=name, api_description=request.__doc__, **settings)


def filled(request: type, values: tuple) -> Any:
    """The request with `values` for its first fields. BadInput names the parameter that does not fit."""
    hints = _hints(request)
    fields = [field.name for field in dataclasses.fields(request)]
    pairs = zip(fields, values, strict=False)
    return request(**{name: _parsed(name, hints[name], value) for name, value in pairs})


def truth(name: str, value: Any) -> bool:
    """A yes or no as RVC's page or a program says it."""
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise BadInput(f"{name} is {value!r}", "say yes or no")


def _parsed(name: str, hint: Any, value: Any) -> Any:
    if hint is bool:
        return truth(name, value)
    if hint in (int, float):
        return _number(name, hint, value)
    if typing.get_origin(hint) is list:
        return [_file(item) for item in value or []]
    if hint is FileData or FileData in typing.get_args(hint):
        return _file(value)
    return "" if value is None else str(value)


def _number(name: str, kind: type, value: Any) -> int | float:
    try:
        number = kind(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{name} is {value!r}", "give a number") from error
    return number


def _file(value: Any) -> Path | None:
    """The path of an uploaded file, or one on this machine given as text. None for nothing."""
    path = value.get("path") if isinstance(value, dict) else getattr(value, "path", value)
    text = str(path or "").strip(" \t\r\n\"'")
    return Path(text) if text else None


def _hints(request: type) -> dict[str, Any]:
    hints = typing.get_type_hints(request)
    return {field.name: hints[field.name] for field in dataclasses.fields(request)}


def _signature(request: type, returns: type) -> inspect.Signature:
    parameters = []
    for field in dataclasses.fields(request):
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(field.name, kind, default=default))
    return inspect.Signature(parameters, return_annotation=returns)
