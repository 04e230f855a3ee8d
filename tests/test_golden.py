"""The golden runner: what a case is, told by its name and its arrays."""

import json
from pathlib import Path

import numpy as np
import pytest

from infer.lib import retrieval
from tests.golden.__main__ import kind_of, main
from tests.golden.core import Case, Folder


def case(root: Path, name: str, kind: str, **arrays) -> Case:
    np.savez(root / name, **arrays)
    return Case(Folder(root), root / name, kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("held_train_step_v1_48k_nof0_23.npz", "train_step_"),
        ("held_parts.npz", "parts"),
        ("held_tiny_v1_32k_old.pth", "tiny_"),
        ("held_files.npz", "files"),
        ("held_hubert_full.npz", "hubert"),
        ("other_index_rules.json", "index_rules"),
    ],
)
def test_the_kind_is_found_behind_a_prefix(name, kind):
    assert kind_of(Path(name))[0] == kind


@pytest.mark.parametrize("name", ["specs.json.gz", "files.json", "index_parts_256.index", "README.md"])
def test_inputs_and_descriptions_are_no_cases(name):
    assert kind_of(Path(name)) is None


def test_the_name_tells_version_rate_and_pitch(tmp_path):
    found = case(tmp_path, "held_synth_v1_48k_nof0.npz", "synth_", phone=np.zeros((1, 4, 768)), pitch=0)
    assert (found.prefix, found.version, found.sample_rate, found.use_f0) == ("held_", "v1", 48000, False)
    assert found.model("small") == "small.v1.48k.nof0"


def test_the_arrays_tell_what_the_name_does_not(tmp_path):
    plain = case(tmp_path, "loader_32k_22.npz", "loader_", batch_shape_phone=np.array([3, 60, 256]))
    assert (plain.version, plain.rate_label, plain.use_f0) == ("v1", "32k", False)
    pitched = case(tmp_path, "loader_22.npz", "loader_", batch_pitch=np.zeros((3, 60)), sample_rate=48000)
    assert (pitched.version, pitched.rate_label, pitched.use_f0) == ("v2", "48k", True)


def test_results_of_23_are_its_own_and_inputs_come_from_22(tmp_path):
    case(tmp_path, "held_spectra_22.npz", "spectra_", signal=np.ones(3), mel=np.ones(2))
    late = case(tmp_path, "held_spectra_23.npz", "spectra_", mel=np.zeros(2))
    assert late.flavour == "2.3" and list(late.arrays) == ["mel"]
    assert late.inputs["signal"].sum() == 3 and late.inputs["mel"].sum() == 0


def test_settings_come_from_arrays_or_the_file_beside(tmp_path):
    (tmp_path / "held_end_to_end_22.json").write_text(json.dumps({"protect": 0.1}), encoding="utf-8")
    found = case(tmp_path, "held_end_to_end_22.npz", "end_to_end_", key=np.array([3]), index_rate=0.5)
    assert found.setting("key", default=2) == 3 and found.setting("index_rate", default=0.6) == 0.5
    assert found.setting("protect", default=0.33) == 0.1 and found.setting("x_pad", default=1) == 1


def test_a_named_index_counts_if_its_width_fits(tmp_path):
    for dim in (256, 768):
        rows = np.random.default_rng(0).standard_normal((40, dim)).astype(np.float32)
        retrieval.save(retrieval.build(rows), tmp_path / f"index_other_{dim}.index")
    found = case(tmp_path, "held_parts.npz", "parts", a="index_other_256.index", b="index_other_768")
    assert found.index_path(256).name == "index_other_256.index"
    assert found.index_path(768).name == "index_other_768.index"


def test_a_wrong_number_fails_the_run(tmp_path, capsys):
    case(tmp_path, "held_parts.npz", "parts", highpass_b=np.zeros(6), highpass_a=np.zeros(6))
    assert main([str(tmp_path)]) == 1
    assert "FAIL held_parts highpass_b" in capsys.readouterr().out


def test_a_crash_is_one_failed_case(tmp_path, capsys):
    case(tmp_path, "held_parts.npz", "parts", highpass_out=np.zeros(9))
    assert main([str(tmp_path)]) == 1
    assert "could not be computed (KeyError" in capsys.readouterr().out


def test_a_folder_without_cases_is_no_success(tmp_path):
    assert main([str(tmp_path)]) == 1
