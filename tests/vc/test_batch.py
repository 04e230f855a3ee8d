import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infer.jobs.events import ItemFailed, Log, Progress, Started
from infer.lib import audio as sound
from infer.lib.devices import ChunkPlan
from infer.lib.errors import BadInput, MissingFile
from infer.lib.f0.curve import read_curve_file
from infer.vc.batch import BatchResult, Setup, convert_files, curve_path, file_tasks
from infer.vc.options import ConvertOptions

NAMES = ["노래.wav", "-dash.wav", "sub dir/it's 🎵.wav", "a.b.c.wav"]


@pytest.fixture
def setup(voice, shelf):
    return Setup(voice, shelf, ConvertOptions(index_rate=0), ChunkPlan(1, 1, 2, 3))


@pytest.fixture
def recordings(tmp_path, tone):
    """`recordings(*names)`: a folder of half-second recordings."""

    def make(*names):
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            sound.save(path, tone(0.5), 16000)
        return tmp_path / "in"

    return make


def targets(tasks, root):
    return sorted(task.target.relative_to(root).as_posix() for task in tasks)


def test_a_folder_keeps_its_names(recordings, tmp_path):
    tasks = file_tasks(recordings(*NAMES), tmp_path / "out", "flac")
    expected = ["-dash.flac", "a.b.c.flac", "sub dir/it's 🎵.flac", "노래.flac"]
    assert targets(tasks, tmp_path / "out") == expected
    assert {task.name for task in tasks} == set(NAMES)


def test_equal_stems_do_not_overwrite_each_other(recordings, tmp_path):
    tasks = file_tasks(recordings("a.flac", "a.mp3.wav", "a.ogg", "a.wav"), tmp_path / "out", "mp3")
    assert len(set(targets(tasks, tmp_path))) == 4


def test_results_inside_the_input_folder_are_not_converted_again(recordings):
    folder = recordings("a.wav", "opt/a.wav")
    assert [task.name for task in file_tasks(folder, folder / "opt", "wav")] == ["a.wav"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [("out", "out/a.wav"), ("out/", "out/a.wav"), ("b.flac", "b.flac"), ("new/b.mp3", "new/b.mp3")],
)
def test_one_recording_to_a_folder_or_a_file(recordings, tmp_path, output, expected):
    source = recordings("a.wav") / "a.wav"
    assert targets(file_tasks(source, tmp_path / output, "wav"), tmp_path) == [expected]


def test_one_recording_to_an_existing_folder_with_a_dot(recordings, tmp_path):
    (tmp_path / "v1.0").mkdir()
    assert targets(file_tasks(recordings("a.wav") / "a.wav", tmp_path / "v1.0", "wav"), tmp_path) == [
        "v1.0/a.wav"
    ]


@pytest.mark.parametrize(
    ("source", "output", "reason"),
    [
        ("in", "in/a.wav", "is a file"),
        ("in/a.wav", "in/a.wav", "overwritten by the conversion of .*in/a.wav"),
        ("in", "in", "overwritten by the conversion of .*in/a.wav"),
        ("in/a.wav", "x.exe", "no format that can be written"),
        ("empty", "out", "holds no recordings"),
    ],
)
def test_refused(recordings, tmp_path, source, output, reason):
    recordings("a.wav")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=reason):
        file_tasks(tmp_path / source, tmp_path / output, "wav")


def test_a_recording_is_not_overwritten_by_its_neighbour_s_conversion(recordings):
    folder = recordings("a.flac", "a.wav")
    with pytest.raises(BadInput, match=r"a\.wav would be overwritten by the conversion of .*a\.flac"):
        file_tasks(folder, folder, "wav")


def test_the_output_may_be_the_folder_above(recordings, tmp_path):
    assert targets(file_tasks(recordings("a.wav"), tmp_path, "flac"), tmp_path) == ["a.flac"]


def test_missing_input(tmp_path):
    with pytest.raises(MissingFile, match="no file or folder"):
        file_tasks(tmp_path / "gone", tmp_path, "wav")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(recordings, tmp_path):
    folder = recordings("a.wav")
    folder.chmod(0)
    try:
        with pytest.raises(BadInput, match="cannot be read"):
            file_tasks(folder, tmp_path / "out", "wav")
    finally:
        folder.chmod(0o755)


def test_bad_files_are_listed_and_the_rest_is_converted(recordings, setup, tmp_path, events):
    folder = recordings(*NAMES)
    (folder / "text.wav").write_text("not a sound")
    (folder / "empty.wav").write_bytes(b"")
    sound.save(folder / "short.wav", np.zeros(100, np.float32), 16000)
    sound.save(folder / "nan.wav", np.full(16000, np.nan, np.float32), 16000)
    result = convert_files(file_tasks(folder, tmp_path / "out", "wav"), setup, events)
    assert set(result.failed) == {"text.wav", "empty.wav", "short.wav", "nan.wav"}
    assert len(result.written) == len(NAMES)
    assert all(sound.probe(path).sample_rate == 40000 for path in result.written)
    assert {event.item for event in events.of(ItemFailed)} == set(result.failed)
    assert events.of(Started)[0].total == 8
    assert events.of(Progress)[-1].done == 8
    with pytest.raises(BadInput, match=r"4 of 8 recordings were not converted: .*text\.wav"):
        result.raise_if_failed()


def test_a_file_that_the_system_refuses_is_left_out(recordings, setup, tmp_path, events, monkeypatch):
    load = sound.load

    def refused(path, sample_rate):
        if Path(path).name == "a.wav":
            raise PermissionError(13, "Permission denied", str(path))
        return load(path, sample_rate)

    monkeypatch.setattr(sound, "load", refused)
    result = convert_files(file_tasks(recordings("a.wav", "b.wav"), tmp_path / "out", "wav"), setup, events)
    assert [path.name for path in result.written] == ["b.wav"]
    assert result.failed["a.wav"].endswith("a.wav cannot be read: Permission denied")


def test_a_single_recording_reports_its_pieces(recordings, setup, tmp_path, events, tone):
    source = recordings("a.wav") / "a.wav"
    sound.save(source, tone(4), 16000)
    convert_files(file_tasks(source, tmp_path / "out", "wav"), setup, events)
    assert [(event.done, event.total) for event in events.of(Progress)] == [(1, 2), (2, 2)]
    assert "synthesis" in events.of(Log)[-1].message


def test_a_missing_model_ends_the_run_at_once(recordings, setup, tmp_path, events, monkeypatch):
    def missing(which="auto"):
        raise MissingFile("the encoder is missing", "download it")

    monkeypatch.setattr(setup.shelf, "encoder", missing)
    with pytest.raises(MissingFile, match="download it"):
        convert_files(file_tasks(recordings(*NAMES), tmp_path / "out", "wav"), setup, events)
    assert not events.of(ItemFailed)


def test_a_full_disk_ends_the_run_and_leaves_no_half_file(recordings, setup, tmp_path, events, monkeypatch):
    def full(path, *rest):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sound, "save", full)
    with pytest.raises(OSError, match="No space left"):
        convert_files(file_tasks(recordings("a.wav", "b.wav"), tmp_path / "out", "wav"), setup, events)
    assert not list(tmp_path.glob("out/**/*"))


def test_one_failure_is_told_with_its_reason():
    with pytest.raises(BadInput, match="it is empty"):
        BatchResult([], {"a.wav": "it is empty"}).raise_if_failed()


@pytest.mark.parametrize("save", [True, False])
def test_the_pitch_curve_is_written_beside_the_result_when_asked(setup, recordings, tmp_path, events, save):
    options = ConvertOptions(index_rate=0, f0_up_key=12, save_f0=save)
    tasks = file_tasks(recordings("a.wav") / "a.wav", tmp_path / "out", "wav")
    convert_files(tasks, replace(setup, options=options), events)
    written = curve_path(tmp_path / "out" / "a.wav")
    assert written.is_file() is save
    if save:
        seconds, hz = read_curve_file(written).T
        assert len(seconds) == 50 and set(hz) == {0.0, 400.0}  # 0.5 s of the stub's 200 Hz, an octave up


def test_a_written_curve_brings_its_sound_back(setup, recordings, tmp_path, events):
    source = recordings("a.wav") / "a.wav"

    def converted(name, **controls):
        options = ConvertOptions(index_rate=0, **controls)
        target = tmp_path / name
        convert_files(file_tasks(source, target, "wav"), replace(setup, options=options), events)
        return sound.load(target, 40000)

    high = converted("high.wav", f0_up_key=12, save_f0=True)
    low = converted("low.wav")
    again = converted("again.wav", f0_file=curve_path(tmp_path / "high.wav"))
    # Not equal: the padding around a recording has a pitch too, which the file does not hold.
    assert np.abs(again - high).mean() < 0.1 * np.abs(low - high).mean()
