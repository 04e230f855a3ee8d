"""The ckpt tab in a real browser: a voice leaves as a zip, comes back under another name, and is deleted."""

import zipfile

import pytest

from infer.jobs.experiment import Experiment
from infer.lib.checkpoint import write_training
from infer.lib.voice_header import read_header
from tests.e2e.browser import Server, choose, chromium, needs_browser, open_page, tab, type_into
from tests.lib.tiny_voices import tiny_checkpoint
from tests.web.pages import tiny_voice

CKPT = 2


@pytest.fixture
def server(tmp_path):
    (tmp_path / "weights").mkdir()
    tiny_voice(tmp_path / "weights" / "anna.pth", 1, info="200epoch")
    experiment = Experiment(tmp_path / "logs" / "my singer")
    write_training(experiment.generator_checkpoint(70), tiny_checkpoint(epoch=40))
    running = Server(tmp_path).start()
    yield running
    running.stop()


def sub_tab(page, number: int) -> None:
    page.locator("#ckpt-tabs button[role=tab]").nth(number).click()


def shown(page, elem_id: str, text: str) -> None:
    """Waits until the result says so."""
    page.locator(f"#{elem_id}", has_text=text).wait_for()


@needs_browser
def test_share_extract_and_delete_by_clicking(server):
    with chromium() as browser:
        page = open_page(browser, server.url)
        tab(page, CKPT)
        sub_tab(page, 1)
        choose(page, "ckpt-export-voice", "anna.pth")
        shown(page, "ckpt-export-facts", "info: 200epoch")
        type_into(page, "ckpt-export-author", "me")
        page.locator("#ckpt-export").click()
        shown(page, "ckpt-exported", "The zip is ready")
        packed = server.root / "output" / "shared" / "anna.zip"
        assert "voice.json" in zipfile.ZipFile(packed).namelist()

        page.locator("#ckpt-import-files input[type=file]").set_input_files(packed)
        page.locator("#ckpt-import-files", has_text="anna").wait_for()
        type_into(page, "ckpt-import-name", "안나 2")
        page.locator("#ckpt-import").click()
        shown(page, "ckpt-imported", "안나 2.pth is ready")
        assert read_header(server.root / "weights" / "안나 2.pth").author == "me"

        sub_tab(page, 2)
        choose(page, "ckpt-checkpoint", "my singer / G_70.pth")
        shown(page, "ckpt-checkpoint-facts", "epoch 40")
        page.locator("#ckpt-extract").click()
        shown(page, "ckpt-extracted", "my singer_e40.pth is ready")

        sub_tab(page, 0)
        choose(page, "ckpt-file", "my singer_e40.pth")  # listed without a reload
        page.locator("#ckpt-delete-box button").first.click()
        page.locator("#ckpt-delete").click()
        page.locator("#ckpt-delete-yes").click()
        shown(page, "ckpt-deleted", "was deleted")
        assert not (server.root / "weights" / "my singer_e40.pth").exists()
        assert page.mistakes == []
    assert "-m infer.stages.ckpt export" in server.console()
