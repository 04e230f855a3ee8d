"""The Convert tab: a voice above, one recording or many below."""

import gradio as gr

from infer.web.i18n import t
from infer.web.page import Page
from infer.web.tabs.convert_batch import BatchTab
from infer.web.tabs.convert_single import SingleTab
from infer.web.tabs.convert_voice import VoicePicker


def build(page: Page) -> None:
    """Adds the components of this tab."""
    picker = VoicePicker(page)
    picker.build()
    single, batch = SingleTab(page, picker), BatchTab(page, picker)
    with gr.Tabs():
        with gr.Tab(t("convert.single"), id="convert-single"):
            single.build()
        with gr.Tab(t("convert.batch"), id="convert-batch"):
            batch.build()
    picker.wire()
    single.wire()
    batch.wire()
