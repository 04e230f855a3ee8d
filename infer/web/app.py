"""The page: a header, five tabs, RVC's endpoints."""

import gradio as gr

from infer.web import api
from infer.web.head import SCRIPTS
from infer.web.home import Home
from infer.web.i18n import LANGUAGES, language_of, t
from infer.web.page import QUIET, Page
from infer.web.tabs import ckpt, convert, help, system, train

TITLE = "RVC"
TABS = (
    ("convert", convert),
    ("train", train),
    ("ckpt", ckpt),
    ("help", help),
    ("system", system),
)
DAY_S = 86400
STYLE = SCRIPTS / "page.css"


def build(home: Home) -> gr.Blocks:
    """The page, not started yet."""
    page = Page.of(home)
    page.jobs.console()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, DAY_S)) as blocks:
        page.add_watchers()
        _header(blocks)
        with gr.Tabs():
            for name, tab in TABS:
                with gr.Tab(t(f"common.tab.{name}"), id=name):
                    tab.build(page)
        api.add(page)
    return blocks


def _header(blocks: gr.Blocks) -> None:
    with gr.Row(elem_id="rvc-header"):
        gr.Markdown(t("common.title"))
        choices = [(name, code) for code, name in LANGUAGES.items()]
        language = gr.Dropdown(
            choices, value="en", show_label=False, container=False, elem_id="rvc-language", scale=0
        )
    language.input(None, language, js="(language) => window.rvcChooseLanguage(language)", **QUIET)
    blocks.load(_language, outputs=language, **QUIET)


def _language(request: gr.Request) -> str:
    return language_of(request)
