"""Recordings that come through the page, and the same recordings at another sample rate."""

import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr

from infer.jobs.experiment import Experiment
from infer.lib.files import sha256_file
from infer.web import train_steps
from infer.web.errors_i18n import refusal
from infer.web.fields import labelled
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import QUIET, Page
from infer.web.tabs import train_layout as layout
from infer.web.tabs.train_form_panel import FormPanel, Updates
from infer.web.tabs.train_html import note
from infer.web.train_form import TrainForm, experiment_of, load_form
from infer.web.train_steps import PREPROCESS, Order


class UploadPanel:
    """Uploads are copied into the experiment; its folder of recordings becomes the training set."""

    def __init__(self, page: Page, form: FormPanel):
        self.page, self.form = page, form

    def build(self) -> None:
        self.note = layout.quiet_html("train-upload-note")

    def wire(self) -> None:
        form = self.form
        outputs = [self.note, form.upload, form.fields["trainset"]]
        form.upload.upload(
            guarded(self._uploaded),
            {form.upload, form.picker, form.fields["trainset"], form.fields["speaker_id"]},
            outputs,
            api_visibility="private",
            show_progress="minimal",
        )
        form.picker.input(lambda: layout.put(""), None, self.note, **QUIET)  # it spoke of the other one

    def _uploaded(self, values: Updates) -> Updates:
        form = self.form
        experiment = experiment_of(self.page.home, values[form.picker])
        folder, typed = experiment.recordings, values[form.fields["trainset"]]
        if typed and Path(typed) != folder:
            raise refusal("train.refuse.two_sources", path=typed)
        speaker = int(values[form.fields["speaker_id"]])
        new = keep([Path(path) for path in values[form.upload] or []], folder / str(speaker))
        total = sum(1 for path in folder.rglob("*") if path.is_file())
        text = say(language_of(), "train.uploaded", new=new, total=total)
        return {
            self.note: layout.put(note(text)),
            form.upload: None,
            form.fields["trainset"]: str(folder),
        }


def keep(files: list[Path], folder: Path) -> int:
    """Copies recordings into `folder` and returns how many were new. Equal ones are not copied twice,
    another one of the same name gets a number."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {sha256_file(path) for path in folder.iterdir() if path.is_file()}
    new = 0
    for file in files:
        digest = sha256_file(file)
        if digest in there:
            continue
        there.add(digest)
        shutil.copyfile(file, _free(folder / file.name))
        new += 1
    return new


def _free(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return free


class OtherRatePanel:
    """An experiment keeps its sample rate; the same recordings at another one are a new experiment."""

    def __init__(self, page: Page, form: FormPanel):
        self.page, self.form = page, form

    def build(self) -> None:
        self.asked = gr.State("")
        with gr.Group(visible=False, elem_id="train-other-rate") as self.group:
            self.reason = gr.HTML()
            with gr.Row(equal_height=True):
                self.name = gr.Textbox(**labelled("train.other_name"), scale=3, min_width=180)
                self.make = gr.Button(t("train.other_rate"), variant="primary", scale=2, min_width=180)

    def wire(self, job: gr.State) -> None:
        self.job, form = job, self.form
        rate = form.fields["sample_rate"]
        shown = [self.group, self.reason, self.name, self.asked, rate]
        rate.input(guarded(self._rate_asked), {form.picker, rate}, shown, **QUIET)
        inputs = {*form.inputs, self.name, self.asked}
        outputs = [self.group, job, *form.outputs]
        settings = {"api_visibility": "private", "show_progress": "minimal"}
        self.made = self.make.click(guarded(self._made), inputs, outputs, **settings)

    def _rate_asked(self, values: Updates) -> Updates:
        """Refuses another rate for an experiment that has clips, and offers what is possible."""
        name, rate = values[self.form.picker], values[self.form.fields["sample_rate"]]
        own = self.form.facts(name).sample_rate
        if own in (None, rate):
            return {self.group: gr.update(visible=False)}
        reason = say(language_of(), "train.refuse.rate", name=name, was=own, asked=rate)
        return {
            self.group: gr.update(visible=True),
            self.reason: note(reason),
            self.name: f"{name}-{rate}",
            self.asked: rate,
            self.form.fields["sample_rate"]: own,
        }

    def _made(self, values: Updates) -> Updates:
        form = self.form.form(values)
        new = experiment_of(self.page.home, values[self.name])
        if new.root.exists():
            raise refusal("train.refuse.exists", name=new.name)
        other = experiment_of(self.page.home, form.experiment)
        form = at_other_rate(form, other, new.name, values[self.asked])
        form = self.form.with_bases(form)
        order = Order(form, (PREPROCESS,))
        job = train_steps.start(self.page.jobs, self.page.home, self.page.engine.device, order)
        shown = self.form.filled(form, self.form.facts(new.name))
        return {self.group: gr.update(visible=False), self.job: job, **shown}


def at_other_rate(form: TrainForm, other: Experiment, name: str, rate: str) -> TrainForm:
    """The form of the new experiment: everything as it was, but rate, name and where the cuts come from."""
    saved = load_form(other) or form
    trainset = form.trainset or saved.trainset
    return replace(
        form, experiment=name, sample_rate=rate, like=other.name, trainset=trainset, continue_from=""
    )
