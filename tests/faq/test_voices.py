"""Questions 2, 3 and 10: voices that are listed, shared, and converted with an index."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from infer.lib.errors import RvcError
from infer.vc.voice import Voice
from infer.web.i18n import say
from infer.web.tabs.ckpt_share import SharePanel
from infer.web.tabs.convert_single import PREVIEW_RATES
from tests.faq.conftest import (
    KOREAN,
    PM,
    convert_tab,
    convert_values,
    samples,
    silent_progress,
    speaking,
)
from tests.web.pages import tiny_voice


def test_q02_a_new_voice_appears_in_a_page_that_was_open(page):
    picker, _ = convert_tab(page)
    opened = page._look("", "")
    before = picker._list(None)[0]
    tiny_voice(page.home.weights / "새 목소리.pth")
    assert page._look(*opened)[0] != opened[0]  # which the page looks for every two seconds
    current, *_ = picker._list(before["value"])
    assert "새 목소리.pth" not in before["choices"]
    assert set(current["choices"]) == {*before["choices"], "새 목소리.pth"}
    assert current["value"] == (before["value"] or "새 목소리.pth")  # a choice is never taken away


def test_q02_what_the_page_notices_reaches_the_dropdown(page):
    picker, _ = convert_tab(page)
    block = page.voices_seen.parent
    while block.parent is not None:
        block = block.parent
    events = [fn for fn in block.fns.values() if (page.voices_seen._id, "change") in fn.targets]
    assert any(picker.voice in fn.outputs for fn in events)


def test_q02_a_file_that_cannot_be_used_is_listed_with_its_reason(page):
    picker, _ = convert_tab(page)
    good = tiny_voice(page.home.weights / "good.pth")
    (page.home.weights / "cut off.pth").write_bytes(good.read_bytes()[:3000])
    (page.home.weights / "a text.pth").write_text("hello")
    with speaking(KOREAN):
        dropdown, box, html, *_ = picker._list(None)
    assert box["visible"] and dropdown["choices"][0] == "good.pth"
    assert not {"cut off.pth", "a text.pth"} & set(dropdown["choices"])
    reasons = {name: str(error) for name, error in page.voices.errors().items()}
    assert set(reasons) == {"cut off.pth", "a text.pth"}
    assert all(name in html for name in reasons)
    assert not any(reason in html for reason in reasons.values())  # in the user's language


@pytest.mark.slow
def test_q02_a_voice_that_was_trained_is_there_with_its_epochs(one_click):
    names = one_click.page.voices.names()
    assert one_click.voice.name in names
    assert any(name.startswith(f"{one_click.voice.stem}_e1_s") for name in names)


def share_panel(page):
    import gradio as gr

    with gr.Blocks():
        page.add_watchers()
        return SharePanel(page)


@pytest.mark.slow
def test_q03_an_exported_voice_sounds_the_same_in_another_home(one_click, page, speech):
    sender = share_panel(one_click.page)
    values = {sender.voice.box: one_click.voice.name, sender.with_index: True}
    *_, (told, packed) = sender._export(values | {sender.author: "나", sender.licence: "CC0"})
    assert "rvc-bad" not in told and packed["value"].endswith(".zip")
    taker = share_panel(page)
    *_, (told, *_) = taker._import({taker.files: [packed["value"]], taker.name: "", taker.overwrite: False})
    assert "rvc-bad" not in told
    results = []
    for home in (one_click.page, page):
        result = home.engine.convert(speech, home.voices.path(one_click.voice.name), PM)
        assert result.index_used is not None
        results.append(samples(result.path))
    assert np.array_equal(*results)
    header = page.voices.header(one_click.voice.name)
    assert (header.author, header.licence) == ("나", "CC0")


@pytest.mark.slow
def test_q03_a_training_checkpoint_given_as_a_voice_is_named_and_extracted(one_click, page, speech):
    checkpoint = one_click.experiment.generator_files()[0]
    shutil.copy(checkpoint, page.home.weights)
    picker, single = convert_tab(page)
    with speaking(KOREAN):
        text, button, path, *_ = picker._chosen(checkpoint.name)
        assert say(KOREAN, "convert.is_checkpoint", name=checkpoint.name) in text and button["visible"]
        with pytest.raises(RvcError, match=checkpoint.name):
            picker.path(checkpoint.name)
        dropdown, *_ = picker._extract(path)
        values = convert_values(single, voice=dropdown["value"], audio=speech, index_rate=0)
        facts, audio, *_ = single._convert(values, silent_progress)
    assert dropdown["value"] in page.voices.names()
    assert len(samples(audio["value"])) > 0.9 * 40000


@pytest.fixture
def heard(monkeypatch):
    """The features of each conversion, as the voice gets them."""
    seen = []
    real = Voice.synthesize

    def spy(voice, features, *rest):
        seen.append(features.detach().clone())
        return real(voice, features, *rest)

    monkeypatch.setattr(Voice, "synthesize", spy)
    return seen


@pytest.mark.slow
def test_q10_rate_zero_is_no_index_and_more_of_it_leads_further_away(one_click, page, speech, heard):
    (index,) = one_click.experiment.index_files()
    voice = tiny_voice(page.home.weights / "sings.pth")
    broken = page.home.weights / "broken.index"
    broken.write_bytes(b"no index")

    def convert(rate, index):
        return page.engine.convert(speech, voice, replace(PM, index_rate=rate, protect=0.5), index=index)

    without = convert(0.75, None)
    for unused in (index, broken):  # not even loaded
        assert np.array_equal(samples(convert(0.0, unused).path), samples(without.path))
    with pytest.raises(RvcError, match=r"broken\.index"):
        convert(0.5, broken)
    heard.clear()
    for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
        convert(rate, index)
    distances = [float((features - heard[0]).norm()) for features in heard]
    assert distances[0] == 0 and distances == sorted(distances)
    assert distances[4] == pytest.approx(4 * distances[1], rel=1e-3)


@pytest.mark.slow
def test_q10_the_preview_plays_no_half_and_full_index(one_click, speech):
    _, single = convert_tab(one_click.page)
    values = convert_values(single, voice=one_click.voice.name, audio=speech)
    with speaking(KOREAN):
        _, player, *_ = single._preview(values, silent_progress)
    items = player["value"]["items"]
    labels = [say(KOREAN, "convert.differs.index_rate", value=rate) for rate in PREVIEW_RATES]
    assert [item["label"] for item in items] == labels
    assert len({samples(item["file"]["path"]).tobytes() for item in items}) == 3
