"""Saved epochs on one sentence, side by side, while training goes on."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from infer.jobs.events import silent
from infer.jobs.experiment import Experiment
from infer.web.ab_player import MOST, ABPlayer
from infer.web.errors_i18n import refusal
from infer.web.fields import labelled
from infer.web.handlers import guarded
from infer.web.i18n import language_of, say, t
from infer.web.page import Page
from infer.web.tabs.train_form_panel import FormPanel, Updates
from infer.web.tabs.train_html import note
from infer.web.tabs.train_layout import put, quiet_html
from infer.web.train_facts import generator_header, held_out, index_of, saved_voices
from infer.web.train_form import experiment_of

SENTENCES = 8  # offered of each kind


@dataclass(frozen=True)
class Candidate:
    """A state of the voice that can be heard: a voice file, or a checkpoint to take it from."""

    name: str
    path: Path
    is_checkpoint: bool = False


class ComparePanel:
    """Which epochs, which sentence, and the player."""

    def __init__(self, page: Page, form: FormPanel):
        self.page, self.form = page, form
        self._folder: tempfile.TemporaryDirectory | None = None

    def build(self) -> None:
        with gr.Accordion(t("train.compare"), open=False, elem_id="train-compare"):
            self.empty = quiet_html("train-nothing-to-hear")
            with gr.Row():
                self.chosen = gr.Dropdown(
                    **labelled("train.epochs_to_hear"),
                    multiselect=True,
                    max_choices=MOST,
                    choices=[],
                    allow_custom_value=True,  # a choice of before may arrive when the list has changed
                    elem_id="train-candidates",
                    min_width=260,
                )
                self.sentence = gr.Dropdown(
                    **labelled("train.sentence"),
                    choices=[],
                    allow_custom_value=True,
                    elem_id="train-sentence",
                    min_width=200,
                )
            self.own = gr.Audio(
                **labelled("train.own_sentence"),
                type="filepath",
                sources=["upload", "microphone"],
                elem_id="train-own-sentence",
            )
            self.render = gr.Button(t("train.render"), variant="primary", elem_id="train-render")
            self.player = ABPlayer("train-player")
            self.player.build()

    @property
    def offered(self) -> list:
        """What `offer` may change."""
        return [self.empty, self.chosen, self.sentence]

    @property
    def inputs(self) -> set:
        return {self.chosen, self.sentence}

    def wire(self) -> None:
        self.render.click(
            guarded(self.rendered),
            {self.form.picker, self.chosen, self.sentence, self.own},
            [self.player.component],
            api_visibility="private",
            concurrency_id="convert",
        )

    # handlers -----------------------------------------------------------------------------------

    def offer(self, values: Updates) -> Updates:
        """What can be heard now; a choice that is still possible stays."""
        experiment = experiment_of(self.page.home, values[self.form.picker])
        candidates = self.candidates(experiment)
        names = [candidate.name for candidate in candidates]
        stems = sentences(experiment)
        chosen = [name for name in values[self.chosen] or [] if name in names] or newest(candidates)
        sentence = values[self.sentence] if values[self.sentence] in stems else next(iter(stems), None)
        return {
            self.empty: put(note("" if names else say(language_of(), "train.nothing_to_hear"))),
            self.chosen: gr.update(choices=names, value=chosen),
            self.sentence: gr.update(choices=stems, value=sentence),
        }

    def rendered(self, values: Updates, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
        """The sentence through every chosen epoch, one after the other."""
        experiment = experiment_of(self.page.home, values[self.form.picker])
        wanted = list(values[self.chosen] or [])[:MOST]
        found = [candidate for candidate in self.candidates(experiment) if candidate.name in wanted]
        if not found:
            raise refusal("train.refuse.no_epoch")
        source = self._source(experiment, values)
        index = index_of(self.page.home, experiment)
        results = []
        for number, candidate in enumerate(found):
            progress(number / len(found), desc=candidate.name)
            voice = self._voice(candidate, experiment)
            result = self.page.engine.convert(source, voice, index=index)
            results.append((candidate.name, result.path))
        return self.player.value(results)

    # ---------------------------------------------------------------------------------------------

    def candidates(self, experiment: Experiment) -> list[Candidate]:
        """Voices first, then checkpoints, each in the order of the epochs."""
        voices = [Candidate(path.stem, path) for path in saved_voices(self.page.home, experiment)]
        files = sorted(experiment.generator_files(), key=lambda path: path.stat().st_mtime)
        checkpoints = [Candidate(_checkpoint_name(path), path, is_checkpoint=True) for path in files]
        return [*voices, *checkpoints]

    def _source(self, experiment: Experiment, values: Updates) -> Path:
        if values[self.own]:
            return Path(values[self.own])
        stem = values[self.sentence]
        if stem not in sentences(experiment):
            raise refusal("train.refuse.no_sentence")
        return experiment.gt_wav(stem)

    def _voice(self, candidate: Candidate, experiment: Experiment) -> Path:
        """The voice file; that of a checkpoint is taken out once and kept until the program ends."""
        if not candidate.is_checkpoint:
            return candidate.path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="rvc-epochs-")
        written = candidate.path.stat().st_mtime_ns
        name = f"{experiment.name}_{candidate.path.stem}_{written}"
        target = Path(self._folder.name) / f"{name}.pth"
        if not target.is_file():
            _extract(candidate.path, name, target.parent)
        return target


def newest(candidates: list[Candidate]) -> list[str]:
    """What is chosen at first: the last epochs, as voices where they were saved as such."""
    voices = [candidate.name for candidate in candidates if not candidate.is_checkpoint]
    others = [candidate.name for candidate in candidates if candidate.is_checkpoint]
    return (voices if len(voices) > 1 else [*others, *voices])[-MOST:]


def _extract(checkpoint: Path, name: str, folder: Path) -> None:
    from infer.stages.ckpt.options import ExtractOptions
    from infer.stages.ckpt.run import run  # torch

    run(ExtractOptions(checkpoint=checkpoint, name=name, weights=folder, overwrite=True), silent)


def _checkpoint_name(path: Path) -> str:
    """`G_2333333.pth` says nothing: its epoch does."""
    header = generator_header(path)
    return path.name if header is None or header.epoch is None else f"{path.name} (e{header.epoch})"


def sentences(experiment: Experiment) -> list[str]:
    """Stems of clips to listen to: those that training never sees, then the first ones."""
    unseen = held_out(experiment)[:SENTENCES]
    others: Sequence[str] = [stem for stem in experiment.stems() if stem not in unseen]
    return [*unseen, *others[:SENTENCES]]
