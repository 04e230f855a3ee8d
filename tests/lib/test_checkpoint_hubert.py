"""HuBERT files of fairseq, read without fairseq."""

import argparse
import collections
import sys
import types
import typing
from pathlib import Path

import pytest
import torch

from infer.lib.checkpoint import kind_of, read_hubert_pickle, read_voice
from infer.lib.errors import BadCheckpoint

FAIRSEQ = Path(__file__).parents[1] / "data" / "hubert_fairseq_tiny_fp16.pt"
FOREIGN = {
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.nodes": ("AnyNode",),
    "fairseq.data.dictionary": ("Dictionary",),
}


def install(monkeypatch, module_name, class_names) -> dict[str, type]:
    """Classes that pickle refers to as `module_name.<class>`, for the length of a test."""
    parts = module_name.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or types.ModuleType(name))
    made = {name: type(name, (), {"__module__": module_name}) for name in class_names}
    for name, made_class in made.items():
        monkeypatch.setattr(sys.modules[module_name], name, made_class, raising=False)
    return made


@pytest.fixture
def foreign(monkeypatch):
    """Classes under the names that fairseq files use."""
    made = {}
    for module_name, class_names in FOREIGN.items():
        made |= install(monkeypatch, module_name, class_names)
    return made


def node(foreign, value):
    """An omegaconf-like tree: nodes of dicts and lists over leaves that keep their value in `_val`."""
    if isinstance(value, dict):
        made = foreign["DictConfig"]()
        made._content = {key: node(foreign, item) for key, item in value.items()}
    elif isinstance(value, list):
        made = foreign["ListConfig"]()
        made._content = [node(foreign, item) for item in value]
    else:
        made = foreign["AnyNode"]()
        made._val = value
    made._metadata = foreign["ContainerMetadata"]()
    made._metadata.ref_type = typing.Any
    made._metadata.resolver_cache = collections.defaultdict(dict)
    made._parent = None
    return made


def checkpoint(cfg, **more) -> dict:
    model = {"mask_emb": torch.ones(4).half(), "post_extract_proj.weight": torch.ones(4, 2).half()}
    return {"args": None, "cfg": cfg, "model": model, **more}


def test_file_of_fairseqs_trainer():
    state, info = read_hubert_pickle(FAIRSEQ)
    assert len(state) == 54
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert state["encoder.pos_conv.0.weight_g"].shape == (1, 1, 128)
    assert info == {"normalize": False, "heads": 4}
    assert kind_of(FAIRSEQ) == "hubert"


def test_it_is_not_a_voice():
    with pytest.raises(BadCheckpoint, match="HuBERT content encoder.*not a voice"):
        read_voice(FAIRSEQ)


@pytest.mark.parametrize("zip_container", [True, False])
def test_configuration_of_omegaconf(tmp_path, foreign, zip_container):
    cfg = {
        "model": {"encoder_attention_heads": 6, "list": [1, 2]},
        "task": {"normalize": True, "label_dir": None},
    }
    content = checkpoint(node(foreign, cfg), task_state={"dictionaries": [foreign["Dictionary"]()]})
    content["args"] = argparse.Namespace(seed=1)
    torch.save(content, tmp_path / "h.pt", _use_new_zipfile_serialization=zip_container)
    state, info = read_hubert_pickle(tmp_path / "h.pt")
    assert list(state) == ["mask_emb", "post_extract_proj.weight"]
    assert info == {"normalize": True, "heads": 6}


@pytest.mark.parametrize(
    "cfg", [None, {}, {"model": None, "task": 3}, {"model": {"encoder_attention_heads": "12"}}]
)
def test_without_a_configuration_it_is_the_base_model(tmp_path, cfg):
    torch.save(checkpoint(cfg), tmp_path / "h.pt")
    assert read_hubert_pickle(tmp_path / "h.pt")[1] == {"normalize": False, "heads": 12}


def test_the_names_are_not_allowed_elsewhere(tmp_path, foreign):
    read_hubert_pickle(FAIRSEQ)
    torch.save({"weight": {}, "config": collections.defaultdict(dict)}, tmp_path / "voice.pth")
    with pytest.raises(BadCheckpoint, match="asks for collections.defaultdict"):
        read_voice(tmp_path / "voice.pth")


def test_a_class_beside_the_table_is_refused(tmp_path, monkeypatch):
    made = install(monkeypatch, "fairseq.trainer", ["Trainer"])
    torch.save(checkpoint(made["Trainer"]()), tmp_path / "h.pt")
    with pytest.raises(BadCheckpoint, match="asks for fairseq.trainer.Trainer"):
        read_hubert_pickle(tmp_path / "h.pt")


@pytest.mark.parametrize("tensor", [torch.tensor([float("nan")]), torch.zeros(1, dtype=torch.int32), "text"])
def test_anything_but_finite_weights_is_refused(tmp_path, tensor):
    content = checkpoint({})
    content["model"]["mask_emb"] = tensor
    torch.save(content, tmp_path / "h.pt")
    with pytest.raises(BadCheckpoint, match="mask_emb"):
        read_hubert_pickle(tmp_path / "h.pt")
