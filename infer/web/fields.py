"""Components made from the fields of an options dataclass: default, choices and name are written once.

The label is the text `<key>`, the help line `<key>.info` where there is one. Values are never labels.
"""

import dataclasses
from typing import Any

import gradio as gr

from infer.web.i18n import known, t


def default_of(options: type, name: str) -> Any:
    """The default of a field; None where the field must be given."""
    field = _field(options, name)
    return None if field.default is dataclasses.MISSING else field.default


def choices_of(options: type, name: str) -> list:
    return list(_field(options, name).metadata["choices"])


def slider(options: type, name: str, key: str, **settings: Any) -> gr.Slider:
    """`settings`: minimum, maximum, step, and what else gr.Slider takes."""
    return gr.Slider(**_common(options, name, key, settings))


def number(options: type, name: str, key: str, **settings: Any) -> gr.Number:
    return gr.Number(**_common(options, name, key, settings))


def checkbox(options: type, name: str, key: str, **settings: Any) -> gr.Checkbox:
    return gr.Checkbox(**_common(options, name, key, settings))


def text(options: type, name: str, key: str, **settings: Any) -> gr.Textbox:
    return gr.Textbox(**_common(options, name, key, settings))


def radio(options: type, name: str, key: str, **settings: Any) -> gr.Radio:
    settings = {"choices": settings.get("choices") or choices_of(options, name)} | settings
    return gr.Radio(**_common(options, name, key, settings))


def dropdown(options: type, name: str, key: str, **settings: Any) -> gr.Dropdown:
    settings = {"choices": settings.get("choices") or choices_of(options, name)} | settings
    return gr.Dropdown(**_common(options, name, key, settings))


def labelled(key: str) -> dict[str, Any]:
    """label and info of a component that belongs to no field."""
    info = f"{key}.info"
    return {"label": t(key), **({"info": t(info)} if known(info) else {})}


def _common(options: type, name: str, key: str, settings: dict[str, Any]) -> dict[str, Any]:
    settings.setdefault("value", default_of(options, name))
    return labelled(key) | settings


def _field(options: type, name: str) -> dataclasses.Field:
    return next(field for field in dataclasses.fields(options) if field.name == name)
