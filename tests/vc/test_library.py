import pytest

from infer.lib.errors import BadInput, MissingFile
from infer.vc import library


@pytest.fixture
def house(tmp_path):
    """`house(*names)` puts voices into weights/ and gives `find(name)`."""
    assets, weights = tmp_path / "assets", tmp_path / "weights"
    (assets / "starter").mkdir(parents=True)
    (assets / "weights").mkdir()
    weights.mkdir()

    def make(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        return lambda name=None: library.find_voice(name, library.voice_folders(weights, assets), assets)

    return make


def test_by_name_with_and_without_suffix(house):
    find = house("weights/노래 한 곡.pth", "assets/weights/old.v2.pth")
    assert find("노래 한 곡").name == "노래 한 곡.pth"
    assert find("노래 한 곡.pth") == find("노래 한 곡")
    assert find("old.v2").name == "old.v2.pth"


def test_by_path(house, tmp_path):
    find = house("elsewhere.pth")
    assert find(str(tmp_path / "elsewhere.pth")) == tmp_path / "elsewhere.pth"


def test_without_a_name_the_starter_voice_comes_first(house):
    assert house("weights/a.pth", "assets/starter/base_v2_40k_f0.safetensors")().parent.name == "starter"


def test_without_a_name_the_only_voice(house):
    assert house("weights/only.pth", "weights/.part-x.pth", "weights/notes.txt")().name == "only.pth"


def test_several_voices_are_listed(house):
    with pytest.raises(BadInput, match=r"--model_name: a2\.pth, a10\.pth"):
        house("weights/a10.pth", "weights/a2.pth")()


def test_no_voice_says_where_one_belongs(house):
    with pytest.raises(MissingFile, match="weights"):
        house()()


def test_a_wrong_name_lists_the_right_ones(house):
    with pytest.raises(MissingFile, match=r"no voice bob.*choose one of alice\.pth"):
        house("weights/alice.pth")("bob")


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_folder_is_no_voice(house, name):
    with pytest.raises(MissingFile, match="no voice"):
        house("weights/only.pth")(name)
