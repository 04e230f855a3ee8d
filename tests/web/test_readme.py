"""The README's tables and examples against the endpoints there are."""

import ast
import re
from dataclasses import fields

import gradio as gr
import pytest

from infer.lib.files import REPO
from infer.web import api
from infer.web.api import requests
from infer.web.page import Page
from tests.web.pages import make_home

README = (REPO / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory) -> dict[str, list[str]]:
    """Name -> parameters."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        api.add(Page.of(make_home(tmp_path_factory.mktemp("home"))))
    named = blocks.get_api_info()["named_endpoints"]
    return {name: [p["parameter_name"] for p in info["parameters"]] for name, info in named.items()}


def test_every_endpoint_is_in_the_table(endpoints):
    rows = [line for line in README.splitlines() if line.startswith("| `/")]
    listed = {name for row in rows for name in re.findall(r"`(/\w+)`", row)}
    assert listed == set(endpoints)


@pytest.mark.parametrize(
    "name", ["/infer_convert", "/infer_convert_batch", "/train_start", "/train_start_all"]
)
def test_the_table_has_the_parameters_in_their_order(endpoints, name):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    told = re.split(r"[,;] ", row.split("|")[2].strip())
    assert told == endpoints[name]


def test_the_examples_call_what_there_is(endpoints):
    assert len(EXAMPLES) == 2
    called = set()
    for example in EXAMPLES:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.Call) and any(k.arg == "api_name" for k in node.keywords):
                given = {k.arg: k.value for k in node.keywords}
                name = given.pop("api_name").value
                called.add(name)
                assert set(given) <= set(endpoints[name]), name
    assert {"/infer_convert", "/train_start_all"} <= called


def test_rvcs_parameters_come_first():
    names = [field.name for field in fields(requests.Convert)]
    assert names[:4] == ["speaker_id", "source", "f0_up_key", "f0_file"]
    assert names[11] == "protect" and names[12] == "voice"
