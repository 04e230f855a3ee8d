"""The Convert tab by clicking: comparison, stop, extraction, many recordings, narrow and dark screens."""

import zipfile

import numpy as np
import pytest
import soundfile

from infer.lib import checkpoint
from tests.e2e.browser import (
    PATIENCE_MS,
    Server,
    bubbles,
    choose,
    converted,
    needs_browser,
    open_page,
    type_into,
)
from tests.lib.tiny_voices import tiny_checkpoint
from tests.web.pages import SPEECH, tiny_voice

pytestmark = [pytest.mark.slow, needs_browser, pytest.mark.timeout(900)]
PLAYERS = "document.querySelector('.rvc-ab').rvcPlayers.map(({audio}) => [audio.muted, audio.currentTime])"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("convert") / "나의 it's"
    tiny_voice(root / "weights" / "anna_e1_s2.pth", info="1epoch")
    tiny_voice(root / "weights" / "bob.pth", seed=2)
    checkpoint.write_training(root / "weights" / "G_7.pth", tiny_checkpoint(epoch=7))
    server = Server(root).start()
    yield server
    server.stop()


@pytest.fixture
def page(server, browser):
    page = open_page(browser, server.url)
    page.wait_for_function("document.querySelector('#rvc-voice input').value === 'anna_e1_s2.pth'")
    page.locator("#rvc-single-f0_method").get_by_text("pm", exact=True).click()
    yield page
    assert page.mistakes == []
    page.context.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "노래.wav"
    audio, rate = soundfile.read(SPEECH)
    soundfile.write(path, audio[rate : 3 * rate], rate)
    return path


def test_two_results_are_compared_at_the_same_place(page, clip):
    type_into(page, "rvc-source-path", str(clip))
    for key in ("0", "12"):
        type_into(page, "rvc-single-f0_up_key", key)
        converted(page)
        page.locator("#rvc-pin").click()
    choices = page.locator(".rvc-ab-choice")
    choices.nth(1).wait_for()
    assert [text.split("\n")[-1] for text in choices.all_inner_texts()] == ["key +0", "key +12"]
    page.locator(".rvc-ab-play").click()
    page.wait_for_function(f"{PLAYERS}[0][1] > 0.3")
    choices.nth(1).click()
    (first_muted, first), (second_muted, second) = page.evaluate(PLAYERS)
    assert (first_muted, second_muted) == (True, False)
    assert second > 0.25 and abs(first - second) < 0.5
    page.keyboard.press("a")
    assert [muted for muted, _ in page.evaluate(PLAYERS)] == [False, True]
    assert choices.nth(0).get_attribute("aria-pressed") == "true"
    page.wait_for_selector('.rvc-ab-play[aria-label="Play"]')  # it has come to its end
    page.locator("#rvc-unpin").click()
    page.locator(".rvc-ab").wait_for(state="hidden")
    assert bubbles(page) == []


def test_a_stop_is_answered_and_the_next_run_goes_on(page, clip, tmp_path):
    audio, rate = soundfile.read(clip)
    soundfile.write(tmp_path / "long.wav", np.tile(audio, 90), rate)
    type_into(page, "rvc-source-path", str(tmp_path / "long.wav"))
    page.locator("#rvc-convert").click()
    page.wait_for_selector("#rvc-info .progress-text")
    page.locator("#rvc-stop").click()
    page.wait_for_function("document.querySelector('#rvc-info').innerText.trim() === 'Stopped.'")
    type_into(page, "rvc-source-path", str(clip))
    converted(page)
    assert bubbles(page) == []


def test_a_training_checkpoint_becomes_a_voice_by_one_click(page, server):
    choose(page, "rvc-voice", "G_7.pth")
    page.locator("#rvc-extract").click()
    page.wait_for_function("document.querySelector('#rvc-voice input').value === 'G_7_e7.pth'")
    assert (server.root / "weights" / "G_7_e7.pth").is_file()
    page.locator("#rvc-extract").wait_for(state="hidden")
    assert bubbles(page) == []
    (server.root / "weights" / "G_7_e7.pth").unlink()


def test_a_failure_says_why_and_nothing_else(page):
    type_into(page, "rvc-source-path", "/nowhere/song.wav")
    page.locator("#rvc-convert").click()
    page.wait_for_selector(".toast-body.error")
    assert "/nowhere/song.wav does not exist" in bubbles(page)[0]
    assert page.locator("#rvc-info").inner_text().strip() == ""


def test_many_recordings_with_a_bad_one_among_them(page, clip, tmp_path):
    for name in ("a", "b 나"):
        (tmp_path / f"{name}.wav").write_bytes(clip.read_bytes())
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    page.get_by_role("tab", name="Batch").click()
    page.locator("#rvc-batch-f0_method").get_by_text("pm", exact=True).click()
    type_into(page, "rvc-batch-folder", str(tmp_path))
    type_into(page, "rvc-batch-output", str(tmp_path / "out"))
    page.locator("#rvc-batch-convert").click()
    page.locator("#rvc-batch-zip").wait_for(timeout=PATIENCE_MS)
    assert "2 of 3 converted, 1 failed" in page.locator("#rvc-batch-info").inner_text()
    assert "bad.wav" in page.locator("#rvc-batch-failures").inner_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "b 나.wav"]
    assert page.locator("#rvc-batch-players audio").count() == 2
    with page.expect_download() as download:
        page.locator("#rvc-batch-zip").click()
    assert zipfile.ZipFile(download.value.path()).namelist() == ["a.wav", "b 나.wav"]
    assert bubbles(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(server, browser, clip, width, theme):
    page = open_page(browser, f"{server.url}?__theme={theme}", "ko-KR")
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function("document.querySelector('#rvc-voice input').value === 'anna_e1_s2.pth'")
    type_into(page, "rvc-source-path", str(clip))
    page.locator("#rvc-single-f0_method").get_by_text("pm", exact=True).click()
    converted(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('.tabitem *')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"
    )
    assert wide == []
    page.context.close()
