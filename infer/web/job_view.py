"""One job on the page: where it stands, what runs, what it said, Stop and Resume.

Jobs belong to the server, not to a browser: each tick shows the job that matters now, so a page that
is opened or reloaded in the middle attaches to it by itself.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from infer.jobs.detached import Job
from infer.lib.errors import BadInput
from infer.web.handlers import guarded
from infer.web.i18n import language_of, t
from infer.web.job_texts import Moment, head_html
from infer.web.page import QUIET, Page

RESUMABLE = ("failed", "stopped", "interrupted")
LOG_LINES = 12


class JobView:
    """A block for the job of one place of the page. `build()` inside the Blocks, then use `outputs`.

    `lane`: only jobs of that lane. A handler that starts a job may return `render(job_id, language)`
    for `outputs`, so that it is seen before the next tick.
    """

    def __init__(self, page: Page, key: str, lane: str | None = None):
        self._page, self._key, self._lane = page, key, lane
        self.outputs: list[gr.components.Component | gr.Column] = []

    def build(
        self,
        experiment: gr.components.Component | None = None,
        path_of: Callable[[Any], Path | None] | None = None,
    ) -> None:
        """`experiment` is where one is chosen; `path_of(its value)` is its folder, None for no valid one."""
        with gr.Column(visible=False, elem_classes="rvc-job-view", elem_id=f"{self._key}-job") as block:
            head = gr.HTML(elem_id=f"{self._key}-job-head")
            with gr.Row():
                stop = self._button("stop", "stop")
                resume = self._button("resume", "primary")
            with gr.Accordion(t("job.details"), open=False):
                commands = self._text("commands", 4, autoscroll=False)
                log = self._text("log", LOG_LINES, autoscroll=True)
        shown, drawn = gr.State(""), gr.State({})
        self.outputs = [block, head, stop, resume, commands, log, shown, drawn]
        self._wire(experiment, path_of or (lambda value: None))

    def render(self, job_id: str | None, language: str, drawn: dict | None = None) -> list:
        """Updates for `outputs`. What is as it was `drawn` is left alone: a reader's selection stays."""
        values = self._values(job_id, language)
        updates = [
            update if (drawn or {}).get(name) != update else gr.skip() for name, update in values.items()
        ]
        return [*updates, job_id or "", values]

    # ---------------------------------------------------------------------------------------------

    def _wire(self, experiment: gr.components.Component | None, path_of: Callable) -> None:
        _, _, stop, resume, *_, shown, drawn = self.outputs
        inputs = [drawn, *([experiment] if experiment else [])]

        def tick(drawn: dict, *chosen: Any) -> list:
            job = self.newest(path_of(*chosen) if chosen else None)
            return self.render(job.id if job else None, language_of(), drawn)

        changes = [experiment.change] if experiment else []
        gr.on([self._page.second.tick, *changes], guarded(tick), inputs, self.outputs, **QUIET)
        stop.click(guarded(self._stop), shown, self.outputs, **QUIET)
        resume.click(guarded(self._resume), shown, self.outputs, **QUIET)

    def newest(self, experiment: Path | None) -> Job | None:
        """The job to show: what works on the experiment, what can be resumed there, what works elsewhere.

        Of another experiment's ended jobs only one that was cut off: it is offered again.
        """
        every = self._jobs()
        own = self._jobs(experiment) if experiment else every
        candidates = [
            *_at_work(own),
            *(job for job in own[:1] if experiment and job.state in RESUMABLE),
            *_at_work(every),
            *own,
            *(job for job in every[:1] if job.state == "interrupted"),
        ]
        return candidates[0] if candidates else None

    def _jobs(self, experiment: Path | None = None) -> list[Job]:
        return [job for job in self._page.jobs.jobs(experiment) if self._lane in (None, job.lane)]

    def _elsewhere(self, shown: Job) -> str:
        """Title of the job that runs while another one is shown."""
        running = (job.title for job in self._jobs() if job.state == "running" and job.id != shown.id)
        return next(running, "")

    def _stop(self, job_id: str) -> list:
        self._page.jobs.stop(job_id)
        return self.render(job_id, language_of())

    def _resume(self, job_id: str) -> list:
        return self.render(self._page.jobs.resume(job_id), language_of())

    def _values(self, job_id: str | None, language: str) -> dict[str, dict]:
        """Name -> update, in the order of `outputs`."""
        try:
            job = self._page.jobs.job(job_id) if job_id else None
        except BadInput:  # cleared away since
            job = None
        if job is None:
            nothing = {name: gr.skip() for name in ("head", "stop", "resume", "commands", "log")}
            return {"block": gr.update(visible=False), **nothing}
        progress = self._page.jobs.progress(job.id)
        head = head_html(job, progress, language, Moment(time.time(), self._elsewhere(job)))
        return {
            "block": gr.update(visible=True),
            "head": gr.update(value=head),
            "stop": gr.update(visible=job.living, interactive=not job.stopping),
            "resume": gr.update(visible=job.state in RESUMABLE),
            "commands": gr.update(value="\n".join(job.displays)),
            "log": gr.update(value="\n".join(progress.lines)),
        }

    def _button(self, name: str, variant: str) -> gr.Button:
        return gr.Button(
            t(f"job.{name}"),
            variant=variant,
            visible=False,
            size="sm",
            scale=0,
            min_width=140,
            elem_id=f"{self._key}-job-{name}",
        )

    def _text(self, name: str, lines: int, autoscroll: bool) -> gr.Textbox:
        return gr.Textbox(
            label=t(f"job.{name}"),
            lines=lines,
            max_lines=lines,
            interactive=False,
            autoscroll=autoscroll,
            buttons=["copy"],
            elem_id=f"{self._key}-job-{name}",
        )


def _at_work(jobs: list[Job]) -> list[Job]:
    """Living jobs: those that run, then those that wait, the next one first."""
    return sorted((job for job in jobs if job.living), key=lambda job: (job.state != "running", job.id))
