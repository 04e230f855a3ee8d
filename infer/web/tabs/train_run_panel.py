"""What starts, stops and follows the work of the Train tab: buttons, the running job, its outcome."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from infer.jobs.detached import Job
from infer.lib.errors import RvcError
from infer.web import train_steps
from infer.web.advice import advise
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.job_view import JobView
from infer.web.page import QUIET, Page
from infer.web.tabs import train_layout as layout
from infer.web.tabs.train_compare import ComparePanel
from infer.web.tabs.train_form_panel import FormPanel, Updates, train_label
from infer.web.tabs.train_outcome import outcome_of
from infer.web.tabs.train_report import report_html
from infer.web.train_facts import ExperimentFacts
from infer.web.train_form import experiment_of
from infer.web.train_steps import CONTENT, EXTRACTION, INDEX, PITCH, PREPROCESS, TRAIN, Order, TooLittle

START = {"api_visibility": "private", "show_progress": "minimal"}
SHOW_JOB = (
    "() => document.getElementById('train-run')?.scrollIntoView({behavior: 'smooth', block: 'nearest'})"
)


class RunPanel:
    """Buttons are built where the form wants them, then `wire()` connects all."""

    def __init__(self, page: Page, form: FormPanel, compare: ComparePanel):
        self.page, self.form, self.compare = page, form, compare
        self.starts: dict[gr.Button, tuple[str, ...]] = {}
        self.stops: dict[gr.Button, tuple[str, ...]] = {}

    # components ---------------------------------------------------------------------------------

    def build_preprocess(self) -> None:
        with gr.Row():
            self._start("train.preprocess", (PREPROCESS,), primary=True)
            self._stop("train.stop_preprocess", (PREPROCESS,))
        self.report = layout.quiet_html("train-report")
        self.apply = gr.Button(visible=False, size="sm", elem_id="train-apply")

    def build_extraction(self) -> None:
        with gr.Row():
            self._start("train.extract", EXTRACTION, primary=True)
            self._start("train.pitch_only", (PITCH,))
            self._start("train.content_only", (CONTENT,))
            self._stop("train.stop_extract", EXTRACTION)

    def build_training(self) -> None:
        with gr.Row():
            self.train = self._start("train.start", (TRAIN,), primary=True)
            self._start("train.index", (INDEX,))
            self._start("train.everything", train_steps.ALL, primary=True)
            self._stop("train.stop_train", (TRAIN, INDEX))

    def build_side(self) -> None:
        """The running job, and what became of it."""
        self.seen, self.job = gr.State(""), gr.State("")
        self.outcome = layout.quiet_html("train-outcome")
        with gr.Row():
            self.retry = gr.Button(t("train.retry"), visible=False, variant="primary", elem_id="train-retry")
            self.make_index = gr.Button(
                t("train.make_index"), visible=False, variant="primary", elem_id="train-make-index"
            )
        with gr.Column(elem_id="train-run"):
            self.view = JobView(self.page, "train")
            self.view.build(self.form.picker, self._folder)

    def _start(self, key: str, names: tuple[str, ...], *, primary: bool = False) -> gr.Button:
        button = layout.start_button(key, primary=primary)
        self.starts[button] = names
        return button

    def _stop(self, key: str, names: tuple[str, ...]) -> None:
        self.stops[layout.stop_button(key)] = names

    # wiring -------------------------------------------------------------------------------------

    def wire(self) -> None:
        inputs, started = self.form.inputs, [self.job, self.form.confirm]
        for button, names in self.starts.items():
            begun = button.click(guarded(self._starter(names)), inputs, started, **START)
            self._follow(begun)
        for button in self.stops:
            button.click(guarded(self._stopped), [self.form.picker], None, **QUIET)
        retried = self.retry.click(guarded(self._retried), inputs, started, **START)
        indexed = self.make_index.click(guarded(self._starter((INDEX,))), inputs, started, **START)
        for begun in (retried, indexed):
            self._follow(begun)
        self.apply.click(guarded(self.form.advised), inputs, self.form.outputs, **QUIET)
        self.look_at(self.page.second.tick)

    def look_at(self, *events: Any) -> None:
        """After these events the tab is brought up to date."""
        # Not through seen.change: the browser may lose such an event while a tab is put on the screen.
        for event in events:
            event(
                guarded(self.look),
                {*self.form.inputs, *self.compare.offered[1:], self.seen},
                self.outputs,
                **QUIET,
            )

    def _follow(self, begun: Any) -> None:
        """After a start: look at once, and bring the job into sight."""
        self.look_at(begun.success)
        begun.success(None, None, None, js=SHOW_JOB, **QUIET)

    @property
    def outputs(self) -> list:
        """What `state` may change."""
        side = [self.seen, self.job, self.outcome, self.retry, self.make_index, self.report, self.apply]
        form = self.form
        notes = [form.status, form.bases_note, *form.better.outputs, form.batch_note, form.confirm]
        return [*side, *self.starts, *self.stops, *notes, *self.compare.offered]

    # handlers -----------------------------------------------------------------------------------

    def _starter(self, names: tuple[str, ...]) -> Callable[[Updates], Updates]:
        def start(values: Updates) -> Updates:
            form, page = self.form.form(values), self.page
            order = Order(form, names, confirmed=bool(values[self.form.confirm]))
            try:
                return {self.job: train_steps.start(page.jobs, page.home, page.engine.device, order)}
            except TooLittle as refused:
                gr.Warning(str(refused))
                return {self.form.confirm: gr.update(visible=True)}  # the box that it speaks of

        return start

    def _retried(self, values: Updates) -> Updates:
        """The failed stage and what was to follow, with the choices of now."""
        job = self.newest(self.form.form(values).experiment)
        names = outcome_of(job, self._facts(values), self.page.home, language_of()).retry
        return self._starter(names)(values)

    def _stopped(self, name: str) -> None:
        job = self.newest(name)
        if job is not None and job.living:
            self.page.jobs.stop(job.id)

    def look(self, values: Updates) -> Updates:
        """The state of the experiment, if it is another one than was `seen`: two folders and the jobs."""
        folder = self._folder(values[self.form.picker])
        if folder is None:
            return {self.seen: gr.skip()}  # the name is being typed
        job = self.newest(folder.name)
        written = [_written_ns(path) for path in (folder, self.page.home.weights)]
        told = f"{job.id}:{job.state}:{job.step}:{job.stopping}" if job else ""
        now = f"{folder.name}|{told}|{written}"
        return {self.seen: gr.skip()} if now == values[self.seen] else {**self.state(values), self.seen: now}

    def state(self, values: Updates) -> Updates:
        """Everything the tab says about the experiment as it is now."""
        form, facts, language = self.form.form(values), self._facts(values), language_of()
        job = self.newest(form.experiment)
        outcome = outcome_of(job, facts, self.page.home, language)
        living = job is not None and job.living
        updates: Updates = {button: gr.update(interactive=not living) for button in self.starts}
        updates[self.train] = gr.update(
            value=train_label(form, facts, language) if facts.is_trained else t("train.start"),
            interactive=not living,
        )
        for button, names in self.stops.items():
            updates[button] = gr.update(visible=living and self._belongs(job, names))
        return {
            **updates,
            **self.form.noted(form, facts),
            self.job: job.id if job else "",
            self.outcome: layout.put(outcome.html),
            self.retry: gr.update(visible=bool(outcome.retry)),
            self.make_index: gr.update(visible=outcome.wants_index),
            self.report: layout.put(report_html(facts.report, language)),
            self.apply: self._apply_button(form, facts, language),
            **self.compare.offer(values),
        }

    def newest(self, name: str) -> Job | None:
        """The last job of an experiment; its state is what the tab shows."""
        jobs = self.page.jobs.jobs(experiment_of(self.page.home, name).root)
        return jobs[0] if jobs else None

    def _folder(self, name: Any) -> Path | None:
        try:
            return experiment_of(self.page.home, name or "").root
        except RvcError:
            return None  # a name that is no name has no jobs

    def _facts(self, values: Updates) -> ExperimentFacts:
        return self.form.facts(self.form.form(values).experiment)

    def _apply_button(self, form: Any, facts: ExperimentFacts, language: str) -> Any:
        if not facts.report:
            return gr.update(visible=False)
        epochs, batch = advise(facts.report).epochs, self.form.batch(form, facts)
        return gr.update(value=say(language, "train.apply", epochs=epochs, batch=batch), visible=True)

    @staticmethod
    def _belongs(job: Job, names: tuple[str, ...]) -> bool:
        """Whether a job is the work of this stop button; a chain belongs to the training's."""
        kinds = set(job.steps)
        return kinds <= set(names) or (TRAIN in names and bool(kinds & {TRAIN, INDEX}))


def _written_ns(folder: Any) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
