"""The System tab: what this machine has, what it computes with, which models are there, and help."""

from typing import Any

import gradio as gr
from gradio.context import Context

from infer.lib.errors import RvcError
from infer.web import downloads, fields, system_texts
from infer.web.diagnostics import diagnostics
from infer.web.engine import AUTO, PLAN_FIELDS
from infer.web.errors_i18n import translated
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.job_view import JobView
from infer.web.machine import Facts
from infer.web.page import QUIET, Page

CPU = "cpu"
FACTS = 6 + len(PLAN_FIELDS)  # components that show the doctor's answer, and the timer that waits for it
SLOW = {"api_visibility": "private", "concurrency_limit": 8}


def build(page: Page) -> None:
    """Adds the components of this tab."""
    SystemTab(page).build(Context.block)


class SystemTab:
    """Facts are asked for when the tab is opened; nothing here makes the page wait."""

    def __init__(self, page: Page):
        self.page = page
        self.models: dict[str, tuple[gr.HTML, gr.Button]] = {}

    def build(self, tab: gr.Tab) -> None:
        with gr.Row(elem_classes="rvc-system-status"):
            self.status = _html("system-status", min_height=24, min_width=280)
            self.refresh = gr.Button(t("system.refresh"), size="sm", scale=0, min_width=140)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self._build_device()
            with gr.Column(min_width=320):
                self._build_plan()
        self._build_models()
        gr.Markdown(t("system.machine_heading"))
        self.machine = _html("machine", min_height=24)
        self._build_help()
        self._wire(tab)

    def _build_device(self) -> None:
        gr.Markdown(t("system.device_heading"))
        self.devices = _html("devices")
        self.device = gr.Dropdown(
            [AUTO, CPU], value=AUTO, elem_id="rvc-device", **fields.labelled("system.device")
        )
        self.precision = _html("precision")

    def _build_plan(self) -> None:
        gr.Markdown(t("system.plan_heading"))
        gr.Markdown(t("system.plan_note"), elem_classes="rvc-note")
        self.plan = {}
        for names in (PLAN_FIELDS[:2], PLAN_FIELDS[2:]):
            with gr.Row():
                self.plan |= {name: self._number(name) for name in names}
        with gr.Row():
            self.apply = gr.Button(t("system.apply"), variant="primary", size="sm", elem_id="rvc-apply-plan")
            self.automatic = gr.Button(t("system.automatic"), size="sm", elem_id="rvc-automatic-plan")

    def _number(self, name: str) -> gr.Number:
        labels = fields.labelled(f"system.{name}")
        return gr.Number(None, minimum=0, min_width=150, elem_id=f"rvc-{name}", **labels)

    def _build_models(self) -> None:
        gr.Markdown(t("system.models_heading"))
        gr.Markdown(t("system.models_note"), elem_classes="rvc-note")
        names = [model.name for model in self.page.machine.models()]
        first = [name for name in names if name in ("hubert", "rmvpe") or name.startswith("pretrained_v2")]
        for name in first:
            self._build_model(name)
        with gr.Accordion(t("system.models_more"), open=False):
            for name in names:
                if name not in first:
                    self._build_model(name)
        self.download = JobView(self.page, "rvc-download", lane=downloads.LANE)
        self.download.build()

    def _build_model(self, name: str) -> None:
        with gr.Row(elem_classes="rvc-model-row"):
            text = _html(f"model-{name}", min_width=180)
            button = gr.Button(
                t("system.download"), size="sm", scale=0, min_width=140, elem_id=f"rvc-get-{name}"
            )
        self.models[name] = (text, button)

    def _build_help(self) -> None:
        gr.Markdown(t("system.help_heading"))
        gr.Markdown(t("system.help_note"), elem_classes="rvc-note")
        self.copy = gr.Button(
            t("system.copy"), size="sm", scale=0, min_width=180, elem_id="rvc-copy-diagnostics"
        )
        self.text = gr.Textbox(
            lines=10,
            max_lines=20,
            interactive=False,
            visible=False,
            buttons=["copy"],
            elem_id="rvc-diagnostics",
            **fields.labelled("system.copied"),
        )

    # events ---------------------------------------------------------------------------------

    def _wire(self, tab: gr.Tab) -> None:
        numbers = list(self.plan.values())
        facts = [self.status, self.devices, self.device, self.precision, self.machine, *numbers]
        asking = gr.Timer(1.0, active=False)  # runs until the doctor has answered
        tab.select(guarded(self._ask), None, [*facts, asking], **QUIET)
        self.refresh.click(guarded(self._ask_again), None, [*facts, asking], **QUIET)
        asking.tick(guarded(self._answer), None, [*facts, asking], **QUIET)
        chosen = [self.device, self.precision, *numbers]
        self.device.select(  # input comes twice for one choice
            guarded(self._choose), self.device, chosen, show_progress_on=[self.precision], **SLOW
        )
        self.apply.click(guarded(self._apply), set(numbers), numbers, show_progress_on=numbers[:1], **SLOW)
        self.automatic.click(guarded(self._automatic), None, numbers, show_progress_on=numbers[:1], **SLOW)
        copy = self.copy.click(guarded(self._diagnostics), None, self.text, **SLOW)
        copy.success(None, self.text, None, js="(text) => window.rvcCopy(text)", **QUIET)
        self._wire_models([tab.select, self.page.jobs_seen.change, self.refresh.click])

    def _wire_models(self, looks: list) -> None:
        rows = [part for row in self.models.values() for part in row]
        gr.on(looks, guarded(self._models), None, rows, **QUIET)
        for name, (_, button) in self.models.items():
            button.click(guarded(self._getter(name)), None, [*rows, *self.download.outputs], **QUIET)

    def _ask(self) -> list:
        """What is known already; the first time the examination begins here."""
        facts = self.page.machine.facts()
        return [*self._shown(facts), gr.Timer(active=facts is None)]

    def _ask_again(self) -> list:
        self.page.machine.refresh()
        return [*self._shown(None), gr.Timer(active=True)]

    def _answer(self) -> list:
        """Nothing new while the doctor is at work."""
        facts = None if self.page.machine.busy else self.page.machine.facts()
        if facts is None:
            return [gr.skip()] * FACTS
        return [*self._shown(facts), gr.Timer(active=False)]

    def _shown(self, facts: Facts | None) -> list:
        language = language_of()
        return [
            system_texts.status(facts, language),
            system_texts.devices(facts, language),
            gr.update(choices=self._choices(facts), value=self.page.engine.device),
            system_texts.precision(facts, self.page.engine.device, language),
            system_texts.machine(facts, language),
            *self._plan_values(facts),
        ]

    def _choices(self, facts: Facts | None) -> list[tuple[str, str]]:
        """(shown, device). What the page computes with is always among them."""
        gpus = [device for device in facts.devices if device.runs] if facts else []
        choices = [(AUTO, AUTO), (CPU, CPU), *((gpu.label, gpu.device) for gpu in gpus)]
        now = self.page.engine.device
        return choices if now in [value for _, value in choices] else [*choices, (now, now)]

    def _plan_values(self, facts: Facts | None) -> list:
        """What was set here; the automatic seconds stand in the empty fields."""
        chosen = self.page.engine.plan_overrides
        automatic = facts.settings.get(self.page.engine.device, {}) if facts else {}
        return [
            gr.update(
                value=chosen.get(name), placeholder=f"{automatic.get(name, ''):{'g' if automatic else ''}}"
            )
            for name in PLAN_FIELDS
        ]

    def _choose(self, device: str) -> list:
        """Another device, or the old one with the reason."""
        language = language_of()
        try:
            chosen = self.page.engine.choose_device(device)
            gr.Info(say(language, "system.device_chosen", device=chosen))
        except RvcError as error:
            gr.Warning(translated(error, language))
        now = self.page.engine.device
        facts = self.page.machine.facts()
        return [gr.update(value=now), system_texts.precision(facts, now, language), *self._plan_values(facts)]

    def _apply(self, values: dict) -> list:
        seconds = {name: values[number] or None for name, number in self.plan.items()}
        return self._planned(seconds)

    def _automatic(self) -> list:
        return self._planned({})

    def _planned(self, seconds: dict[str, float | None]) -> list:
        plan = self.page.engine.choose_plan(**seconds)
        used = {name: getattr(plan, name) for name in PLAN_FIELDS}
        gr.Info(say(language_of(), "system.plan_applied", **used))
        return self._plan_values(self.page.machine.facts())

    def _models(self) -> list:
        """State and button of each group: what is there, what is on its way."""
        language, busy = language_of(), downloads.under_way(self.page.jobs)
        found = {model.name: model for model in self.page.machine.models()}
        updates: list[Any] = []
        for model in (found[name] for name in self.models):
            offered = gr.update(visible=not model.complete, interactive=model.name not in busy)
            updates += [system_texts.model(model, language), offered]
        return updates

    def _getter(self, name: str):
        def get() -> list:
            job = downloads.begin(self.page, name)
            return [*self._models(), *self.download.render(job, language_of())]

        return get

    def _diagnostics(self) -> dict:
        page = self.page
        facts = page.machine.facts(wait=True)
        text = diagnostics(
            facts, page.home, page.engine.device, page.jobs.jobs(), lambda job: page.jobs.progress(job).lines
        )
        return gr.update(value=text, visible=True)


def _html(name: str, **settings: Any) -> gr.HTML:
    return gr.HTML(elem_id=f"rvc-{name}", elem_classes="rvc-flat", **settings)
