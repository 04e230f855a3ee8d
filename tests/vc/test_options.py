import subprocess
import sys

import pytest

from infer.jobs.command import parse, to_argv
from infer.vc.options import ConvertOptions


def test_defaults_are_the_page_of_rvc():
    options = ConvertOptions()
    assert (options.index_rate, options.filter_radius, options.rms_mix_rate, options.protect) == (
        0.75,
        3,
        0.25,
        0.33,
    )
    assert (options.f0_method, options.resample_sr, options.fill_unvoiced) == ("auto", 0, None)
    assert options.noise_scale is None  # the voice's own


@pytest.mark.parametrize(
    "wrong",
    [
        {"index_rate": 1.1},
        {"protect": 0.6},
        {"noise_scale": 1.5},
        {"rms_mix_rate": -0.1},
        {"rms_mix_rate": float("nan")},
        {"f0_up_key": 100},
        {"speaker_id": -1},
        {"resample_sr": 8000},
        {"f0_method": "guess"},
        {"format": "exe"},
        {"split_rule": "3"},
    ],
)
def test_each_value_is_checked_and_named(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=name) as error:
        ConvertOptions(**wrong)
    assert str(value) in str(error.value)


def test_survives_the_command_line():
    options = ConvertOptions(
        f0_up_key=-12, protect=0.5, fill_unvoiced=False, seed=-1, f0_method="pm", noise_scale=0.0
    )
    assert parse(ConvertOptions, to_argv(options)) == options


def test_needs_no_torch():
    code = "import sys, infer.vc.options, infer.vc.library; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
