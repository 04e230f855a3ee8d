"""A page with nothing but a job view, for tests in a browser: `python -m tests.web.job_page ROOT PORT`."""

import sys
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from starlette.middleware import Middleware

from infer.jobs.detached import JobStore
from infer.web.head import SCRIPTS, PageHead
from infer.web.i18n import browser_texts
from infer.web.job_view import JobView


def main(root: Path, port: int) -> None:
    store = JobStore(root / ".jobs", allowed=("tests.jobs.",))
    with gr.Blocks(analytics_enabled=False) as blocks:
        page = SimpleNamespace(jobs=store, second=gr.Timer(1.0))
        experiment = gr.Textbox(label="experiment", elem_id="experiment")
        JobView(page, "test").build(experiment, lambda name: root / name if name else None)
    blocks.launch(
        server_port=port,
        quiet=True,
        i18n=browser_texts(),
        css_paths=[SCRIPTS / "page.css"],
        app_kwargs={"middleware": [Middleware(PageHead)]},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
