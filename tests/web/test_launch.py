import socket

import gradio as gr
import pytest

from infer.jobs.command import parse
from infer.lib.errors import BadInput
from infer.web import launch
from infer.web.launch import DEFAULT_PORT, PageOptions, free_port
from tests.web.pages import make_home


def options(*argv: str) -> PageOptions:
    return parse(PageOptions, argv, "python infer-web.py")


@pytest.mark.parametrize("flag", ["--listen", "--share", "--colab"])
def test_the_page_is_not_opened_to_others_without_a_password(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        options(flag)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert flag in said and "--auth=NAME:PASSWORD" in said


@pytest.mark.parametrize("auth", ["anna", "anna:", ":secret", ":"])
def test_half_a_password_is_refused(auth, capsys):
    with pytest.raises(SystemExit):
        options("--listen", f"--auth={auth}")
    assert "--auth=NAME:PASSWORD" in capsys.readouterr().err


def test_a_password_opens_the_page():
    chosen = options("--listen", "--colab", "--auth=anna:a:b")
    assert chosen.address == "0.0.0.0"
    assert chosen.public


def test_without_flags_only_this_machine_is_served():
    chosen = options()
    assert chosen.address == "127.0.0.1"
    assert not chosen.public


def test_rvcs_flags_are_accepted():
    chosen = options("--port", "7000", "--noautoopen", "--noparallel", "--pycmd", "python3", "--dml")
    assert chosen.port == 7000
    assert chosen.noautoopen and chosen.noparallel


@pytest.mark.parametrize(
    ("flag", "configured", "expected"),
    [(0, 7865, 7865), (8000, 7865, 8000), (70000, 7865, 7865), (-1, 7900, 7900), (0, 99999, DEFAULT_PORT)],
)
def test_a_port_out_of_range_means_the_default(flag, configured, expected):
    assert PageOptions(port=flag).wanted_port(configured) == expected


def test_a_taken_port_gives_the_next_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) <= port + launch.PORTS_TRIED


def test_no_free_port_is_said(monkeypatch):
    monkeypatch.setattr(launch, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match="--port"):
            free_port("127.0.0.1", taken.getsockname()[1])


def test_a_busy_machine_that_answers_late_is_no_reason_to_give_up(monkeypatch, tmp_path):
    """Gradio asks its own address, waits three seconds, and would end the program."""

    class Blocks(gr.Blocks):
        def block_thread(self):
            self.close(verbose=False)

    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)
    with Blocks() as blocks:
        gr.Markdown("page")
    monkeypatch.setattr("infer.web.app.build", lambda home: blocks)
    launch.serve(options("--noautoopen"), make_home(tmp_path), free_port("127.0.0.1", 18700))
