"""The Train tab: the form on the left in RVC's order, what runs and how it goes on the right."""

from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.context import Context

from infer.web.handlers import guarded
from infer.web.page import QUIET, Page
from infer.web.tabs.train_chart import ChartPanel
from infer.web.tabs.train_compare import ComparePanel
from infer.web.tabs.train_form_panel import FormPanel, Updates
from infer.web.tabs.train_reuse import OtherRatePanel, UploadPanel
from infer.web.tabs.train_run_panel import RunPanel
from infer.web.train_facts import restored_form
from infer.web.train_form import FIRST_EXPERIMENT


def build(page: Page) -> None:
    """Adds the components of this tab."""
    tab = TrainTab(page)
    tab.build()
    tab.wire()


class TrainTab:
    """The panels and what connects them: the chosen experiment."""

    def __init__(self, page: Page):
        self.page = page
        self.form = FormPanel(page)
        self.compare = ComparePanel(page, self.form)
        self.run = RunPanel(page, self.form, self.compare)
        self.upload = UploadPanel(page, self.form)
        self.rate = OtherRatePanel(page, self.form)

    def build(self) -> None:
        self.tab = Context.block
        with gr.Row(equal_height=False, elem_id="train-columns"):
            with gr.Column(scale=3, min_width=340):
                self._build_form()
            with gr.Column(scale=2, min_width=320, elem_id="train-side"):
                self.run.build_side()
                self.chart = ChartPanel(self.page, self.form.picker)
                self.chart.build()
        self.compare.build()

    def _build_form(self) -> None:
        form, run = self.form, self.run
        form.build_picker()
        form.build_model()
        self.rate.build()
        form.build_recordings()
        self.upload.build()
        run.build_preprocess()
        form.build_extraction()
        run.build_extraction()
        form.build_training()
        run.build_training()

    def wire(self) -> None:
        form, inputs = self.form, self.form.inputs
        self.run.wire()
        self.upload.wire()
        self.rate.wire(self.run.job)
        self.chart.wire()
        self.compare.wire()
        chosen = form.picker.input(guarded(form.chosen), inputs, form.outputs, **QUIET)
        loaded = Context.root_block.load(guarded(self.attached), inputs, form.outputs, **QUIET)
        # What arrives while the tab is being put on the screen for the first time may be lost: once more.
        seen = [self.run.seen, self.chart.seen]
        self.tab.select(lambda: ("", ""), None, seen, **QUIET)
        asked = self.tab.select(guarded(form.ask_machine), None, [form.gpu_info], **QUIET)
        asked.then(guarded(form.machine_known), inputs, form.outputs, **QUIET)
        self.run.look_at(*(event.then for event in (chosen, loaded, self.rate.made)))
        form.refresh.click(
            guarded(form.refreshed), inputs, [form.picker, form.fields["continue_from"]], **QUIET
        )
        model = [form.fields[name] for name in ("sample_rate", "version", "use_f0")]
        changes = [*(part.input for part in model), form.fields["encoder"].blur]
        gr.on(changes, guarded(form.model_changed), inputs, form.outputs, **QUIET)
        self._wire_notes()
        form.better.wire()

    def _wire_notes(self) -> None:
        """What is written beside the controls follows them."""
        form = self.form
        names = ("cache_in_gpu", "precision", "gradient_checkpointing", "pretrain_g", "pretrain_d")
        changes = [form.fields[name].change for name in names]
        changes += [form.fields["total_epoch"].release]
        changes += [form.fields[name].blur for name in ("train_gpus", "config")]
        gr.on(changes, guarded(form.annotated), form.inputs, form.outputs, **QUIET)

    def attached(self, values: Updates) -> dict[Any, Any]:
        """A page was opened: the experiment of the running job, else of the last one, else a new one."""
        now = self.form.form(values)
        facts = self.form.facts(self._last() or now.experiment or FIRST_EXPERIMENT)
        if facts.exists:
            return self.form.filled(restored_form(facts, now), facts)
        fresh = replace(now, experiment=facts.experiment.name)
        return self.form.filled(self.form.with_bases(fresh), facts)

    def _last(self) -> str | None:
        """The experiment at work, or the one that was worked on last, if it is still there."""
        jobs = [job for job in self.page.jobs.jobs() if job.experiment and job.experiment.is_dir()]
        running = [job for job in jobs if job.living]
        for job in [*running, *jobs]:
            if job.experiment.parent == self.page.home.logs.absolute():
                return job.experiment.name
        return None
