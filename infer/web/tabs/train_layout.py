"""The components of the Train tab, in RVC's order. Nothing is wired here."""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr

from infer.lib.devices import core_count, worker_count
from infer.stages.chain_options import TrainAllOptions
from infer.stages.preprocess.options import MAX_SPEAKER_ID, SLICE_S_RANGE
from infer.web.fields import checkbox, dropdown, labelled, number, radio, slider, text
from infer.web.i18n import t

RATES_V1, RATES_V2 = ("40k", "48k"), ("40k", "48k", "32k")  # in RVC's order; v1 has no 32k base
MOST_EPOCHS, MOST_SAVE_EPOCHS = 1200, 50
Components = dict[str, gr.components.Component]


def rates_for(version: str, own: str | None = None) -> list[str]:
    """What the sample rate can be; `own` is that of an existing experiment."""
    rates = RATES_V2 if version == "v2" else RATES_V1
    return [*rates, *([own] if own and own not in rates else [])]


@dataclass(frozen=True)
class Buttons:
    """What starts and stops work. A stop is visible while its own kind of work runs."""

    preprocess: gr.Button
    extract: gr.Button
    pitch: gr.Button
    content: gr.Button
    train: gr.Button
    index: gr.Button
    everything: gr.Button
    stop_preprocess: gr.Button
    stop_extract: gr.Button
    stop_train: gr.Button


def default_processes() -> int:
    """RVC's two thirds of the cores, bounded by the memory that is free."""
    return min(math.ceil(core_count() / 1.5), worker_count())


def model_row() -> Components:
    """Step 1: what the voice will be."""
    gr.Markdown(t("train.step_1"))
    with gr.Row():
        rate = radio(
            TrainAllOptions, "sample_rate", "train.sample_rate", choices=list(RATES_V2), min_width=200
        )
        version = radio(TrainAllOptions, "version", "train.version", min_width=120)
    with gr.Row():
        use_f0 = checkbox(TrainAllOptions, "use_f0", "train.use_f0", min_width=200)
        processes = slider(
            TrainAllOptions,
            "processes",
            "train.processes",
            value=default_processes(),
            minimum=0,
            maximum=core_count(),
            step=1,
            min_width=200,
        )
    return {"sample_rate": rate, "version": version, "use_f0": use_f0, "processes": processes}


def recordings_row() -> Components:
    """Step 2a: where the recordings are, and whose."""
    gr.Markdown(t("train.step_2a"))
    return {
        "trainset": gr.Textbox(**labelled("train.trainset"), elem_id="train-folder"),
        "speaker_id": slider(
            TrainAllOptions, "speaker_id", "train.speaker_id", minimum=0, maximum=MAX_SPEAKER_ID, step=1
        ),
    }


def extraction_row() -> Components:
    """Step 2b: how pitch and content are found."""
    gr.Markdown(t("train.step_2b"))
    with gr.Row():
        lists = {name: gpu_list(name) for name in ("gpus", "pitch_gpus")}
    return {
        **lists,
        "f0_method": radio(TrainAllOptions, "f0_method", "train.f0_method", elem_id="train-method"),
    }


def training_rows() -> Components:
    """Step 3: how long, how much at a time, from which base."""
    gr.Markdown(t("train.step_3"))
    options = TrainAllOptions
    with gr.Row():
        save_every = slider(
            options,
            "save_every_epoch",
            "train.save_every_epoch",
            minimum=1,
            maximum=MOST_SAVE_EPOCHS,
            step=1,
            min_width=180,
        )
        epochs = slider(
            options,
            "total_epoch",
            "train.total_epoch",
            minimum=2,
            maximum=MOST_EPOCHS,
            step=1,
            min_width=180,
            elem_id="train-epochs",
        )
    batch = slider(
        options, "batch_size", "train.batch_size", minimum=1, maximum=40, step=1, elem_id="train-batch"
    )
    return {"save_every_epoch": save_every, "total_epoch": epochs, "batch_size": batch}


def flag_rows() -> Components:
    with gr.Row():
        return {
            name: checkbox(TrainAllOptions, name, f"train.{name}", min_width=200)
            for name in ("latest_only", "cache_in_gpu", "save_every_weights")
        }


def base_row() -> Components:
    """What training begins from."""
    with gr.Row():
        names = ("pretrain_g", "pretrain_d")
        return {name: gr.Textbox(**labelled(f"train.{name}"), min_width=200) for name in names}


def gpu_list(name: str) -> gr.Textbox:
    return gr.Textbox(**labelled(f"train.{name}"), min_width=200, elem_id=f"train-{name.replace('_', '-')}")


def quiet_html(elem_id: str) -> gr.HTML:
    """A place for a text that a handler writes with `put`; it takes no room while there is none."""
    return gr.HTML(elem_id=elem_id, padding=False, elem_classes="rvc-quiet", visible=False)


def put(html: str) -> Any:
    """The update for a `quiet_html`."""
    return gr.update(value=html, visible=bool(html))


def extra_rows() -> Components:
    """What RVC does not ask; closed at first."""
    options = TrainAllOptions
    made: dict[str, Any] = {}
    with gr.Accordion(t("train.extra"), open=False, elem_id="train-extra"):
        with gr.Row():
            made["precision"] = dropdown(options, "precision", "train.precision", min_width=160)
            made["cuda_graphs"] = dropdown(options, "cuda_graphs", "train.cuda_graphs", min_width=160)
        with gr.Row():
            made["gradient_checkpointing"] = checkbox(
                options, "gradient_checkpointing", "train.gradient_checkpointing", min_width=200
            )
            made["fill_unvoiced"] = checkbox(options, "fill_unvoiced", "train.fill_unvoiced", min_width=200)
        low, high = SLICE_S_RANGE
        with gr.Row():
            made["slice_s"] = slider(
                options, "slice_s", "train.slice_s", minimum=low, maximum=high, step=0.1, min_width=200
            )
            made["seed"] = number(options, "seed", "train.seed", precision=0, minimum=0, min_width=120)
        made["encoder"] = text(options, "encoder", "train.encoder")
        made["config"] = text(options, "config", "train.config", value="", elem_id="train-config")
    return made


def picker_row() -> tuple[gr.Dropdown, gr.Button]:
    """The experiment: a new name, or one that is there."""
    with gr.Row(equal_height=False, elem_id="train-picker"):
        picker = gr.Dropdown(
            **labelled("train.experiment"),
            choices=[],
            value=None,  # chosen when the page is opened
            allow_custom_value=True,
            elem_id="train-experiment",
            scale=5,
        )
        refresh = gr.Button(t("train.refresh"), size="sm", scale=0, min_width=100)
    return picker, refresh


def start_button(key: str, *, primary: bool = False) -> gr.Button:
    name = key.rpartition(".")[2].replace("_", "-")
    variant = "primary" if primary else "secondary"
    return gr.Button(t(key), variant=variant, elem_id=f"train-{name}", min_width=140)


def stop_button(key: str) -> gr.Button:
    name = key.rpartition(".")[2].replace("_", "-")
    return gr.Button(
        t("train.stop"), variant="stop", visible=False, elem_id=f"train-{name}", min_width=100, scale=0
    )
