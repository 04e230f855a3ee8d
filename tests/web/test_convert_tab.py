"""The Convert tab's handlers, called as Gradio calls them: by the values of their components."""

import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile
from PIL import Image

from infer.lib import checkpoint
from infer.lib.errors import RvcError
from infer.lib.f0 import METHODS
from infer.vc.options import FORMATS, ConvertOptions
from infer.web import downloads
from infer.web.engine_result import Stopped
from infer.web.page import Page
from infer.web.tabs.convert_batch import BatchTab
from infer.web.tabs.convert_controls import Controls
from infer.web.tabs.convert_single import PREVIEW_RATES, SingleTab
from infer.web.tabs.convert_voice import VoicePicker
from infer.web.wish import Wish, stoppable
from tests.lib.tiny_voices import tiny_checkpoint
from tests.web.pages import SPEECH, demo_voices, make_home, starter_name, tiny_voice
from tests.web.test_engine import _index


@dataclass
class Tab:
    """The tab without a browser."""

    page: Page
    picker: VoicePicker
    single: SingleTab
    batch: BatchTab
    blocks: gr.Blocks

    def values(self, part, **changes) -> dict:
        """What the browser would send: defaults, and `changes` by name of a control or attribute."""
        values = {component: component.value for component in part.controls.components}
        values |= {self.picker.voice: "anna.pth", self.picker.speaker: 0, part.wish: Wish()}
        if part is self.single:
            values |= {part.audio: None, part.path: ""}
        else:
            values |= {part.folder: "", part.files: None, part.output: "opt"}
        values[part.controls.by_field["f0_method"]] = "pm"
        for name, value in changes.items():
            values[part.controls.by_field.get(name) or _component(self, part, name)] = value
        return values


def _component(tab, part, name):
    return getattr(part, name, None) or getattr(part.controls, name, None) or getattr(tab.picker, name)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("tab"))
    tiny_voice(home.weights / "anna.pth", n_speakers=109, info="3epoch <b>")
    tiny_voice(
        home.weights / "choir.pth", n_speakers=2, extra={"speaker_names": ["gu", "밥"], "median_hz": 233.0}
    )
    tiny_voice(home.weights / "solo.pth", n_speakers=1)
    checkpoint.write_training(home.weights / "G_100.pth", tiny_checkpoint(epoch=7))
    (home.weights / "page.pth").write_text("<!doctype html><html>")
    _index(home, "anna")
    return home


@pytest.fixture
def tab(home, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    with gr.Blocks(analytics_enabled=False) as blocks:
        page = Page.of(home)
        page.add_watchers()
        picker = VoicePicker(page)
        picker.build()
        single, batch = SingleTab(page, picker), BatchTab(page, picker)
        single.build()
        batch.build()
        for part in (picker, single, batch):
            part.wire()
    return Tab(page, picker, single, batch, blocks)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "노래 'a'.wav"
    audio, rate = soundfile.read(SPEECH)
    soundfile.write(path, audio[rate : 2 * rate], rate)
    return path


# what RVC has -----------------------------------------------------------------------------


def test_single_has_rvcs_controls_ranges_and_defaults(tab):
    controls = tab.single.controls.by_field
    ranges = {
        name: (controls[name].minimum, controls[name].maximum, controls[name].step, controls[name].value)
        for name in ("index_rate", "protect", "rms_mix_rate", "filter_radius", "resample_sr")
    }
    assert ranges == {
        "index_rate": (0, 1, 0.01, 0.75),
        "protect": (0, 0.5, 0.01, 0.33),
        "rms_mix_rate": (0, 1, 0.01, 0.25),
        "filter_radius": (0, 7, 1, 3),
        "resample_sr": (0, 48000, 1, 0),
    }
    assert controls["f0_up_key"].value == 0
    assert [value for value, _ in controls["f0_method"].choices] == ["auto", *METHODS]
    assert [value for value, _ in controls["format"].choices] == list(FORMATS)
    assert isinstance(controls["f0_file"], gr.File)


def test_batch_has_rvcs_other_defaults(tab):
    controls = tab.batch.controls.by_field
    assert (controls["rms_mix_rate"].value, controls["index_rate"].value) == (1, 1)
    assert tab.batch.output.value == "opt"


def test_no_listener_is_an_endpoint_and_conversions_wait_in_line(tab):
    functions = tab.blocks.fns.values()
    assert {fn.api_visibility for fn in functions} == {"private"}
    assert {fn.concurrency_id for fn in functions} >= {"convert", "batch"}
    assert all(fn.concurrency_limit == 1 for fn in functions if fn.concurrency_id in ("convert", "batch"))


def test_values_become_options(tab):
    values = tab.values(
        tab.single, f0_up_key=-3.5, filter_radius=5.0, resample_sr=44100.0, seed=-1.0, f0_file="curve.csv",
        format="ogg", index_rate=None,
    )  # fmt: skip
    assert tab.single.controls.options(values, 2.0) == ConvertOptions(
        speaker_id=2, f0_up_key=-3.5, f0_method="pm", filter_radius=5, resample_sr=44100, seed=-1,
        f0_file=Path("curve.csv"), format="ogg",
    )  # fmt: skip


def test_a_typed_index_wins_over_the_list(tab):
    controls: Controls = tab.single.controls
    assert controls.index(tab.values(tab.single)) == "auto"
    assert controls.index(tab.values(tab.single, index_list="/a/b.index")) == "/a/b.index"
    assert controls.index(tab.values(tab.single, index_list=None)) is None
    typed = tab.values(tab.single, index_list="/a/b.index", index_box=' "/c/trained_d.index" ')
    assert controls.index(typed) == Path("/c/added_d.index")


# the voice --------------------------------------------------------------------------------


def test_the_list_offers_voices_and_says_what_cannot_be_used(tab):
    voice, box, problems, *indexes = tab.picker._list(None)
    assert voice["choices"] == ["anna.pth", "choir.pth", "solo.pth", "G_100.pth"]
    assert voice["value"] == "anna.pth"
    assert box["visible"] is True
    assert "page.pth" in problems
    assert "a web page" in problems
    assert "G_100" not in problems
    assert [[value for _, value in index["choices"]][0] for index in indexes] == ["auto", "auto"]


def test_a_choice_stays_while_its_file_does(tab):
    assert tab.picker._list("solo.pth")[0]["value"] == "solo.pth"
    assert tab.picker._list("gone.pth")[0]["value"] == "anna.pth"


def test_choosing_fills_facts_speakers_and_index(tab, home):
    facts, extract, checkpoint_path, slider, names, *indexes = tab.picker._chosen("anna.pth")
    for fact in ("v2", "40k", starter_name().partition(":")[0], "3epoch &lt;b&gt;", "109"):
        assert fact in facts
    assert extract["visible"] is False
    assert checkpoint_path == ""
    assert (slider["visible"], slider["maximum"], slider["value"]) == (True, 108, 0)
    assert names["visible"] is False
    assert [Path(index["value"]).parent.name for index in indexes] == ["anna", "anna"]


def test_speakers_are_chosen_by_name_where_they_have_one(tab):
    facts, _, _, slider, names, *indexes = tab.picker._chosen("choir.pth")
    assert names["choices"] == [("gu", 0), ("밥", 1)]
    assert (slider["visible"], names["visible"]) == (False, True)
    assert "233" in facts
    assert "No index carries the name" in facts
    assert [index["value"] for index in indexes] == ["auto", "auto"]


def test_a_single_speaker_needs_no_choice(tab):
    _, _, _, slider, names, *_ = tab.picker._chosen("solo.pth")
    assert (slider["visible"], names["visible"]) == (False, False)


def test_a_training_checkpoint_is_extracted_with_one_click(tab, home):
    facts, extract, path, *_ = tab.picker._chosen("G_100.pth")
    assert "not a finished voice" in facts
    assert extract["visible"] is True
    with pytest.raises(RvcError, match="Extract now"):
        tab.picker.path("G_100.pth")
    voice, facts, extract = tab.picker._extract(path)
    assert voice["value"] == "G_100_e7.pth"
    assert voice["value"] in voice["choices"]
    assert extract["visible"] is False
    assert tab.picker.path("G_100_e7.pth").is_file()
    assert tab.picker._extract(path)[0]["value"] == "G_100_e7 2.pth"
    for name in ("G_100_e7", "G_100_e7 2"):
        (home.weights / f"{name}.pth").unlink()


def test_an_added_file_is_imported_or_offered_for_extraction(tab, home, tmp_path):
    voice = tiny_voice(tmp_path / "new 목소리.pth")
    update, facts, extract, pending = tab.picker._add([str(voice)])
    assert update["value"] == "new 목소리.pth"
    assert "new 목소리" in facts
    assert (extract["visible"], pending) == (False, "")
    (home.weights / "new 목소리.pth").unlink()
    upload = tmp_path / "G_5.pth"
    checkpoint.write_training(upload, tiny_checkpoint(epoch=2))
    _, facts, extract, pending = tab.picker._add([str(upload)])
    assert extract["visible"] is True
    assert pending == str(upload)


# one recording ----------------------------------------------------------------------------


def test_without_a_recording_or_voice_the_reason_is_told(tab, clip):
    with pytest.raises(RvcError, match="no recording"):
        tab.single._convert(tab.values(tab.single), progress=_silent)
    with pytest.raises(RvcError, match="No voice is chosen"):
        tab.single._convert(tab.values(tab.single, path=str(clip), voice=None), progress=_silent)


def test_a_typed_path_may_begin_at_home(tab):
    assert tab.single.source(tab.values(tab.single, path=' "~/a b.wav" ')) == Path.home() / "a b.wav"


def test_the_typed_path_wins_over_the_upload(tab, clip):
    values = tab.values(tab.single, audio="other.wav", path=f' "{clip}" ')
    assert tab.single.source(values) == clip
    assert tab.single.source(tab.values(tab.single, audio=str(clip))) == clip


def test_a_conversion_by_values(tab, clip):
    told = []
    values = tab.values(tab.single, audio=str(clip), f0_up_key=12)
    facts, audio, download, pin, result = tab.single._convert(
        values, progress=lambda share, desc: told.append((share, desc))
    )
    sound, rate = soundfile.read(audio["value"])
    assert rate == 40000
    assert len(sound) / rate == pytest.approx(1.0, abs=0.03)
    assert np.abs(sound).max() > 0.01
    assert download["value"] == audio["value"]
    assert pin["visible"] is True
    assert Path(audio["value"]).name == "노래 'a' - anna.wav"
    assert "index added_IVF" in facts
    assert "pitch pm" in facts
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert told[-1][1] == "Piece 1 of 1"
    assert result.options.f0_up_key == 12


def test_warnings_are_sentences_of_the_page(tab, clip):
    facts, *_ = tab.single._convert(
        tab.values(tab.single, audio=str(clip), voice="solo.pth"), progress=_silent
    )
    assert "No feature index was used with solo.pth" in facts


def test_pictures_follow_the_sound(tab, clip):
    *_, result = tab.single._convert(tab.values(tab.single, audio=str(clip)), progress=_silent)
    views, plot, source, output = tab.single._draw(result)
    assert views["visible"] is True
    assert "Pitch of the source" in plot
    assert plot.count("<path") == 2
    assert Image.open(source).size[1] == Image.open(output).size[1]


def test_stop_ends_the_run_that_is_going_on(tab, clip):
    wish = Wish()
    values = tab.values(tab.single, audio=str(clip)) | {tab.single.wish: wish}

    def progress(share, desc):
        if desc == "Converting":
            tab.single._stop(wish)

    with pytest.raises(RvcError, match="Stopped"):
        tab.single._convert(values, progress=progress)
    wish.asked()
    assert tab.single._convert(values, progress=_silent)  # the next run is not concerned


def test_a_stop_that_overtakes_the_run_on_its_way_ends_it(tab, clip, tmp_path):
    singles = tab.values(tab.single, audio=str(clip))
    batches = tab.values(tab.batch, files=[str(clip)], output=str(tmp_path / "out"))
    for part, values in ((tab.single, singles), (tab.batch, batches)):
        part._asked(values[part.wish])
        part._stop(values[part.wish])
    with pytest.raises(Stopped):
        tab.single._convert(singles, progress=_silent)
    assert "Stopped" in list(tab.batch._convert(batches, progress=_silent))[-1][0]
    assert not list(tmp_path.glob("out/*"))


def test_a_stopped_run_is_no_failure_and_leaves_the_last_result(tab):
    def stopped(values):
        raise Stopped

    text, *others = stoppable(stopped, 3)({})
    assert "Stopped" in text
    assert others == [gr.skip()] * 2
    assert tab.single._draw(None) == (gr.skip(),) * 4


def test_the_key_is_suggested_or_asked_for(tab, clip):
    key, text, targets, hz = tab.single._suggest(tab.values(tab.single, audio=str(clip), voice="choir.pth"))
    assert key == round(12 * np.log2(233 / hz))
    assert targets["visible"] is False
    key, text, targets, hz = tab.single._suggest(tab.values(tab.single, audio=str(clip)))
    assert "Is it a low or a high voice?" in text
    assert targets["visible"] is True
    assert 70 < hz < 200


def test_the_index_rate_is_previewed_in_three_steps(tab, clip):
    text, player, pins, _ = tab.single._preview(tab.values(tab.single, audio=str(clip)), progress=_silent)
    items = player["value"]["items"]
    assert [item["label"] for item in items] == ["index 0", "index 0.5", "index 1"]
    sounds = [soundfile.read(item["file"]["path"])[0] for item in items]
    assert len({len(sound) for sound in sounds}) == 1
    assert all(np.abs(a - b).max() > 0 for a, b in zip(sounds, sounds[1:], strict=False))
    assert len(PREVIEW_RATES) == 3
    assert "8" in text


def test_without_an_index_there_is_nothing_to_preview(tab, clip):
    values = tab.values(tab.single, audio=str(clip), voice="solo.pth")
    with pytest.raises(RvcError, match=r"No index fits solo\.pth"):
        tab.single._preview(values, progress=_silent)


def test_results_are_pinned_to_compare(tab, clip):
    pins = []
    for key in (0, 12):
        *_, result = tab.single._convert(
            tab.values(tab.single, audio=str(clip), f0_up_key=key), progress=_silent
        )
        pins, player, clear = tab.single._pin(pins, result)
    assert [item["label"] for item in player["value"]["items"]] == ["key +0", "key +12"]
    assert clear["visible"] is True
    assert tab.single._unpin()[0] == []
    with pytest.raises(RvcError, match="no result yet"):
        tab.single._pin([], None)


# many recordings --------------------------------------------------------------------------


def test_a_batch_by_values(tab, clip, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.wav", "sub/b.wav"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "bad.wav").write_bytes(b"nothing")
    values = tab.values(tab.batch, folder=str(folder), output=str(tmp_path / "out"), format="flac")
    states = list(tab.batch._convert(values, progress=_silent))
    info, failures, players, results, written, _ = states[-1]
    assert len(states) == 4
    assert "2 of 3 converted, 1 failed" in info
    assert "bad.wav" in failures
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == ["a.flac", "sub/b.flac"]
    assert [item["label"] for item in players["value"]["items"]] == ["a.flac", "b.flac"]
    assert results["visible"] is True
    assert all(soundfile.info(path).samplerate == 40000 for path in results["value"])
    archive = tab.batch._zip(written, str(tmp_path / "out"), "anna.pth")["value"]
    assert Path(archive).name == "results - anna.zip"
    assert zipfile.ZipFile(archive).namelist() == ["a.flac", "sub/b.flac"]


def test_a_batch_is_stopped_and_keeps_what_it_has(tab, clip, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(clip.read_bytes())
    wish = Wish()
    values = tab.values(tab.batch, folder=str(folder), output=str(tmp_path / "out")) | {tab.batch.wish: wish}
    seen = []
    for state in tab.batch._convert(values, progress=_silent):
        seen.append(state)
        if len(seen) == 2:
            tab.batch._stop(wish)
    assert "Stopped" in seen[-1][0]
    assert [path.name for path in seen[-1][4]] == ["0.wav"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.wav"]


def test_a_voice_that_cannot_work_is_told_before_the_first_file(tab, clip, tmp_path):
    values = tab.values(tab.batch, files=[str(clip)], speaker=300, output=str(tmp_path / "out"))
    with pytest.raises(RvcError, match="no speaker 300"):
        list(tab.batch._convert(values, progress=_silent))
    assert not (tmp_path / "out").exists()


def test_conversions_of_two_pages_do_not_disturb_each_other(tab, clip):
    found = []

    def run(key):
        *_, result = tab.single._convert(
            tab.values(tab.single, audio=str(clip), f0_up_key=key), progress=_silent
        )
        found.append((key, result.options.f0_up_key))

    threads = [threading.Thread(target=run, args=(key,)) for key in (0, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(0, 0), (5, 5), (7, 7)]


def _silent(share, desc):
    """A progress bar that nobody sees."""


def test_demo_voices_are_offered_on_a_fresh_install(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    home = make_home(tmp_path)
    demo_voices(home.assets)
    with gr.Blocks(analytics_enabled=False):
        page = Page.of(home)
        page.add_watchers()
        picker = VoicePicker(page)
        picker.build()
        picker.follow(gr.Dropdown())
        picker.wire()
    names, *_, indexes = picker._list(None)
    assert (names["choices"], names["value"]) == (["starter"], "starter")
    facts, _, _, slider, speakers, index = picker._chosen("starter")
    assert speakers["choices"] == [("Ann", 0), ("Bo", 2)] and speakers["visible"]
    assert (slider["visible"], slider["value"]) == (False, 0)
    assert "demo_index.safetensors" in facts and index["value"] in [value for _, value in index["choices"]]
    assert page.engine.suggest_key is not None and page.voices.path("starter").name.startswith("base_")


def test_rvcs_models_are_offered_where_the_starters_are_heard(tab, home, monkeypatch):
    box, text = tab.picker._better("anna.pth")
    assert box["visible"] and "hubert, rmvpe, pretrained_v2_40k" in text
    assert tab.picker._better(None)[0]["visible"] is False
    begun = []
    monkeypatch.setattr(downloads, "begin", lambda page, name: begun.append(name))
    monkeypatch.setattr(gr, "Info", lambda text: None)
    assert tab.picker.better._get()["visible"] is False
    assert begun == ["hubert", "rmvpe", "pretrained_v2_40k"]
    monkeypatch.setattr(downloads, "missing", lambda assets: [])
    assert tab.picker._better("anna.pth") == [gr.update(visible=False), ""]
