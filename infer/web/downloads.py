"""Downloads of models as jobs of the page, and the offer of RVC's where the starter's are at work."""

from pathlib import Path

import gradio as gr

from infer.jobs.command import Command
from infer.jobs.detached import JobStore
from infer.jobs.runner import Step
from infer.web import convert_texts
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from tools.asset_list import presence

LANE = "network"
DOWNLOAD = "download_assets"
BETTER = ("hubert", "rmvpe", "pretrained_v2_40k")  # what takes the place of the starter's models


def under_way(jobs: JobStore) -> dict[str, str]:
    """Group -> job of what is on its way."""
    return {job.title: job.id for job in jobs.jobs() if job.lane == LANE and job.living}


def begin(page: Page, name: str) -> str:
    """The job that downloads a group: one that is on its way already, or a new one."""
    job = under_way(page.jobs).get(name)
    return job or page.jobs.start(name, [_step(name, page.home.assets)], lane=LANE)


def missing(assets: Path) -> list[str]:
    """Groups of RVC's models that are better than the starter's and not there yet."""
    return [name for name in BETTER if not presence(name, assets).complete]


class BetterModels:
    """A sentence and a button, seen where the starter's models are used and RVC's are not installed."""

    def __init__(self, page: Page, elem_id: str):
        self._page, self._id = page, elem_id

    def build(self) -> None:
        with gr.Row(visible=False, elem_id=self._id, elem_classes="rvc-beside") as self.box:
            self.text = gr.HTML(elem_classes="rvc-flat", min_width=280)
            self.button = gr.Button(
                t("system.better_get"), size="sm", scale=0, min_width=200, elem_id=f"{self._id}-get"
            )

    def wire(self) -> None:
        self.button.click(guarded(self._get), None, self.box, **QUIET)

    @property
    def outputs(self) -> list:
        return [self.box, self.text]

    def shown(self, starter_is_used: bool) -> list:
        """Updates for `outputs`."""
        wanted = missing(self._page.home.assets) if starter_is_used else []
        text = say(language_of(), "system.better", names=", ".join(wanted)) if wanted else ""
        return [gr.update(visible=bool(wanted)), convert_texts.note(text, "warn") if wanted else ""]

    def _get(self) -> dict:
        for name in missing(self._page.home.assets):
            begin(self._page, name)
        gr.Info(say(language_of(), "system.better_begun"))
        return gr.update(visible=False)


def _step(name: str, assets: Path) -> Step:
    from tools.download_assets import DownloadOptions  # reads config.py

    return Step(DOWNLOAD, [Command("tools.download_assets", DownloadOptions(names=(name,), assets=assets))])
