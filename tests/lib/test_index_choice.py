"""Which index file goes with a voice."""

import os
from pathlib import Path

import pytest

from infer.lib.index_choice import find_index_for, typed_index_path


@pytest.fixture
def roots(tmp_path):
    def make(*names):
        for age, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            os.utime(path, (1e9 - age, 1e9 - age))
        return [tmp_path / "indices", tmp_path / "logs"]

    return make


ADDED = "added_IVF9_Flat_nprobe_1_{}_v2.index"


def test_the_experiments_own_index_wins_over_lookalikes(roots):
    places = roots(
        f"logs/big_anna/{ADDED.format('big_anna')}",
        f"logs/anna/{ADDED.format('anna').replace('added', 'trained')}",
        f"logs/anna/{ADDED.format('anna')}",
    )
    choice = find_index_for("weights/Anna_e20_s400.pth", places)
    assert choice.path == places[1] / "anna" / ADDED.format("anna")
    assert "Anna_e20_s400.pth" in choice.reason


def test_outside_folder_first_then_newest(roots):
    places = roots(f"logs/a/{ADDED.format('han')}", f"indices/{ADDED.format('han')}")
    assert find_index_for("han.pth", places).path.parent.name == "indices"
    places = roots(f"logs/new/{ADDED.format('uni')}", f"logs/old/{ADDED.format('uni')}")
    assert find_index_for("uni.pth", places).path.parent.name == "new"


@pytest.mark.parametrize(
    ("voice", "name"),
    [
        ("mina.pth", "indices/mina_added_IVF3_Flat_nprobe_1_other_v2.index"),  # RVC 2.3's link
        ("mina_e5_s10.pth", "logs/x/IVF3_mina_v1_something.index"),
        ("아이유.pth", "logs/x/아이유 노래.index"),  # the stem in the file name
        ("mina.pth", "logs/mina-take2/whatever.index"),  # RVC 2.2: anywhere in the path
    ],
)
def test_looser_patterns(roots, voice, name):
    places = roots(name)
    assert find_index_for(voice, places).path.name == name.rpartition("/")[2]


def test_nothing_fits(roots):
    choice = find_index_for("mina.pth", roots(f"logs/anna/{ADDED.format('anna')}"))
    assert choice.path is None and "'mina'" in choice.reason
    assert find_index_for("mina.pth", [roots()[0] / "nowhere"]).path is None


def test_typed_path():
    path = typed_index_path(' "logs/a b/trained_IVF1_x_v2.index" \n')
    assert path.as_posix() == "logs/a b/added_IVF1_x_v2.index"
    assert typed_index_path("my_trained_voice.index") == Path("my_trained_voice.index")
    assert typed_index_path("  ") is None
    assert typed_index_path(".") == Path()
