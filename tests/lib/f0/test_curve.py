from pathlib import Path

import numpy as np
import pytest

from infer.lib.errors import BadInput, MissingFile
from infer.lib.f0.curve import F0Curve, read_curve_file, write_curve_file

GOLDEN = Path(__file__).parents[2] / "data" / "f0" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("flavour", (22, 23))
@pytest.mark.parametrize("key", (0, 5, -12))
@pytest.mark.parametrize("pad", (0, 4))
def test_the_path_of_a_curve_is_rvcs(golden, flavour, key, pad):
    curve = F0Curve(golden["f0_in"]).centre(len(golden["f0_in"]) + pad)
    curve = (curve.fill_unvoiced() if flavour == 23 else curve).shift(key)
    np.testing.assert_allclose(curve.hz, golden[f"f0_{flavour}_key{key}_pad{pad}"], rtol=1e-9)
    np.testing.assert_array_equal(curve.coarse(), golden[f"coarse_{flavour}_key{key}_pad{pad}"])


def test_rows_of_a_curve_file_replace_frames_as_in_rvc(golden):
    curve = F0Curve(np.full(260, 111.0)).replace_from(golden["f0file_rows"], start_frame=100)
    np.testing.assert_allclose(curve.hz, golden["f0file_f0"], rtol=1e-9)
    np.testing.assert_array_equal(curve.coarse(), golden["f0file_coarse"])


def test_rows_beyond_the_end_are_dropped():
    rows = np.array([[0.0, 200.0], [1.0, 200.0]])
    curve = F0Curve(np.full(20, 100.0))
    assert list(curve.replace_from(rows, 15).hz) == [100.0] * 15 + [200.0] * 5
    assert list(curve.replace_from(rows, 25).hz) == [100.0] * 20


def test_coarse_ends():
    bins = F0Curve([0.0, 1e-9, 49.0, 50.0, 1100.0, 5000.0]).coarse()
    assert bins.tolist() == [1, 1, 1, 1, 255, 255]
    assert bins.dtype == np.int64


def test_median_switches_on_at_radius_three_and_is_three_wide():
    curve = F0Curve([100.0, 100.0, 900.0, 100.0, 110.0, 120.0])
    assert curve.median(2) is curve
    assert curve.median(3).hz.tolist() == [100.0, 100.0, 100.0, 110.0, 110.0, 110.0]
    assert curve.median(7).hz.tolist() == curve.median(3).hz.tolist()
    assert len(F0Curve([]).median(3)) == 0


def test_fill_unvoiced():
    assert F0Curve([0, 100, 0, 0, 130, 0]).fill_unvoiced().hz.tolist() == [100, 100, 110, 120, 130, 130]
    assert F0Curve([0, 0]).fill_unvoiced().hz.tolist() == [0, 0]


def test_lengths():
    curve = F0Curve([1.0, 2.0, 3.0])
    assert curve.fit(5).hz.tolist() == [1, 2, 3, 0, 0]
    assert curve.fit(2).hz.tolist() == [1, 2]
    assert curve.centre(6).hz.tolist() == [0, 0, 1, 2, 3, 0]
    assert curve.centre(2).hz.tolist() == [1, 2]
    with pytest.raises(ValueError, match="one dimension"):
        F0Curve(np.zeros((2, 3)))


def test_file_round_trip(tmp_path):
    path = tmp_path / "노래 'a'.csv"
    curve = F0Curve([0.0, 220.123, 221.5])
    write_curve_file(path, curve)
    rows = read_curve_file(path)
    assert rows[:, 0].tolist() == [0.0, 0.01, 0.02]
    np.testing.assert_allclose(F0Curve(np.ones(3)).replace_from(rows, 0).hz, curve.hz, atol=1e-3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    (
        "0,100\n0.5,200\n",
        "\ufefftime_s,f0_hz\r\n0,100\r\n\r\n0.5,200",
        "# mine\n0.5\t200 # late\n0 100\n",
        "0; 100\n0.5 ; 200",
    ),
)
def test_reader_is_tolerant(tmp_path, text):
    path = tmp_path / "curve.txt"
    path.write_bytes(text.encode())
    assert read_curve_file(path).tolist() == [[0, 100], [0.5, 200]]


@pytest.mark.parametrize(
    ("text", "says"),
    (
        ("0,100\n0.1,12x\n", "line 2 is not 'seconds,hz'"),
        ("0,100,3\n", "line 1 is not"),
        ("0,100\nhello\n", "line 2 is not"),
        ("0,nan\n", "line 1 holds a value that is not a number"),
        ("-1,100\n", "line 1 is out of range"),
        ("1e12,100\n", "line 1 is out of range"),
        ("", "holds no values"),
        ("\x00\x01\xff", "line 1 is not"),
    ),
)
def test_reader_names_the_line(tmp_path, text, says):
    path = tmp_path / "curve.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=says):
        read_curve_file(path)


def test_missing_curve_file(tmp_path):
    with pytest.raises(MissingFile, match="none.csv"):
        read_curve_file(tmp_path / "none.csv")
