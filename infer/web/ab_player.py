"""A player that compares up to four recordings of the same thing: one transport, switching at one place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from infer.lib.files import REPO
from infer.web.i18n import language_of, say

MOST = 4
_FILES = REPO / "assets" / "web" / "components"
_TEXTS = ("play", "pause", "position", "choices")


class ABPlayer:
    """`build()` inside the Blocks, then hand `value(...)` to `component` as an output."""

    def __init__(self, elem_id: str | None = None):
        self._elem_id = elem_id
        self.component: gr.HTML | None = None

    def build(self) -> gr.HTML:
        """The component; hidden while there is nothing to play."""
        self.component = gr.HTML(
            html_template='<div class="rvc-ab"></div>',
            css_template=_file("ab_player.css"),
            js_on_load=_file("ab_player.js"),
            visible=False,
            elem_id=self._elem_id,
        )
        return self.component

    def value(self, recordings: Sequence[tuple[str, Path | str]]) -> Any:
        """The update that shows up to four (label, file) pairs; none hides the player."""
        chosen = list(recordings)[:MOST]
        items = [{"label": label, "file": file_data(Path(path))} for label, path in chosen]
        language = language_of()
        texts = {name: say(language, f"convert.ab.{name}") for name in _TEXTS}
        return gr.update(value={"items": items, "texts": texts} if items else None, visible=bool(items))


def file_data(path: Path) -> dict:
    """What Gradio turns into an address that the browser may fetch."""
    return FileData(path=str(path), orig_name=path.name).model_dump()


def _file(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
