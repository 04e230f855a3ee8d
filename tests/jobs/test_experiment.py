import json
from pathlib import Path

import pytest

from infer.jobs.experiment import Experiment
from infer.lib.errors import BadInput
from infer.lib.files import REPO


def fill(experiment, stems, version="v2", use_f0=True):
    for stem in stems:
        paths = [experiment.gt_wav(stem), experiment.wav_16k(stem), experiment.content_file(stem, version)]
        if use_f0:
            paths += [experiment.f0_coarse_file(stem), experiment.f0_hz_file(stem)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_published_file_names(tmp_path):
    experiment = Experiment(tmp_path / "my voice")
    names = [
        experiment.gt_wav("0_1"),
        experiment.wav_16k("0_1"),
        experiment.f0_coarse_file("0_1"),
        experiment.f0_hz_file("0_1"),
        experiment.content_file("0_1", "v1"),
        experiment.content_file("0_1", "v2"),
    ]
    assert [str(path.relative_to(experiment.root)).replace("\\", "/") for path in names] == [
        "0_gt_wavs/0_1.wav",
        "1_16k_wavs/0_1.wav",
        "2a_f0/0_1.wav.npy",
        "2b-f0nsf/0_1.wav.npy",
        "3_feature256/0_1.npy",
        "3_feature768/0_1.npy",
    ]


def test_names_and_paths(tmp_path):
    assert Experiment.find("노래 1").root == REPO / "logs" / "노래 1"
    assert Experiment.find(tmp_path / "x").root == tmp_path / "x"
    for bad in ("..", "a:b", "con", ""):
        with pytest.raises(BadInput):
            Experiment.find(bad)


def test_items_are_the_intersection_and_keep_speakers(tmp_path):
    experiment = Experiment(tmp_path)
    fill(experiment, ["0_1", "0_2", "0_10", "1_1"])
    experiment.f0_hz_file("0_2").unlink()
    experiment.write_speakers({"1_1": 3})
    items = experiment.training_items("v2", use_f0=True, speaker_id=7)
    assert [(item.stem, item.speaker_id) for item in items] == [("0_1", 7), ("0_10", 7), ("1_1", 3)]
    assert [item.stem for item in experiment.training_items("v2", use_f0=False)] == [
        "0_1",
        "0_2",
        "0_10",
        "1_1",
    ]
    assert experiment.training_items("v1", use_f0=False) == []


def test_filelist_form(tmp_path):
    experiment = Experiment(tmp_path)
    fill(experiment, ["0_1"])
    items = experiment.training_items("v2", use_f0=True) + [experiment.mute_item(40000, "v2", True)] * 2
    experiment.write_filelist(items)
    text = experiment.filelist.read_text(encoding="utf-8")
    assert not text.endswith("\n")
    rows = [line.split("|") for line in text.split("\n")]
    assert len(rows) == 3 and all(len(row) == 5 and row[-1] == "0" for row in rows)
    assert sorted(Path(row[0]).name for row in rows) == ["0_1.wav", "mute40k.wav", "mute40k.wav"]
    assert {Path(row[1]).name for row in rows} == {"0_1.npy", "mute.npy"}


def test_settings_are_kept_and_a_changed_rate_is_refused(tmp_path):
    experiment = Experiment(tmp_path / "e")
    experiment.update_settings(sample_rate=40000, encoder="starter-1:abc")
    experiment.update_settings(f0_method="pm")
    assert experiment.read_settings().encoder == "starter-1:abc"
    with pytest.raises(BadInput, match="40000, not 48000"):
        experiment.update_settings(sample_rate=48000)
    experiment.settings_file.write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match="damaged"):
        experiment.read_settings()


def test_unknown_settings_of_a_newer_version_are_ignored(tmp_path):
    experiment = Experiment(tmp_path)
    experiment.settings_file.write_text(json.dumps({"sample_rate": 48000, "colour": "red"}), encoding="utf-8")
    assert experiment.read_settings().sample_rate == 48000


def test_removing_a_clip_leaves_nothing_of_it(tmp_path):
    experiment = Experiment(tmp_path)
    fill(experiment, ["0_1", "0_10"])
    (experiment.gt_wavs / "0_1.spec.pt").touch()
    experiment.remove_clip("0_1")
    assert not list(tmp_path.rglob("0_1.*"))
    assert experiment.stems() == ["0_10"]


def test_only_complete_checkpoint_pairs_count(tmp_path):
    for name in ("G_100.pth", "D_100.pth", "G_20.pth", "D_20.pth", "G_300.pth", "G_x.pth"):
        (tmp_path / name).touch()
    assert Experiment(tmp_path).checkpoints() == [20, 100]
