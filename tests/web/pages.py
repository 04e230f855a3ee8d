"""A user's folders for tests of the page: tiny voices that convert for real, and a served page."""

import contextlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gradio as gr
import numpy as np
import torch

import config
from infer.lib import checkpoint
from infer.lib.content import load_encoder
from infer.lib.models.spec import ModelSpec
from infer.lib.models.synthesizer import Synthesizer
from infer.lib.packed_layout import GENERATOR, VOICE_KEY
from infer.lib.speaker_index import write_rows
from infer.lib.starter_files import BASE_FILE, ENCODER_FILE, FOLDER, INDEX_FILE
from infer.web.home import Home
from infer.web.launch import free_port
from tests.vc.conftest import SIZES

AUDIO = Path(__file__).parents[1] / "data" / "audio"
SHIPPED = config.ASSETS  # as it is, whatever a test makes of the setting
SPEECH = AUDIO / "sources" / "speech_m_48k_p286.flac"


def make_home(root: Path) -> Home:
    """Empty folders of experiments, voices and results; the shipped encoder, but not the demo voices."""
    home = Home(
        root=root,
        assets=assets_without_base(root / "assets"),
        logs=root / "logs",
        weights=root / "weights",
        output=root / "opt",
        settings=lambda **chosen: config.settings(**{"device": "cpu"} | chosen),
    )
    for folder in (home.logs, home.weights):
        folder.mkdir(parents=True, exist_ok=True)
    return home


def assets_without_base(folder: Path) -> Path:
    """What lies in assets/, by links; of assets/starter the content encoder alone."""
    if not folder.exists():
        (folder / FOLDER).mkdir(parents=True)
        for path in [*SHIPPED.iterdir(), SHIPPED / FOLDER / ENCODER_FILE]:
            if path.name != FOLDER:
                (folder / path.relative_to(SHIPPED)).symlink_to(path)
    return folder


def demo_voices(assets: Path, names: tuple[str, ...] = ("Ann", "", "Bo"), rows: tuple[int, ...] = (0, 2)):
    """A tiny base with demo voices and their index in `assets`/starter; its path. The index pulls each
    speaker to a constant of its own."""
    spec = ModelSpec("v2", 40000, True, 3, 1025, 32, **SIZES)
    drawn = torch.Generator().manual_seed(5)
    weights = {
        name: tensor if name.endswith("weight_g") else _filled(tensor, drawn)
        for name, tensor in Synthesizer(spec).state_dict().items()
    }
    notes = {
        "config": spec.voice_config(), "version": "v2", "sr": "40k", "f0": 1, "info": "7epoch",
        "encoder": starter_name(), "speaker_names": list(names), "speaker_median_hz": [200.0, 0.0, 110.0],
    }  # fmt: skip
    path = assets / FOLDER / BASE_FILE
    checkpoint.write_packed(path, weights, GENERATOR, **{VOICE_KEY: json.dumps(notes)})
    constants = {number: np.full((4, 768), number + 1, np.float32) for number in rows}
    write_rows(path.with_name(INDEX_FILE), constants, starter_name())
    return path


@cache
def starter_name() -> str:
    """What a voice records as its encoder when it was trained with the shipped one."""
    return load_encoder("starter", SHIPPED, "cpu", torch.float32).name


def tiny_voice(path: Path, seed: int = 1, n_speakers: int = 3, **fields) -> Path:
    """Writes a voice of random weights, loud enough to be heard; `seed` makes it its own."""
    spec = ModelSpec("v2", 40000, fields.pop("use_f0", True), n_speakers, 1025, 32, **SIZES)
    drawn = torch.Generator().manual_seed(seed)
    weights = {
        name: tensor if name.endswith("weight_g") else _filled(tensor, drawn)
        for name, tensor in Synthesizer(spec, posterior=False).state_dict().items()
    }
    fields.setdefault("encoder", starter_name())
    checkpoint.write_voice(path, checkpoint.VoiceFile(spec, weights, **fields))
    return path


def _filled(tensor: torch.Tensor, drawn: torch.Generator) -> torch.Tensor:
    values = torch.randn(tensor.shape, generator=drawn)
    return values / max(tensor[0].numel(), 1) ** 0.5 if tensor.dim() > 1 else 0.1 * values


@contextlib.contextmanager
def served(blocks: gr.Blocks) -> Iterator[str]:
    """The address of `blocks`, served from this process on a free port."""
    blocks.queue(default_concurrency_limit=4)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1",
        server_port=free_port("127.0.0.1", 17865),
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,
        quiet=True,
    )
    try:
        yield url
    finally:
        blocks.close(verbose=False)
