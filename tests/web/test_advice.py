"""The bands, the epoch rule and the batch rule, in numbers."""

import pytest

from infer.web.advice import BANDS, EPOCHS, QUALITIES, advise, band, cpu_batch, epochs, gpu_batch, quality


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0.5, "under_1"), (3, "1_5"), (7, "5_10"), (20, "10_50"), (60, "above_50")],
)
def test_minutes_fall_into_the_bands_of_the_faq(minutes, expected):
    assert band(minutes) == expected
    assert advise({"usable_minutes": minutes}).band == expected


@pytest.mark.parametrize(("edge", "expected"), [(1, "1_5"), (5, "5_10"), (10, "10_50"), (50, "above_50")])
def test_an_edge_belongs_to_the_upper_band(edge, expected):
    assert band(edge) == expected
    assert band(edge - 0.01) != expected


@pytest.mark.parametrize(("minutes", "asked"), [(0.0, True), (0.99, True), (1.0, False), (60, False)])
def test_only_less_than_a_minute_needs_confirmation(minutes, asked):
    assert advise({"usable_minutes": minutes}).needs_confirmation is asked


@pytest.mark.parametrize(
    ("clipped", "floor", "expected"),
    [
        (0.0, -60.0, "good"),
        (0.0, -45.0, "fair"),
        (0.0, -20.0, "poor"),
        (0.05, -70.0, "poor"),
        (0.005, -70.0, "fair"),
        (0.0, None, "fair"),
    ],
)
def test_noise_and_clipping_make_the_quality(clipped, floor, expected):
    assert quality(clipped, floor) == expected


@pytest.mark.parametrize(
    ("minutes", "floor", "expected"),
    [(20, -20.0, 30), (7, -20.0, 20), (3, -45.0, 40), (20, -60.0, 200), (60, -60.0, 200), (0.5, -60.0, 20)],
)
def test_epochs_follow_minutes_and_quality(minutes, floor, expected):
    advice = advise({"usable_minutes": minutes, "clipped": 0.0, "noise_floor_db": floor})
    assert advice.epochs == expected


def test_more_or_cleaner_data_never_means_fewer_epochs():
    table = [EPOCHS[name] for name, _ in BANDS]
    for row in table:
        assert list(row) == sorted(row)
    for column in zip(*table, strict=True):
        assert list(column) == sorted(column)
    assert {epochs(20, kind) for kind in QUALITIES} == {30, 80, 200}


def test_a_report_without_numbers_is_no_praise():
    advice = advise({})
    assert (advice.band, advice.quality) == ("under_1", "fair")


@pytest.mark.parametrize(
    ("memory", "expected"), [([8.0], 4), ([24.0, 12.0], 6), ([3.0], 1), ([0.5], 1), ([139.0], 40)]
)
def test_the_batch_is_half_of_the_smallest_memory(memory, expected):
    assert gpu_batch(memory) == expected


def test_precision_cache_and_checkpointing_change_the_batch():
    assert gpu_batch([24.0], "fp32") < gpu_batch([24.0], "bf16") == 12
    assert gpu_batch([24.0], cached_minutes=60) < gpu_batch([24.0])
    assert gpu_batch([24.0], cached_minutes=10_000) == 1
    assert gpu_batch([8.0], checkpointing=True) == 6


@pytest.mark.parametrize(("ram", "expected"), [(1.5, 1), (4, 1), (8, 2), (64, 4)])
def test_the_batch_on_a_cpu_is_one_to_four(ram, expected):
    assert cpu_batch(ram) == expected
