"""Voices that change hands: export, import of what people share, hostile zips, removal."""

import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Log
from infer.jobs.experiment import Experiment
from infer.lib import retrieval
from infer.lib.checkpoint import read_voice, write_training, write_voice
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile, RvcError
from infer.lib.files import sha256_file
from infer.lib.index_choice import find_index_for
from infer.lib.voice_header import read_header
from infer.stages.ckpt import importing, unpack
from infer.stages.ckpt.__main__ import main
from infer.stages.ckpt.options import DeleteOptions, ExportOptions, ImportOptions
from infer.stages.ckpt.run import run
from infer.vc import noise
from infer.vc.options import ConvertOptions
from infer.vc.pipeline import Hooks, convert
from infer.vc.voice import Voice
from tests.lib.tiny_voices import tiny_checkpoint, tiny_spec, tiny_voice
from tests.vc import conftest as conversion

voice_path = conversion.voice_path
INDEX = "added_IVF1_Flat_nprobe_1_목소리 é_v2.index"


def write_index(path: Path, dim: int = 768, encoder: str | None = None) -> Path:
    rows = np.random.default_rng(0).normal(size=(40, dim)).astype(np.float32)
    retrieval.save(retrieval.build(rows), path)
    if encoder:
        retrieval.write_sidecar(path, {"encoder": encoder, "rows": 40})
    return path


class Place:
    """Folders of one installation."""

    def __init__(self, root: Path):
        self.weights, self.logs = root / "weights", root / "logs"
        self.folders = {"weights": self.weights, "logs": self.logs}

    def files(self) -> list[str]:
        found = [p for folder in (self.weights, self.logs) for p in folder.rglob("*") if p.is_file()]
        return sorted(path.name for path in found)


@pytest.fixture
def home(tmp_path):
    """Someone with a voice and its index."""
    place = Place(tmp_path / "home")
    place.weights.mkdir(parents=True)
    extra = {"median_hz": 200.0, "speaker_names": ["anna"], "author": "me"}
    write_voice(place.weights / "목소리 é.pth", tiny_voice(info="5epoch", encoder="hubert:1", extra=extra))
    write_index(place.logs / "목소리 é" / INDEX, encoder="hubert:1")
    return place


@pytest.fixture
def away(tmp_path):
    """Someone else, with nothing yet."""
    return Place(tmp_path / "away")


@pytest.fixture
def packed(home, tmp_path, events):
    summary = run(ExportOptions(Path("목소리 é"), output=tmp_path / "a.zip", **home.folders), events)
    return Path(summary["zip"])


def offered(folder: Path, name: str, members: dict[str, bytes], packing=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / name, "w", packing) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return folder / name


def spoken(voice: Path, index: Path, tone) -> np.ndarray:
    options, hooks = ConvertOptions(index_rate=0.5), Hooks(noise=noise.none)
    return convert(
        tone(1.0), Voice.load(voice), conversion.StubShelf(), options, index=index, hooks=hooks
    ).audio


def test_the_zip_says_what_it_holds(packed, home):
    with zipfile.ZipFile(packed) as archive:
        assert set(archive.namelist()) == {"voice.json", "목소리 é.pth", INDEX, f"{INDEX}.json"}
        card = json.loads(archive.read("voice.json"))
    assert (card["name"], card["version"], card["sample_rate"], card["use_f0"]) == (
        "목소리 é",
        "v2",
        40000,
        True,
    )
    assert (card["encoder"], card["info"], card["author"], card["speaker_names"]) == (
        "hubert:1", "5epoch", "me", ["anna"],
    )  # fmt: skip
    assert card["files"]["목소리 é.pth"]["sha256"] == sha256_file(home.weights / "목소리 é.pth")


def test_an_exported_voice_speaks_the_same_elsewhere(tmp_path, away, events, tone, voice_path):
    home = Place(tmp_path / "studio")
    home.weights.mkdir(parents=True)
    (home.weights / "singer.pth").write_bytes(voice_path(encoder="hubert:0123456789ab").read_bytes())
    index = write_index(home.logs / "singer" / "added_IVF1_Flat_nprobe_1_singer_v2.index")
    summary = run(ExportOptions(Path("singer.pth"), author="나", licence="CC BY", **home.folders), events)
    assert summary["zip"] == str(home.weights / "singer.zip")
    taken = run(ImportOptions((Path(summary["zip"]),), name="other name", **away.folders), events)
    assert find_index_for(taken["voice"], [away.logs]).path == Path(taken["index"])
    before, after = (
        spoken(home.weights / "singer.pth", index, tone),
        spoken(taken["voice"], taken["index"], tone),
    )
    assert np.abs(before).max() > 1000
    np.testing.assert_array_equal(before, after)
    header = read_header(taken["voice"])
    assert (header.author, header.licence) == ("나", "CC BY")
    assert list(torch.load(taken["voice"], weights_only=True))[:3] == ["weight", "config", "info"]


def test_import_is_the_same_voice_and_can_be_repeated(packed, home, away, events):
    for _ in range(2):
        taken = run(ImportOptions((packed,), **away.folders), events)
    assert away.files() == sorted(["목소리 é.pth", INDEX, f"{INDEX}.json"])
    assert sha256_file(taken["voice"]) == sha256_file(home.weights / "목소리 é.pth")
    assert retrieval.read_sidecar(Path(taken["index"])) == {"encoder": "hubert:1", "rows": 40}
    assert not list(away.weights.glob(".import-*"))


def test_without_an_index(home, events, tmp_path):
    summary = run(ExportOptions(Path("목소리 é"), index="none", output=tmp_path, **home.folders), events)
    assert summary["index"] == ""
    assert set(zipfile.ZipFile(summary["zip"]).namelist()) == {"voice.json", "목소리 é.pth"}
    with pytest.raises(BadInput, match="exists"):
        run(ExportOptions(Path("목소리 é"), output=tmp_path, **home.folders), events)
    with pytest.raises(MissingFile, match="no index"):
        run(
            ExportOptions(Path("목소리 é"), index="none.index", output=tmp_path / "x", **home.folders), events
        )
    with pytest.raises(MissingFile, match="no voice nobody"):
        run(ExportOptions(Path("nobody"), **home.folders), events)


def test_zips_of_other_people(home, away, tmp_path, events):
    voice = (home.weights / "목소리 é.pth").read_bytes()
    index = (home.logs / "목소리 é" / INDEX).read_bytes()
    members = {
        "Singer (RVC)/Singer_e200_s4000.pth": voice,
        "Singer (RVC)/added_IVF7_Flat_nprobe_1_sing_v2.index": index,
        "Singer (RVC)/trained_IVF7_Flat_nprobe_1_sing_v2.index": b"x" * (len(index) + 5),
        "Singer (RVC)/readme.txt": b"hello",
        "Singer (RVC)/run.exe": b"MZ",
        "__MACOSX/._Singer_e200_s4000.pth": b"junk",
    }
    shared = offered(tmp_path, "community.zip", members, zipfile.ZIP_DEFLATED)
    taken = run(ImportOptions((shared,), **away.folders), events)
    assert away.files() == sorted(["Singer_e200_s4000.pth", "added_IVF7_Flat_nprobe_1_Singer_v2.index"])
    assert find_index_for(taken["voice"], [away.logs]).path == Path(taken["index"])


def test_a_bare_voice_with_and_without_index(home, away, events, tmp_path):
    index = write_index(tmp_path / "whatever.index", encoder="hubert:1")
    run(ImportOptions((home.weights / "목소리 é.pth",), name="plain", **away.folders), events)
    taken = run(ImportOptions((index, home.weights / "목소리 é.pth"), name="both", **away.folders), events)
    assert away.files() == sorted(
        ["both.pth", "plain.pth", "added_IVF1_Flat_nprobe_1_both_v2.index",
         "added_IVF1_Flat_nprobe_1_both_v2.index.json"]
    )  # fmt: skip
    assert index.is_file()
    assert (home.weights / "목소리 é.pth").is_file()
    assert Path(taken["index"]).parent == away.logs / "both"


def test_an_index_that_does_not_fit_is_left_out(home, away, events, tmp_path):
    voice = home.weights / "목소리 é.pth"
    cases = [
        (write_index(tmp_path / "v1.index", dim=256), "vectors of 256 values, the voice needs 768"),
        (write_index(tmp_path / "other.index", encoder="starter-1:x"), "another content encoder"),
    ]
    broken = tmp_path / "broken.index"
    broken.write_bytes(b"IxF2 nonsense")
    for number, (index, reason) in enumerate([*cases, (broken, "no faiss index")]):
        taken = run(ImportOptions((voice, index), name=f"v{number}", **away.folders), events)
        assert taken["index"] == ""
        assert reason in taken["remarks"][0]
        assert str(tmp_path) not in taken["remarks"][0] or index == broken
    assert not away.logs.exists() or not list(away.logs.rglob("*.index"))


def test_names_that_are_taken(home, away, packed, events, tmp_path):
    run(ImportOptions((packed,), **away.folders), events)
    write_voice(tmp_path / "목소리 é.pth", tiny_voice(seed=5))
    options = ImportOptions((tmp_path / "목소리 é.pth",), **away.folders)
    before = (away.weights / "목소리 é.pth").read_bytes()
    with pytest.raises(BadInput, match="another voice"):
        run(options, events)
    assert (away.weights / "목소리 é.pth").read_bytes() == before
    run(replace(options, overwrite=True), events)
    assert (away.weights / "목소리 é.pth").read_bytes() != before
    Experiment(away.logs / "mine").update_settings(sample_rate=40000)
    with pytest.raises(BadInput, match="experiment of its own"):
        run(ImportOptions((packed,), name="mine", overwrite=True, **away.folders), events)
    assert not (away.weights / "mine.pth").exists()
    for name in ("../out", "con", "a/b"):
        with pytest.raises(BadInput, match="voice name"):
            run(ImportOptions((packed,), name=name, **away.folders), events)


def test_a_training_checkpoint_says_what_to_do(away, events, tmp_path):
    path = tmp_path / "G 5.pth"
    write_training(path, tiny_checkpoint())
    with pytest.raises(BadCheckpoint, match=r"training checkpoint.*ckpt extract '.*G 5.pth'"):
        run(ImportOptions((path,), **away.folders), events)
    shared = offered(tmp_path, "logs.zip", {"x/G_5.pth": path.read_bytes(), "x/D_5.pth": b"\x80\x02N."})
    with pytest.raises(BadCheckpoint, match=r"G_5.pth is a training checkpoint.*extract"):
        run(ImportOptions((shared,), **away.folders), events)


def test_two_voices_and_none(home, away, events, tmp_path):
    voice = (home.weights / "목소리 é.pth").read_bytes()
    with pytest.raises(BadInput, match=r"2 voices \(a.pth, b.pth\)"):
        run(
            ImportOptions((offered(tmp_path, "2.zip", {"a.pth": voice, "b.pth": voice}),), **away.folders),
            events,
        )
    with pytest.raises(BadInput, match="holds no voice"):
        run(ImportOptions((offered(tmp_path, "0.zip", {"a.txt": b"x"}),), **away.folders), events)
    with pytest.raises(BadInput, match="no .pth file"):
        run(ImportOptions((write_index(tmp_path / "i.index"),), **away.folders), events)
    with pytest.raises(BadInput, match="a sound or video file"):
        (tmp_path / "a.wav").write_bytes(b"RIFF0000WAVE")
        run(ImportOptions((tmp_path / "a.wav",), **away.folders), events)
    with pytest.raises(BadCheckpoint, match=r"^a.pth "):
        run(ImportOptions((offered(tmp_path, "d.zip", {"m/a.pth": voice[:9000]}),), **away.folders), events)


def tampered(packed: Path, **changes) -> None:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        key = {"voice": "목소리 é.pth", "card": "voice.json", "index": INDEX}[name]
        members[key] = change(members[key])
    offered(packed.parent, packed.name, {name: data for name, data in members.items() if data is not None})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"voice": lambda data: data[:-1]}, "damaged"),
        ({"index": lambda data: data[:-1] + b"x"}, "not the file that was packed"),
        ({"index": lambda data: None}, "is missing"),
        (
            {"card": lambda data: data.replace(b'"sha256": "', b'"sha256": "0')},
            "not the file that was packed",
        ),
        ({"card": lambda data: b'{"format": "rvc-voice", "files": {}}'}, "does not list"),
        ({"card": lambda data: b'{"format": "rvc-voice", "files": 5}'}, "does not list"),
    ],
)
def test_a_changed_zip_is_refused(packed, away, events, change, reason):
    tampered(packed, **change)
    with pytest.raises(RvcError, match=reason):
        run(ImportOptions((packed,), **away.folders), events)
    assert away.files() == []


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a.pth")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


HOSTILE = {
    "parent": ({"../../evil.pth": b"x"}, "outside its folder"),
    "windows parent": ({"..\\..\\evil.pth": b"x"}, "outside its folder"),
    "absolute": ({"/etc/evil.pth": b"x"}, "outside its folder"),
    "drive": ({"C:\\evil.pth": b"x"}, "outside its folder"),
    "outside, no weight": ({"../evil.txt": b"x", "a.pth": b"x"}, "outside its folder"),
    "bomb": ({"a.pth": bytes(20 * unpack.MIB)}, "too tightly"),
    "many": ({f"{n}.pth": b"x" for n in range(unpack.MOST_TAKEN + 1)}, "weight files"),
    "card": ({"a.pth": b"x", "voice.json": b"1" * (unpack.MIB + 1)}, "larger than 1 MB"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_zips(tmp_path, away, events, case):
    members, reason = HOSTILE[case]
    shared = offered(tmp_path, "evil.zip", members, zipfile.ZIP_DEFLATED)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=reason):
        run(ImportOptions((shared,), **away.folders), events)
    assert away.files() == []
    assert sorted(p.name for p in tmp_path.rglob("*") if p.name not in ("away", "weights")) == before


def test_links_and_encrypted_members(tmp_path, away, events):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(linked(), "/etc/passwd")
    with pytest.raises(BadInput, match="is a link"):
        run(ImportOptions((tmp_path / "link.zip",), **away.folders), events)
    data = bytearray(offered(tmp_path, "secret.zip", {"a.pth": b"abc"}).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    with pytest.raises(BadInput, match="is encrypted"):
        run(ImportOptions((tmp_path / "secret.zip",), **away.folders), events)


def test_a_member_larger_than_announced_is_damaged(tmp_path, away, events):
    data = offered(tmp_path, "lie.zip", {"a.pth": b"0123456789"}).read_bytes()
    central = data.index(b"PK\x01\x02")
    lie = bytearray(data)
    lie[central + 24 : central + 28] = (4).to_bytes(4, "little")
    (tmp_path / "lie.zip").write_bytes(lie)
    with pytest.raises(BadInput, match="damaged"):
        run(ImportOptions((tmp_path / "lie.zip",), **away.folders), events)


def test_a_full_disk_is_told_first(packed, away, events, monkeypatch):
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(BadInput, match="are free"):
        run(ImportOptions((packed,), **away.folders), events)


def test_leftovers_of_killed_imports_go(packed, away, events, monkeypatch):
    (away.weights / ".import-old").mkdir(parents=True)
    monkeypatch.setattr(importing, "_LEFT_BEHIND_S", -1)
    run(ImportOptions((packed,), **away.folders), events)
    assert not list(away.weights.glob(".import-*"))


def test_delete(home, events, tmp_path):
    outside = tmp_path / "outside.pth"
    write_voice(outside, tiny_voice())
    (home.weights / "link.pth").symlink_to(outside)
    for given in (outside, home.weights / ".." / ".." / "outside.pth", Path("../../outside.pth")):
        with pytest.raises(BadInput, match="does not lie in the folder"):
            run(DeleteOptions(given, **home.folders), events)
    with pytest.raises(MissingFile):
        run(DeleteOptions(Path("nobody"), **home.folders), events)
    run(DeleteOptions(Path("link"), **home.folders), events)
    assert outside.is_file()
    summary = run(DeleteOptions(Path("목소리 é"), **home.folders), events)
    assert home.files() == [INDEX, f"{INDEX}.json"]
    assert summary["removed"] == [str(home.weights / "목소리 é.pth")]


def test_delete_with_its_index(home, events):
    write_voice(home.weights / "목소리 é_e5_s40.pth", tiny_voice())
    run(DeleteOptions(home.weights / "목소리 é_e5_s40.pth", index=True, **home.folders), events)
    assert INDEX in home.files()
    assert any("목소리 é.pth uses it" in event.message for event in events.of(Log))
    write_index(home.logs / "other" / "added_IVF1_Flat_nprobe_1_other_v2.index")
    run(DeleteOptions(Path("목소리 é.pth"), index=True, **home.folders), events)
    assert home.files() == ["added_IVF1_Flat_nprobe_1_other_v2.index"]
    assert not (home.logs / "목소리 é").exists()


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions("-a.pth", author="x", output="b c.zip"),
        ImportOptions(("a.zip", "-b.index"), name="n", overwrite=True),
        DeleteOptions("a.pth", index=True),
    ],
)
def test_options_to_arguments_and_back(options):
    assert to_argv(parse(type(options), to_argv(options))) == to_argv(options)


def test_commands(home, away, tmp_path, capsys):
    folders = [f"--weights={home.weights}", f"--logs={home.logs}"]
    assert main(["export", "목소리 é", *folders, f"--output={tmp_path / 'x.zip'}"]) == 0
    there = [f"--weights={away.weights}", f"--logs={away.logs}"]
    assert main(["import", str(tmp_path / "x.zip"), *there]) == 0
    assert read_voice(away.weights / "목소리 é.pth").spec == tiny_spec()
    assert main(["delete", "목소리 é", *there, "--index"]) == 0
    assert main(["delete", "목소리 é", *there]) == 3
    assert main(["import", str(tmp_path / "none.zip"), *there]) == 3
    assert "does not exist" in capsys.readouterr().out
