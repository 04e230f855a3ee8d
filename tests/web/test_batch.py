"""Many recordings on the page: which, where to, what goes on after a bad one."""

import errno
import zipfile
from pathlib import Path

import pytest

from infer.lib.errors import BadInput, RvcError
from infer.web import batch
from infer.web.batch import BatchRequest, converted, output_folder, served, zipped


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in put"
    (root / "하위").mkdir(parents=True)
    for name in ("b.wav", "a.mp3", "하위/a.wav", "notes.txt"):
        (root / name).touch()
    return root


def test_the_folder_wins_over_uploads(folder, tmp_path):
    tasks = BatchRequest(f' "{folder}" ', ["x.wav"], tmp_path / "out", "flac").tasks()
    assert [task.target.relative_to(tmp_path / "out").as_posix() for task in tasks] == [
        "a.flac", "b.flac", "하위/a.flac",
    ]  # fmt: skip


def test_uploads_of_one_name_do_not_overwrite_each_other(tmp_path):
    files = ["u1/a.wav", "u2/a.wav", "u3/a.mp3"]
    tasks = BatchRequest("", files, tmp_path, "wav").tasks()
    assert [task.target.name for task in tasks] == ["a.wav", "a 2.wav", "a 3.wav"]


@pytest.mark.parametrize("text", ["", "  ", "''"])
def test_nothing_to_convert_is_said(text, tmp_path):
    with pytest.raises(RvcError, match="no recordings"):
        BatchRequest(text, [], tmp_path).tasks()


def test_the_output_folder(tmp_path):
    opt = tmp_path / "opt"
    assert output_folder("opt", opt) == output_folder("  ", opt) == opt
    assert output_folder("mine", opt) == opt / "mine"
    assert output_folder(f'"{tmp_path}"', opt) == tmp_path


def test_a_bad_recording_does_not_end_the_batch(folder, tmp_path):
    def convert(task):
        if task.source.name == "b.wav":
            raise BadInput("b.wav is empty")
        if task.source.parent.name == "하위":
            raise PermissionError(errno.EACCES, "denied", str(task.source))
        return task.target

    states = list(converted(BatchRequest(str(folder), [], tmp_path).tasks(), convert))
    assert [state.current for state in states] == ["a.mp3", "b.wav", "하위/a.wav", ""]
    assert [state.done for state in states] == [0, 1, 2, 3]
    assert [path.name for path in states[-1].written] == ["a.wav"]
    assert [name for name, _ in states[-1].failed] == ["b.wav", "하위/a.wav"]


def test_a_full_disk_ends_the_batch(folder, tmp_path):
    def convert(task):
        raise OSError(errno.ENOSPC, "full", str(task.target))

    with pytest.raises(OSError, match="full"):
        list(converted(BatchRequest(str(folder), [], tmp_path).tasks(), convert))


def test_results_are_handed_to_the_page_without_a_second_copy(tmp_path):
    path = tmp_path / "a b.wav"
    path.write_bytes(b"sound")
    shown = served(path, tmp_path / "cache")
    assert shown.name == "a b.wav"
    assert shown.read_bytes() == b"sound"
    assert shown.stat().st_ino == path.stat().st_ino
    assert served(path, tmp_path / "cache") != shown


def test_a_disk_without_links_gets_a_copy(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    monkeypatch.setattr(batch.os, "link", lambda *names: (_ for _ in ()).throw(OSError(errno.EXDEV, "other")))
    assert served(path, tmp_path / "cache").read_bytes() == b"sound"


def test_the_zip_keeps_folders_below_the_output(tmp_path):
    inside, outside = tmp_path / "opt" / "하위" / "a.wav", tmp_path / "b.wav"
    inside.parent.mkdir(parents=True)
    for path in (inside, outside):
        path.write_bytes(path.name.encode())
    archive = zipped([inside, outside], tmp_path / "opt", tmp_path / "cache" / "all.zip")
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == ["하위/a.wav", "b.wav"]
        assert file.read("하위/a.wav") == b"a.wav"
    assert batch.zip_name(Path("weights/안나.pth")) == "results - 안나.zip"
