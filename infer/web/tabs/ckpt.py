"""The ckpt tab: look at weight files, change, extract, mix, compare, share and delete voices."""

import gradio as gr
from gradio.context import Context

from infer.web.ckpt_files import refresh_all
from infer.web.i18n import t
from infer.web.page import Page
from infer.web.tabs.ckpt_extract import ExtractPanel
from infer.web.tabs.ckpt_mix import ComparePanel, FusionPanel
from infer.web.tabs.ckpt_share import SharePanel
from infer.web.tabs.ckpt_voice import VoicePanel

PANELS = (
    ("voice", VoicePanel),
    ("share", SharePanel),
    ("extract", ExtractPanel),
    ("fusion", FusionPanel),
    ("compare", ComparePanel),
)


def build(page: Page) -> None:
    """Adds the components of this tab."""
    panels = {}
    with gr.Tabs(elem_id="ckpt-tabs") as tabs:
        for name, kind in PANELS:
            with gr.Tab(t(f"ckpt.tab.{name}"), id=name):
                panels[name] = kind(page)
    for panel in panels.values():
        panel.wire()
    panels["voice"].offer_extraction(tabs, panels["extract"])
    fields = [field for panel in panels.values() for field in panel.fields]
    for field in fields:
        field.wire()
    refresh_all(page, fields, Context.root_block)
