"""Sizes of the networks and the hyper-parameter files."""

import json
import subprocess
import sys

import pytest

from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.models import spec as spec_module
from infer.lib.models.spec import (
    SAMPLE_RATES,
    VERSIONS,
    ModelSpec,
    parse_config,
    read_config,
    sample_rate_of,
    standard_config,
)

SEGMENT_FRAMES = {
    ("v1", 32000): 40,
    ("v1", 40000): 32,
    ("v1", 48000): 24,
    ("v2", 32000): 40,
    ("v2", 40000): 32,
    ("v2", 48000): 36,
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
def test_a_frame_is_ten_milliseconds_in_every_standard_configuration(version, sample_rate):
    config = standard_config(version, sample_rate)
    spec = config.spec(version, use_f0=True)
    assert spec.hop == config.data.hop_length == sample_rate // 100
    assert spec.spec_channels == (513 if sample_rate == 32000 else 1025)
    assert spec.segment_frames == SEGMENT_FRAMES[version, sample_rate]
    assert spec.feature_dim == {"v1": 256, "v2": 768}[version]
    assert spec.n_speakers == 109
    assert spec.rate_label == f"{sample_rate // 1000}k"


def test_v2_at_40k_has_the_numbers_of_v1():
    assert standard_config("v2", 40000) == standard_config("v1", 40000)
    assert standard_config("v2", 48000) != standard_config("v1", 48000)


def test_periods_of_the_discriminators():
    assert standard_config("v1", 40000).spec("v1", True).periods == (2, 3, 5, 7, 11, 17)
    assert standard_config("v2", 40000).spec("v2", True).periods == (2, 3, 5, 7, 11, 17, 23, 37)


def test_voice_config_has_18_values_and_always_segment_32():
    config = standard_config("v2", 48000).spec("v2", True).voice_config()
    assert config == [
        1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3,
        [12, 10, 2, 2], 512, [24, 20, 4, 4], 109, 256, 48000,
    ]  # fmt: skip


def test_voice_config_and_back():
    spec = standard_config("v1", 40000).spec("v1", False)
    again = ModelSpec.from_voice_config(spec.voice_config(), "v1", False)
    assert again == spec
    assert ModelSpec.from_voice_config(spec.voice_config(), "v1", False, n_speakers=5).n_speakers == 5


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "many"),
        (3, -192),
        (3, True),
        (9, "2"),
        (12, [10, 10, 2]),
        (12, [10, 10, 2, 4]),
        (13, 40),
        (17, 44100),
    ],
)
def test_impossible_voice_configs_are_refused(place, value):
    config = standard_config("v2", 40000).spec("v2", True).voice_config()
    config[place] = value
    with pytest.raises(BadCheckpoint, match="does not describe a voice"):
        ModelSpec.from_voice_config(config, "v2", True)


def test_a_voice_config_of_another_length_is_refused():
    with pytest.raises(BadCheckpoint, match="18"):
        ModelSpec.from_voice_config([1, 2, 3], "v2", True)


def test_config_text_and_back(tmp_path):
    config = standard_config("v1", 48000)
    path = tmp_path / "my config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    again = read_config(path)
    assert again.to_json() == config.to_json()
    assert again.spec("v1", True) == config.spec("v1", True)


def test_a_config_file_of_rvc_with_its_precision_switch_is_read():
    parts = json.loads(standard_config("v1", 40000).to_json())
    parts["train"]["fp16_run"] = True
    assert parse_config(json.dumps(parts), "config.json").train == standard_config("v1", 40000).train


@pytest.mark.parametrize("part", ["train", "data", "model"])
def test_unknown_values_are_refused_by_name(part):
    parts = json.loads(standard_config("v1", 40000).to_json())
    parts[part]["hopp_length"] = 1
    with pytest.raises(BadInput, match="hopp_length"):
        parse_config(json.dumps(parts), "config.json")


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"train": {}, "data": {}, "model": {}}'])
def test_what_is_no_config_is_refused_naming_the_file(text):
    with pytest.raises(BadInput, match="my.json"):
        parse_config(text, "my.json")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(MissingFile, match="absent.json"):
        read_config(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="v3"):
        standard_config("v3", 40000)
    with pytest.raises(ValueError, match="44k.*32k, 40k, 48k"):
        sample_rate_of("44k")


@pytest.mark.parametrize("rate", ["48k", "48K", " 48000", 48000])
def test_a_rate_may_be_written_in_several_ways(rate):
    assert sample_rate_of(rate) == 48000


def test_the_spec_is_light():
    code = f"import sys, {spec_module.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
