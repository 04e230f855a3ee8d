"""Which encoder is loaded, and which voices may use it."""

from pathlib import Path

import pytest

from infer.lib.content import encoder_path, load_encoder, same_encoder, which_for
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile

ASSETS = Path(__file__).parents[3] / "assets"


class Named:
    def __init__(self, name):
        self.name = name
        self.family = name.split(":")[0]


def test_auto_prefers_hubert_and_falls_back_to_the_starter(tmp_path):
    assert encoder_path("auto", tmp_path) == tmp_path / "starter/content_encoder.safetensors"
    (tmp_path / "hubert_base").mkdir()  # an empty folder is no model
    assert encoder_path("auto", tmp_path).suffix == ".safetensors"
    (tmp_path / "hubert_base/config.json").write_text("{}")
    assert encoder_path("auto", tmp_path) == tmp_path / "hubert_base"
    (tmp_path / "hubert").mkdir()
    (tmp_path / "hubert/hubert_base.pt").write_bytes(b"x")
    assert encoder_path("hubert", tmp_path).name == "hubert_base.pt"
    assert encoder_path("starter", tmp_path).suffix == ".safetensors"


def test_missing_hubert_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingFile, match=r"hubert_base.pt is missing: run `python tools/download_assets.py"):
        load_encoder("hubert", tmp_path)
    with pytest.raises(MissingFile, match="nowhere"):
        load_encoder(str(tmp_path / "nowhere"), tmp_path)


def test_a_text_file_is_no_encoder(tmp_path):
    file = tmp_path / "hubert_base.pt"
    file.write_text("not a model")
    with pytest.raises(BadCheckpoint):
        load_encoder(file, tmp_path)


def test_unknown_precision_is_refused():
    with pytest.raises(BadInput, match="fp8"):
        load_encoder("starter", ASSETS, "cpu", "fp8")


def test_a_voice_works_with_its_own_encoder_only():
    hubert, starter = Named("hubert:aaaaaaaaaaaa"), Named("starter-1:bbbbbbbbbbbb")
    same_encoder(None, hubert)  # a file of RVC
    same_encoder(hubert.name, hubert)
    same_encoder(starter.name, starter)
    with pytest.raises(BadInput, match="--encoder=hubert"):
        same_encoder(None, starter)
    with pytest.raises(BadInput, match="the index x was made with .*starter-1.* use --encoder=starter"):
        same_encoder(starter.name, hubert, "the index x")
    with pytest.raises(BadInput, match="hubert:cccccccccccc"):
        same_encoder("hubert:cccccccccccc", hubert)


def test_which_encoder_a_voice_needs():
    assert [which_for(name) for name in (None, "hubert:1", "starter-1:1")] == ["hubert", "hubert", "starter"]
