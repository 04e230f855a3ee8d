"""The list of voices: what is offered, what is refused and why, all without torch."""

import os
import subprocess
import sys

import pytest

from infer.lib import checkpoint
from infer.lib.errors import RvcError
from infer.web.voices import VoiceList
from tests.lib.tiny_voices import tiny_checkpoint
from tests.test_floors import ROOT
from tests.web.pages import demo_voices, make_home, starter_name, tiny_voice


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("voices"))
    tiny_voice(home.weights / "밥 10.pth", n_speakers=2, extra={"speaker_names": ["anna", "밥"]})
    tiny_voice(home.weights / "밥 2_e5_s40.pth", info="5epoch")
    checkpoint.write_training(home.weights / "G_2333333.pth", tiny_checkpoint(epoch=7))
    (home.weights / "page.pth").write_text("<!doctype html><html>")
    (home.weights / "cut.pth").write_bytes((home.weights / "밥 10.pth").read_bytes()[:3000])
    (home.weights / ".part-1.pth").write_bytes(b"half written")
    return home


def test_names_are_usable_voices_in_natural_order(home):
    assert VoiceList(home).names() == ["밥 2_e5_s40.pth", "밥 10.pth"]


def test_voices_of_rvcs_folder_come_behind_and_the_first_folder_wins(home, tmp_path):
    other = make_home(tmp_path)
    tiny_voice(other.weights / "same.pth", info="mine")
    theirs = tmp_path / "assets" / "weights"
    tiny_voice(theirs / "same.pth", info="theirs")
    tiny_voice(theirs / "a.pth")
    voices = VoiceList(_with_assets(other, tmp_path / "assets"))
    assert voices.names() == ["same.pth", "a.pth"]
    assert voices.header("same.pth").info == "mine"


def test_the_starter_voice_is_offered(home, tmp_path):
    other = make_home(tmp_path)
    assert VoiceList(other).names() == []
    path = demo_voices(other.assets)
    voices = VoiceList(other)
    assert voices.names() == ["starter"] and voices.path("starter") == path
    header = voices.header("starter")
    assert (header.kind, header.version, header.sample_rate, header.use_f0) == ("voice", "v2", 40000, True)
    assert header.speaker_names == ("Ann", "", "Bo") and header.encoder == starter_name()
    assert voices.index_for("starter").path == path.with_name("demo_index.safetensors")
    assert voices.indexes() == [path.with_name("demo_index.safetensors")]


def test_header_tells_rate_version_speakers(home):
    header = VoiceList(home).header("밥 10.pth")
    assert (header.version, header.sample_rate, header.use_f0, header.n_speakers) == ("v2", 40000, True, 2)
    assert list(header.speaker_names) == ["anna", "밥"]
    assert header.encoder == starter_name()


def test_a_file_that_is_no_voice_has_a_reason(home):
    problems = VoiceList(home).problems()
    assert set(problems) == {"G_2333333.pth", "page.pth", "cut.pth"}
    assert "a web page" in problems["page.pth"]
    assert "extract a voice from it" in problems["G_2333333.pth"]
    assert "damaged" in problems["cut.pth"]


def test_a_training_checkpoint_is_listed_apart(home):
    voices = VoiceList(home)
    assert voices.checkpoints() == ["G_2333333.pth"]
    assert voices.header("G_2333333.pth").epoch == 7


def test_signature_follows_the_folder_without_reading_files(home, tmp_path, monkeypatch):
    other = make_home(tmp_path)
    voices = VoiceList(other)
    monkeypatch.setattr("infer.web.voices.read_header", lambda path: pytest.fail("a file was read"))
    seen = [voices.signature()]
    path = tiny_voice(other.weights / "new.pth")
    seen.append(voices.signature())
    assert voices.signature() == seen[-1]
    os.utime(path, (1, 1))
    seen.append(voices.signature())
    path.unlink()
    assert voices.signature() == seen[0]
    assert len(set(seen)) == 3


def test_a_header_is_read_once_until_its_file_changes(home, tmp_path, monkeypatch):
    other = make_home(tmp_path)
    path = tiny_voice(other.weights / "a.pth", info="old")
    voices, read = VoiceList(other), []
    from infer.lib.voice_header import read_header

    monkeypatch.setattr("infer.web.voices.read_header", lambda path: read.append(path) or read_header(path))
    assert voices.names() == voices.names() == ["a.pth"]
    assert read == [path]
    tiny_voice(path, info="new text")
    assert voices.header("a.pth").info == "new text"
    assert len(read) == 2


@pytest.mark.parametrize("name", ["", "../a.pth", "/etc/passwd", "nobody.pth"])
def test_only_names_of_the_list_become_paths(home, name):
    with pytest.raises(RvcError):
        VoiceList(home).path(name)


def test_the_suffix_may_be_left_out(home):
    assert VoiceList(home).path("밥 10").name == "밥 10.pth"


def test_the_index_of_the_experiment_is_found(home):
    index = home.logs / "밥 2" / "added_IVF1_Flat_nprobe_1_밥 2_v2.index"
    index.parent.mkdir(parents=True)
    index.write_bytes(b"x")
    (index.parent / "trained_IVF1_Flat_nprobe_1_밥 2_v2.index").write_bytes(b"x")
    voices = VoiceList(home)
    assert voices.index_for("밥 2_e5_s40.pth").path == index
    choice = voices.index_for("밥 10.pth")
    assert choice.path is None
    assert "밥 10" in choice.reason
    assert voices.indexes() == [index]


def test_choosing_a_voice_loads_no_torch(home):
    code = (
        "import sys; from pathlib import Path; from infer.web.home import Home; "
        "from infer.web.voices import VoiceList; root = Path(sys.argv[1]); "
        "home = Home(root, root, root / 'logs', root / 'weights', root / 'opt', None); "
        "v = VoiceList(home); [(v.header(n), v.index_for(n)) for n in v.names()]; "
        "assert v.names(); print([m for m in ('torch', 'faiss', 'librosa') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def _with_assets(home, assets):
    from dataclasses import replace

    assets.mkdir(parents=True, exist_ok=True)
    return replace(home, assets=assets)
