"""The ckpt tab without a browser: what its handlers say and do."""

import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from infer.jobs.command import Command
from infer.jobs.experiment import Experiment
from infer.lib import retrieval
from infer.lib.checkpoint import read_voice, write_training
from infer.lib.errors import RvcError
from infer.lib.voice_header import read_header
from infer.stages.ckpt.options import ShowOptions
from infer.stages.ckpt.run import run as run_stage
from infer.web import ckpt_work
from infer.web.ckpt_files import checkpoint_choices, own_choices
from infer.web.ckpt_work import Work
from infer.web.errors_i18n import Said
from infer.web.i18n import LANGUAGES, say, texts
from infer.web.page import Page
from infer.web.tabs import ckpt
from infer.web.tabs.ckpt_extract import ExtractPanel
from infer.web.tabs.ckpt_mix import ComparePanel, FusionPanel
from infer.web.tabs.ckpt_share import SharePanel
from infer.web.tabs.ckpt_voice import VoicePanel
from tests.lib.tiny_voices import tiny_checkpoint
from tests.web.pages import make_home, tiny_voice


@pytest.fixture
def page(tmp_path):
    """Two voices, one with an index and notes; an experiment that stopped at epoch 40."""
    home = make_home(tmp_path / "집")
    notes = {"median_hz": 212.0, "speaker_names": ["anna", "ben"], "author": "나", "licence": "CC0"}
    tiny_voice(home.weights / "anna.pth", 1, info="200epoch", extra=notes)
    tiny_voice(home.weights / "bob.pth", 2)
    rows = np.random.default_rng(0).normal(size=(40, 768)).astype(np.float32)
    index = home.logs / "anna" / "added_IVF1_Flat_nprobe_1_anna_v2.index"
    retrieval.save(retrieval.build(rows), index)
    experiment = Experiment(home.logs / "my singer")
    write_training(experiment.generator_checkpoint(70), tiny_checkpoint(epoch=40))
    return Page.of(home)


@pytest.fixture
def at_once(monkeypatch):
    """Commands run in this process: starting one takes seconds."""

    def run(command: Command, language: str) -> Work:
        try:
            return Work(command.display(), run_stage(command.options, lambda event: None))
        except RvcError as error:
            return Work(command.display(), failure=str(error))

    monkeypatch.setattr(ckpt_work, "run_action", run)


def panel(kind, page: Page):
    with gr.Blocks():
        page.add_watchers()
        return kind(page)


def last(steps):
    """What a handler shows in the end; before that it says that it works, with the command line."""
    shown = list(steps)
    first = (
        shown[0] if isinstance(shown[0], str) else next(part for part in shown[0] if isinstance(part, str))
    )
    assert "Working" in first
    assert "infer.stages.ckpt" in first
    return shown[-1]


def test_choosing_a_voice_tells_it_and_fills_the_fields(page):
    tab = panel(VoicePanel, page)
    facts, to_extract, info, author, licence, *_ = tab._chosen("anna.pth")
    assert "median pitch 212 Hz" in facts
    assert (to_extract["visible"], info, author, licence) == (False, "200epoch", "나", "CC0")
    assert tab._chosen(None)[0] == ""
    assert "does not exist" in tab._chosen("/no/where.pth")[0]


def test_a_checkpoint_offers_extraction(page):
    tab = panel(VoicePanel, page)
    path = page.home.logs / "my singer" / "G_70.pth"
    facts, to_extract, *_ = tab._chosen(str(path))
    assert "training checkpoint of epoch 40" in facts
    assert to_extract["visible"] is True


def test_view_tells_every_fact(page, at_once):
    shown = last(panel(VoicePanel, page)._view("anna.pth"))
    for text in ("Median pitch (Hz)", "212.0", "0 anna, 1 ben", "a finished voice", "Command line"):
        assert text in shown


def test_a_failure_is_one_sentence(page, at_once):
    (page.home.weights / "broken.pth").write_bytes(b"\x80\x02broken")
    shown = last(panel(VoicePanel, page)._view("broken.pth"))
    assert "rvc-bad" in shown
    assert "none of the files could be read" in shown


def test_modify_in_place_and_under_a_new_name(page, at_once):
    tab = panel(VoicePanel, page)

    def values(name):
        return {
            tab.file.box: "anna.pth",
            tab.info: "새 글",
            tab.author: "",
            tab.licence: "CC BY",
            tab.name: name,
        }

    assert "bob 2.pth is ready" in last(tab._modify(values("bob 2")))
    assert read_header(page.home.weights / "anna.pth").info == "200epoch"
    last(tab._modify(values("anna.pth")))
    header = read_header(page.home.weights / "anna.pth")
    assert (header.info, header.author, header.licence) == ("새 글", "", "CC BY")
    assert header.median_hz == 212.0


def test_the_voice_that_came_along_is_not_changed(page, tmp_path):
    tab = panel(VoicePanel, page)
    with pytest.raises(Said, match="no file of your voice folders"):
        tab._new_name(page.home.assets / "starter" / "voice.pth", "")
    assert tab._new_name(page.home.assets / "starter" / "voice.pth", "mine") == "mine"


def test_delete_asks_first(page, at_once, tmp_path):
    tab = panel(VoicePanel, page)
    visible, question, target, _ = tab._ask("anna.pth")
    assert visible["visible"] is True
    assert "anna.pth for good" in question
    assert (page.home.weights / "anna.pth").is_file()
    *_, told, box = last(tab._delete(target, True))
    assert "anna.pth was deleted" in told
    assert not (page.home.weights / "anna.pth").exists()
    assert not (page.home.logs / "anna").exists()
    assert box["value"] is None
    tiny_voice(tmp_path / "outside.pth")
    with pytest.raises(Said, match="no file of your voice folders"):
        tab._ask(str(tmp_path / "outside.pth"))
    with pytest.raises(Said, match="Choose a file"):
        tab._ask("")


def test_export_and_import(page, at_once, tmp_path):
    tab = panel(SharePanel, page)
    assert tab._chosen("anna.pth")[1:3] == ("나", "CC0")
    values = {tab.voice.box: "anna.pth", tab.with_index: True, tab.author: "나", tab.licence: "MIT"}
    told, file = last(tab._export(values))
    assert "added_IVF1_Flat_nprobe_1_anna_v2.index" in told
    packed = Path(file["value"])
    assert packed.parent == page.home.output / "shared"
    assert len(zipfile.ZipFile(packed).namelist()) == 3
    values = {tab.files: [str(packed)], tab.name: "안나 2", tab.overwrite: False}
    told, files, name = last(tab._import(values))
    assert "안나 2.pth is ready and can be chosen on the Convert tab" in told
    assert (files, name) == (None, "")
    assert read_header(page.home.weights / "안나 2.pth").licence == "MIT"
    assert page.voices.index_for("안나 2.pth").path.parent.name == "안나 2"


def test_import_says_what_is_wrong(page, at_once):
    tab = panel(SharePanel, page)
    checkpoint = str(page.home.logs / "my singer" / "G_70.pth")
    told, files, _ = last(tab._import({tab.files: [checkpoint], tab.name: "", tab.overwrite: False}))
    assert "training checkpoint of a generator, not a voice" in told
    assert files == gr.skip()  # the upload stays, to be given another name or extracted
    with pytest.raises(Said, match="Drop a zip"):
        list(tab._import({tab.files: None, tab.name: "", tab.overwrite: False}))


def test_a_voice_without_index_says_so(page, at_once):
    tab = panel(SharePanel, page)
    values = {tab.voice.box: "bob.pth", tab.with_index: True, tab.author: "", tab.licence: ""}
    assert "No index fits this voice" in last(tab._export(values))[0]


def test_extract(page, at_once):
    tab = panel(ExtractPanel, page)
    [(label, path)] = checkpoint_choices(page)()
    assert label == "my singer / G_70.pth"
    facts, name, _ = tab._chosen(path)
    assert "epoch 40" in facts
    assert name == "my singer_e40"
    values = {
        tab.file.box: path,
        tab.name: name,
        tab.info: "",
        tab.author: "a",
        tab.licence: "",
        tab.overwrite: False,
    }
    values |= dict.fromkeys(tab.checks.values(), "auto")
    assert "my singer_e40.pth is ready" in last(tab._extract(values))
    voice = read_voice(page.home.weights / "my singer_e40.pth")
    assert (voice.info, voice.extra["author"]) == ("40epoch", "a")
    values[tab.checks["version"]] = "v1"
    assert "version v2, not v1" in last(tab._extract(values))


def test_fusion_of_three(page, at_once):
    tiny_voice(page.home.weights / "carl.pth", 3)
    tab = panel(FusionPanel, page)
    rows = ["anna.pth", 0.5, "bob.pth", 0.25, "carl.pth", 0.25, None, 0.5]
    assert "anna 50% + bob 25% + carl 25%" in tab._shares(*rows)
    values = dict(zip([part for pair in tab._pairs() for part in pair], rows, strict=True))
    values |= {tab.name: "mix", tab.info: "", tab.overwrite: False}
    assert "mix.pth is ready" in last(tab._merge(values))
    tables = [
        read_voice(page.home.weights / f"{name}.pth").weights["emb_g.weight"]
        for name in ("anna", "bob", "carl", "mix")
    ]
    expected = 0.5 * tables[0] + 0.25 * tables[1] + 0.25 * tables[2]
    np.testing.assert_allclose(tables[3], expected, atol=2e-3)
    with pytest.raises(Said, match="at least two"):
        list(tab._merge({**values, tab.fields[1].box: None, tab.fields[2].box: None}))
    with pytest.raises(Said, match="a name"):
        list(tab._merge({**values, tab.name: " "}))


def test_unlike_voices_are_told_before_the_button(page):
    tiny_voice(page.home.weights / "talk.pth", 4, use_f0=False)
    shown = panel(FusionPanel, page)._shares("anna.pth", 0.5, "talk.pth", 0.5)
    assert "Voice B differs from voice A" in shown


def test_compare(page, at_once):
    tab = panel(ComparePanel, page)
    assert "The two voices are identical" in last(tab._compare("anna.pth", "anna.pth"))
    shown = last(tab._compare("anna.pth", "bob.pth"))
    assert "Similarity: " in shown
    assert "Text encoder" in shown


def test_lists_keep_what_was_typed_or_uploaded(page):
    tab = panel(VoicePanel, page)
    assert [name for name, _ in own_choices(page)()] == ["anna.pth", "bob.pth"]
    shown = tab.file._uploaded("/tmp/x/음색.pth")
    assert shown["value"] == "/tmp/x/음색.pth"
    assert shown["choices"][-1] == ("음색.pth", "/tmp/x/음색.pth")
    assert tab.file.shown("bob.pth")["value"] == "bob.pth"


def test_a_real_command_runs_and_is_shown(page, capsys):
    command = Command(ckpt_work.MODULE, ShowOptions((page.home.weights / "bob.pth",)))
    work = ckpt_work.run_action(command, "en")
    assert work.failure == ""
    assert list(work.summary["files"]) == [str(page.home.weights / "bob.pth")]
    assert capsys.readouterr().out == f"$ {command.display()}\n"
    missing = Command(ckpt_work.MODULE, ShowOptions((page.home.weights / "none.pth",)))
    work = ckpt_work.run_action(missing, "ko")
    assert "none.pth" in work.failure
    assert "파일이 없습니다" in work.failure


def test_everything_from_files_is_escaped(page):
    html = ckpt_work.table({"info": "<script>x</script>"}, "en") + ckpt_work.command_box("<b>", "en")
    assert "<script>" not in html
    assert "<b>" not in html


def test_texts_are_complete():
    for language in LANGUAGES:
        own = {key: text for key, text in texts(language).items() if key.startswith("ckpt.")}
        assert own.keys() == {key for key in texts("en") if key.startswith("ckpt.")}
        assert all(text.strip() for text in own.values())
    assert say("ko", "ckpt.working") != say("en", "ckpt.working")


def test_the_whole_tab_builds(page):
    with gr.Blocks() as blocks:
        page.add_watchers()
        ckpt.build(page)
    private = [dependency for dependency in blocks.fns.values() if dependency.api_visibility != "private"]
    assert private == []
