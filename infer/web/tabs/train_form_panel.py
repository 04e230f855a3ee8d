"""The left side of the Train tab: the form, how it is restored, and what follows from its choices."""

from dataclasses import replace
from typing import Any

import gradio as gr

from infer.lib.devices import free_ram_gib
from infer.lib.encoder_choice import encoder_family
from infer.lib.errors import RvcError
from infer.lib.starter_files import is_demo
from infer.web import advice
from infer.web.downloads import BetterModels
from infer.web.engine import AUTO
from infer.web.errors_i18n import translated
from infer.web.fields import labelled
from infer.web.i18n import language_of, say
from infer.web.machine import Facts
from infer.web.page import Page
from infer.web.tabs import train_layout as layout
from infer.web.tabs.train_html import box, note
from infer.web.train_facts import ExperimentFacts, facts_of, restored_form
from infer.web.train_form import TrainForm, experiment_names, experiment_of, is_standard_base, taken_over
from infer.web.train_steps import base_is_unused, pretrained

Updates = dict[Any, Any]


class FormPanel:
    """Components by the name of their field in TrainForm, and the texts beside them."""

    def __init__(self, page: Page):
        self.page, self.home = page, page.home
        self.fields: layout.Components = {}
        self._machine: Facts | None = None  # once a browser opened the tab: asking takes seconds

    # components, in the order of the page ---------------------------------------------------

    def build_picker(self) -> None:
        self.picker, self.refresh = layout.picker_row()
        self.status = layout.quiet_html("train-status")
        self.fields["like"] = gr.State("")

    def build_model(self) -> None:
        self.fields |= layout.model_row()

    def build_recordings(self) -> None:
        self.fields |= layout.recordings_row()
        self.upload = gr.File(
            **labelled("train.upload"),
            file_count="multiple",
            file_types=["audio", "video"],
            height=150,
            elem_id="train-upload",
        )

    def build_extraction(self) -> None:
        self.fields |= layout.extraction_row()
        self.gpu_info = gr.Textbox(
            **labelled("train.gpu_info"), placeholder="…", interactive=False, elem_id="train-gpu-info"
        )

    def build_training(self) -> None:
        self.fields |= layout.training_rows()
        self.batch_note = layout.quiet_html("train-batch-note")
        self.fields |= layout.flag_rows()
        self.fields |= layout.base_row()
        self.bases_note = layout.quiet_html("train-bases-note")
        self.better = BetterModels(self.page, "train-better")
        self.better.build()
        self.fields["train_gpus"] = layout.gpu_list("train_gpus")
        self.fields["continue_from"] = gr.Dropdown(
            **labelled("train.continue_from"), choices=[""], value="", elem_id="train-continue-from"
        )
        self.fields |= layout.extra_rows()
        self.confirm = gr.Checkbox(**labelled("train.confirm"), visible=False, elem_id="train-confirm")

    # between components and the form ----------------------------------------------------------

    @property
    def inputs(self) -> set:
        return {self.picker, self.confirm, *self.fields.values()}

    @property
    def outputs(self) -> list:
        """What `filled` and `noted` may change."""
        texts = [self.status, self.bases_note, *self.better.outputs, self.batch_note, self.confirm]
        return [self.picker, *texts, *self.fields.values()]

    def form(self, values: Updates) -> TrainForm:
        """What the components say; those that were not asked have their defaults."""
        chosen = {name: values[part] for name, part in self.fields.items() if part in values}
        return TrainForm.of({**chosen, "experiment": values[self.picker] or ""})

    def filled(self, form: TrainForm, facts: ExperimentFacts) -> Updates:
        """Every control as the form says; the sample rate only offers what is possible."""
        names = [name for name in experiment_names(self.home) if name != form.experiment]
        special = {
            "sample_rate": {"choices": layout.rates_for(form.version, facts.sample_rate)},
            "continue_from": {"choices": self.donors(form)},
        }
        updates = {
            part: gr.update(value=getattr(form, name), **special.get(name, {}))
            for name, part in self.fields.items()
        }
        updates[self.fields["like"]] = form.like
        updates[self.picker] = gr.update(
            choices=sorted({*names, *([form.experiment] if facts.exists else [])}), value=form.experiment
        )
        return updates | self.noted(form, facts)

    def noted(self, form: TrainForm, facts: ExperimentFacts) -> Updates:
        """The texts beside the controls."""
        language = language_of()
        return {
            self.status: layout.put(status_html(form, facts, language)),
            self.bases_note: layout.put(note(self._about_bases(form, language))),
            **dict(zip(self.better.outputs, self.better.shown(self._starter_is_used(form)), strict=True)),
            self.batch_note: layout.put(
                note(say(language, "train.batch_note", batch=self.batch(form, facts)))
            ),
            self.confirm: self._confirm(facts),
        }

    @staticmethod
    def _confirm(facts: ExperimentFacts) -> Any:
        """The box for too little data; before there is a report it stays as it is."""
        if not facts.report:
            return gr.skip()
        asked = advice.advise(facts.report).needs_confirmation
        return gr.update(visible=True) if asked else gr.update(visible=False, value=False)

    def donors(self, form: TrainForm) -> list[str]:
        """Other experiments whose training a new one can go on from; "" is none."""
        others = [name for name in experiment_names(self.home) if name != form.experiment]
        able = [name for name in others if experiment_of(self.home, name).checkpoints()]
        kept = [form.continue_from] if form.continue_from and form.continue_from not in able else []
        return ["", *able, *kept]

    def facts(self, name: str) -> ExperimentFacts:
        return facts_of(self.home, experiment_of(self.home, name))

    # handlers -----------------------------------------------------------------------------------

    def chosen(self, values: Updates) -> Updates:
        """Another experiment was picked or typed: an existing one restores its form."""
        now = self.form(values)
        try:
            facts = self.facts(now.experiment)
        except RvcError as error:
            return {self.status: layout.put(box("bad", translated(error, language_of())))}
        if facts.exists:
            return self.filled(restored_form(facts, now), facts)
        trainset = taken_over(self.home, now.trainset, facts.experiment)
        fresh = replace(now, like="", continue_from="", trainset=trainset)
        hidden = {self.confirm: gr.update(visible=False, value=False)}
        return self.filled(self.with_bases(fresh), self.facts(now.experiment)) | hidden

    def refreshed(self, values: Updates) -> Updates:
        form = self.form(values)
        names = experiment_names(self.home)
        shown = gr.update(choices=self.donors(form))
        return {self.picker: gr.update(choices=sorted(names)), self.fields["continue_from"]: shown}

    def model_changed(self, values: Updates) -> Updates:
        """Rate, version, pitch guidance or encoder: the bases follow, v1 has no 32k."""
        form = self.form(values)
        facts = self.facts(form.experiment)
        form = replace(form, sample_rate=facts.sample_rate or form.sample_rate)
        rates = layout.rates_for(form.version, facts.sample_rate)
        if form.sample_rate not in rates:
            form = replace(form, sample_rate=rates[0])
        form = self.with_bases(form)
        names = ("pretrain_g", "pretrain_d")
        return {
            self.fields["sample_rate"]: gr.update(choices=rates, value=form.sample_rate),
            **{self.fields[name]: getattr(form, name) for name in names},
            **self.noted(form, facts),
        }

    def with_bases(self, form: TrainForm) -> TrainForm:
        """RVC's bases for the choices, unless the user named others."""
        own = (form.pretrain_g, form.pretrain_d)
        if not all(is_standard_base(path, self.home) for path in own):
            return form
        g, d = pretrained(form, self.home)
        return replace(form, pretrain_g=g, pretrain_d=d)

    def annotated(self, values: Updates) -> Updates:
        form = self.form(values)
        if not form.experiment:
            return gr.skip()  # the page is just being opened: its form comes in a moment
        return self.noted(form, self.facts(form.experiment))

    def advised(self, values: Updates) -> Updates:
        """The suggested epochs and batch go into their controls."""
        form = self.form(values)
        facts = self.facts(form.experiment)
        epochs = advice.advise(facts.report or {}).epochs
        form = replace(form, total_epoch=epochs, batch_size=self.batch(form, facts))
        changed = {self.fields[name]: getattr(form, name) for name in ("total_epoch", "batch_size")}
        return changed | self.noted(form, facts)

    def ask_machine(self) -> str:
        """The tab was opened: the GPUs by name. The first time this waits for the doctor."""
        self._machine = self.page.machine.facts(wait=True)
        return self._gpu_text(self._machine)

    def machine_known(self, values: Updates) -> Updates:
        """Now that the GPUs are known: their lists and the batch, unless the experiment has its own form."""
        form = self.form(values)
        facts = self.facts(form.experiment)
        if facts.form is not None:
            return self.noted(form, facts)
        # One that was chosen on the System tab trains alone.
        gpus = [gpu for gpu in self._machine.devices if gpu.usable]
        chosen = [gpu for gpu in gpus if self.page.engine.chosen in (AUTO, gpu.device)]
        usable = [gpu.device.removeprefix("cuda:") for gpu in chosen]
        listed = {name: "-".join(usable) for name in ("gpus", "pitch_gpus", "train_gpus")}
        form = replace(form, **listed)
        form = replace(form, batch_size=self.batch(form, facts))
        changed = {self.fields[name]: getattr(form, name) for name in (*listed, "batch_size")}
        return changed | self.noted(form, facts)

    # texts --------------------------------------------------------------------------------------

    def batch(self, form: TrainForm, facts: ExperimentFacts) -> int:
        """The suggested batch: by the GPUs that will train, else by the memory of the machine."""
        machine = self._machine
        device = self.page.engine.device
        gpus = [gpu for gpu in machine.devices if gpu.usable] if machine and device != "cpu" else []
        numbers = {f"cuda:{part}" for part in form.train_gpus.split("-") if part} or {device}
        chosen = [gpu for gpu in gpus if gpu.device in numbers] or gpus[:1]
        if not chosen:
            return advice.cpu_batch(free_ram_gib())
        minutes = float((facts.report or {}).get("usable_minutes") or 0) if form.cache_in_gpu else 0.0
        return advice.gpu_batch(
            [gpu.free_gib or gpu.memory_gib for gpu in chosen],
            form.precision,
            cached_minutes=minutes,
            checkpointing=form.gradient_checkpointing,
        )

    def _gpu_text(self, machine: Facts) -> str:
        lines = [f"{gpu.label}{gpu.problem and f': {gpu.problem}'}" for gpu in machine.devices]
        return "\n".join(lines) or machine.failure or say(language_of(), "train.no_gpu")

    def _starter_is_used(self, form: TrainForm) -> bool:
        try:
            return encoder_family(form.encoder or AUTO, self.home.assets) == "starter"
        except RvcError:
            return False  # a start says what is wrong

    def _about_bases(self, form: TrainForm, language: str) -> str:
        if base_is_unused(form, self.home):
            return say(language, "train.base_of_other_sizes")
        if form.pretrain_g and is_demo(form.pretrain_g):
            return say(language, "train.starter_base")
        if form.pretrain_g and form.pretrain_d:
            return ""
        return say(language, "train.no_base")


def status_html(form: TrainForm, facts: ExperimentFacts, language: str) -> str:
    """New or not, what it was made with, and where training would go on."""
    if not facts.exists:
        return note(say(language, "train.status.new", name=form.experiment))
    told = [facts.sample_rate, facts.version]
    if facts.use_f0 is not None:
        told.append(say(language, "train.status.f0" if facts.use_f0 else "train.status.no_f0"))
    told.append(say(language, "train.status.clips", count=facts.clips))
    sentences = [", ".join(word for word in told if word)]
    if facts.is_trained:
        sentences.append(resume_text(form, facts, language))
    sentences += [facts.problem] if facts.problem else []
    return note(" · ".join(sentences))


def resume_text(form: TrainForm, facts: ExperimentFacts, language: str) -> str:
    """ "Resume from epoch 3 of 20"; what to do when all epochs are done."""
    if facts.epoch is None:
        return say(language, "train.resume_unknown")
    if facts.epoch >= form.total_epoch:
        return say(language, "train.reached", total=form.total_epoch)
    return say(language, "train.resume", epoch=facts.epoch + 1, total=form.total_epoch)


def train_label(form: TrainForm, facts: ExperimentFacts, language: str) -> str:
    """What the button of step 3 says."""
    goes_on = facts.is_trained and (facts.epoch is None or facts.epoch < form.total_epoch)
    return resume_text(form, facts, language) if goes_on else say(language, "train.start")
