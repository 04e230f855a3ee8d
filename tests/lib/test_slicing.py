"""The slicer against recorded cuts, its rules one by one, and the stream cutter."""

from pathlib import Path

import numpy as np
import pytest

from infer.lib.slicing import Piece, cut_windows, hop_length, silence_bounds, slice_windows

DATA = Path(__file__).parents[1] / "data" / "slicing" / "preprocess_40k.npz"
RATE, HOP = 40000, 600
LOUD, QUIET = 0.1, 0.001


def curve(*runs: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for value, count in runs])


def hops(rms: np.ndarray) -> list[tuple[int, int]]:
    pieces = silence_bounds(rms, (len(rms) - 1) * HOP, RATE)
    return [(piece.first_hop, piece.last_hop) for piece in pieces]


@pytest.mark.parametrize("clip", [0, 1])
def test_recorded_bounds_and_windows(clip):
    with np.load(DATA) as data:
        pieces = silence_bounds(data[f"rms_{clip}"], int(data[f"samples_{clip}"]), RATE)
        assert [[p.first_hop, p.last_hop, p.first, p.last] for p in pieces] == data[f"bounds_{clip}"].tolist()
        windows = [w for p in pieces for w in slice_windows(p.first, p.last, RATE, 3.7)]
        assert [stop - start for start, stop in windows] == data[f"writes_{clip}"].tolist()


def test_nothing_to_cut_gives_the_whole():
    assert silence_bounds(curve((LOUD, 201)), 120000, RATE) == [Piece(0, 201, 0, 120000)]


def test_silence_alone_gives_nothing():
    assert hops(np.zeros(500)) == []


def test_short_pauses_do_not_cut():
    assert hops(curve((LOUD, 120), (QUIET, 26), (LOUD, 120))) == [(0, 266)]


def test_pause_before_the_shortest_clip_does_not_cut():
    assert hops(curve((LOUD, 60), (QUIET, 30), (LOUD, 120))) == [(0, 210)]


def test_short_pause_is_split_at_its_first_quietest_hop():
    rms = curve((LOUD, 120), (QUIET, 30), (LOUD, 120))
    rms[[130, 140]] = QUIET / 2
    assert hops(rms) == [(0, 130), (130, 270)]


def test_middle_pause_loses_what_lies_between_its_quiet_points():
    rms = curve((LOUD, 120), (QUIET, 50), (LOUD, 120))
    rms[125], rms[160], rms[145] = QUIET / 2, QUIET / 3, QUIET / 4
    # The overlap 137..153 is quietest at 145, the left part at 145 too, the right part at 145.
    assert hops(rms) == [(0, 145), (145, 290)]


def test_long_pause_keeps_half_a_second_at_each_side():
    rms = curve((LOUD, 120), (QUIET, 100), (LOUD, 120))
    rms[150], rms[190] = QUIET / 2, QUIET / 2
    assert hops(rms) == [(0, 150), (190, 340)]


def test_leading_and_trailing_silence_go():
    rms = curve((QUIET, 100), (LOUD, 150), (QUIET, 100))
    rms[80], rms[260] = QUIET / 2, QUIET / 2
    assert hops(rms) == [(80, 260)]


def test_interval_of_tiny_clip_is_left_whole():
    assert silence_bounds(np.array([QUIET]), 100, RATE) == [Piece(0, 1, 0, 100)]


def test_last_sample_is_the_end_of_the_recording():
    rms = curve((QUIET, 100), (LOUD, 150))
    assert silence_bounds(rms, 249 * HOP + 17, RATE)[-1].last == 249 * HOP + 17


@pytest.mark.parametrize(("rate", "hop"), [(32000, 480), (40000, 600), (48000, 720)])
def test_hop_is_fifteen_milliseconds(rate, hop):
    assert hop_length(rate) == hop


@pytest.mark.parametrize("rate", [32000, 40000, 48000])
@pytest.mark.parametrize("slice_s", [3.0, 3.7])
@pytest.mark.parametrize("seconds", [0.2, 3.9, 4.0, 4.1, 30.0, 61.3])
def test_windows_cover_a_piece_without_gaps(rate, slice_s, seconds):
    first, last = 12345, 12345 + int(seconds * rate)
    windows = slice_windows(first, last, rate, slice_s)
    assert windows[0][0] == first
    assert windows[-1][1] == last
    for (_, stop), (start, _) in zip(windows, windows[1:], strict=False):
        assert stop - start == pytest.approx(0.3 * rate, abs=1)
    lengths = [stop - start for start, stop in windows]
    assert set(lengths[:-1]) <= {round(slice_s * rate)}
    assert lengths[-1] <= (slice_s + 0.3) * rate
    assert len(windows) == 1 or lengths[-1] > 0.59 * rate


@pytest.mark.parametrize("block", [1, 7, 100, 10000])
def test_windows_are_cut_out_of_any_blocks(block):
    signal = np.arange(1000.0)
    windows = [(0, 50), (40, 90), (300, 300), (400, 650), (640, 1000)]
    blocks = (signal[start : start + block] for start in range(0, 1000, block))
    for (start, stop), cut in zip(windows, cut_windows(blocks, windows), strict=True):
        assert np.array_equal(cut, signal[start:stop])
