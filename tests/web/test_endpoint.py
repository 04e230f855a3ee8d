import inspect
from pathlib import Path

import gradio as gr
import pytest
from gradio import FileData

from infer.lib.errors import BadInput
from infer.web.api import requests
from infer.web.api.endpoint import add_endpoint, filled, truth


def test_the_first_values_are_rvcs_in_its_order():
    call = filled(requests.Convert, (0, "a b.wav", "12", None, "rmvpe", "", "x.index", 0.5, 3, 0, 0.25, 0.33))
    assert call.source == Path("a b.wav") and call.f0_up_key == 12.0
    assert call.index_choice == "x.index" and call.protect == 0.33
    assert call.voice == "" and call.format == "wav"


def test_an_uploaded_file_is_its_path():
    uploaded = FileData(path="/tmp/a.wav")
    assert filled(requests.Convert, (0, uploaded)).source == Path("/tmp/a.wav")
    assert filled(requests.Convert, (0, {"path": "/tmp/b.wav"})).source == Path("/tmp/b.wav")
    batch = filled(requests.ConvertBatch, (0, "", "opt", [{"path": "/tmp/c.wav"}, "/tmp/d.wav"]))
    assert batch.files == [Path("/tmp/c.wav"), Path("/tmp/d.wav")]


def test_pasted_paths_lose_their_quotes():
    assert filled(requests.Convert, (0, '"C:/my songs/a.wav" ')).source == Path("C:/my songs/a.wav")


@pytest.mark.parametrize("word", ["Yes", "是", "예", "はい", True, 1, "true"])
def test_yes_in_the_languages_of_rvcs_page(word):
    assert truth("cache", word) is True


@pytest.mark.parametrize("word", ["No", "否", "아니요", "いいえ", False, 0, ""])
def test_no_in_the_languages_of_rvcs_page(word):
    assert truth("cache", word) is False


def test_anything_else_is_refused_by_its_name():
    with pytest.raises(BadInput, match="cache_in_gpu is 'maybe'"):
        filled(requests.Train, ("mi", "40k", True, 0, 5, 20, 4, False, "", "", "0", "maybe"))
    with pytest.raises(BadInput, match="total_epoch is 'many'"):
        filled(requests.Train, ("mi", "40k", True, 0, 5, "many"))


def test_the_endpoint_has_the_fields_as_parameters():
    with gr.Blocks() as blocks:
        add_endpoint(requests.Modify, lambda request: request.info, str, "ckpt_modify")
    function = next(fn for fn in blocks.fns.values() if fn.api_name == "ckpt_modify")
    parameters = inspect.signature(function.fn).parameters
    assert list(parameters) == ["voice", "info", "name"]
    assert parameters["name"].default == ""
    assert function.fn("a", "b") == "b"
