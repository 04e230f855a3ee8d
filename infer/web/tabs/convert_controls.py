"""The knobs of a conversion. Built twice: for one recording and for many, with RVC's defaults for each."""

from pathlib import Path
from typing import Any

import gradio as gr

from infer.lib.index_choice import typed_index_path
from infer.vc.options import HIGHEST_OUTPUT_RATE, ConvertOptions
from infer.web import fields
from infer.web.tabs.convert_voice import AUTO_INDEX

BATCH_DEFAULTS = {"rms_mix_rate": 1.0, "index_rate": 1.0}


class Controls:
    """Components named after the fields of ConvertOptions, and the way back from their values."""

    def __init__(self, batch: bool = False):
        self._defaults = BATCH_DEFAULTS if batch else {}
        self._area = "batch" if batch else "single"
        self.by_field: dict[str, Any] = {}
        self.index_list: gr.Dropdown | None = None
        self.index_box: gr.Textbox | None = None

    def build_key(self) -> None:
        self._add("f0_up_key", fields.number, "convert.key", precision=1, step=1)

    def build_main(self) -> None:
        """What is changed often."""
        self._add("f0_method", fields.radio, "convert.method")
        self.index_list = gr.Dropdown(
            [AUTO_INDEX],
            value=AUTO_INDEX,
            allow_custom_value=True,
            elem_id=self._id("index-list"),
            **fields.labelled("convert.index_list"),
        )
        self._add("index_rate", fields.slider, "convert.index_rate", minimum=0, maximum=1, step=0.01)
        self._add("protect", fields.slider, "convert.protect", minimum=0, maximum=0.5, step=0.01)

    def build_more(self) -> None:
        """What is changed rarely."""
        self.index_box = gr.Textbox(elem_id=self._id("index-box"), **fields.labelled("convert.index_box"))
        self._add("rms_mix_rate", fields.slider, "convert.rms", minimum=0, maximum=1, step=0.01)
        self._add("filter_radius", fields.slider, "convert.filter_radius", minimum=0, maximum=7, step=1)
        self._add("resample_sr", fields.slider, "convert.resample", minimum=0, maximum=48000, step=1)
        self._add("seed", fields.number, "convert.seed", precision=0, minimum=-1)
        if self._area == "single":
            self.by_field["f0_file"] = gr.File(
                file_types=[".csv", ".txt"],
                height=120,
                elem_id=self._id("f0-file"),
                **fields.labelled("convert.f0_file"),
            )

    def build_format(self) -> None:
        self._add("format", fields.radio, "convert.format")

    @property
    def components(self) -> set:
        return {*self.by_field.values(), self.index_list, self.index_box}

    def options(self, values: dict, speaker_id: int) -> ConvertOptions:
        """What the components say. Raises ValueError for what no conversion can use."""
        chosen = {name: _plain(name, values[component]) for name, component in self.by_field.items()}
        given = {name: value for name, value in chosen.items() if value is not None}
        return ConvertOptions(speaker_id=int(speaker_id or 0), **given)

    def index(self, values: dict) -> Path | str | None:
        """The path that was typed, else the choice of the list; "auto", or None for no index."""
        typed = typed_index_path(values[self.index_box] or "")
        return typed or values[self.index_list] or None

    def _add(self, name: str, make: Any, key: str, **settings: Any) -> None:
        if name in self._defaults:
            settings["value"] = self._defaults[name]
        self.by_field[name] = make(ConvertOptions, name, key, elem_id=self._id(name), **settings)

    def _id(self, name: str) -> str:
        return f"rvc-{self._area}-{name}"


def _plain(name: str, value: Any) -> Any:
    """Values as ConvertOptions has them; an emptied field is its default."""
    if value is None or value == "":
        return None
    if name in ("filter_radius", "resample_sr", "seed"):
        value = int(value)
    if name == "resample_sr":
        return min(value, HIGHEST_OUTPUT_RATE)
    return Path(value) if name == "f0_file" else value
