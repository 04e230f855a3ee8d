import numpy as np
import pytest

from infer.lib.devices import FULL_PLAN, ChunkPlan
from infer.lib.errors import BadInput
from infer.vc import chunks

PLAN = ChunkPlan(1, 1, 3, 4)


def noise_with_gap(seconds, gap_at, gap_s=0.1):
    audio = np.random.default_rng(0).standard_normal(round(seconds * 16000))
    audio[round(gap_at * 16000) : round((gap_at + gap_s) * 16000)] = 0
    return audio


def direct_split(audio, plan, rule):
    """The rule as it is written: every sum by itself."""
    padded = np.pad(audio, 80, mode="reflect")
    inner = np.abs if rule == "2.3" else np.asarray
    sums = np.array([abs(inner(padded[n : n + 160]).sum()) for n in range(len(audio))])
    step, query = 16000 * plan.x_center, 16000 * plan.x_query
    return [t - query + int(np.argmin(sums[t - query : t + query])) for t in range(step, len(audio), step)]


def test_short_recordings_are_not_cut():
    assert chunks.split_points(np.zeros(4 * 16000 - 160), PLAN) == []
    assert len(chunks.split_points(np.zeros(4 * 16000 - 159), PLAN)) == 1


def test_cut_falls_into_the_gap():
    [point] = chunks.split_points(noise_with_gap(5, 3.4), PLAN)
    assert 3.4 * 16000 <= point <= 3.5 * 16000


@pytest.mark.parametrize("rule", ["2.2", "2.3"])
def test_matches_the_rule_sample_by_sample(rule):
    audio = np.random.default_rng(1).standard_normal(6 * 16000 + 77)
    assert chunks.split_points(audio, PLAN, rule) == direct_split(audio, PLAN, rule)


def test_rules_differ_where_a_loud_wave_sums_to_nothing():
    audio = 0.01 * np.ones(5 * 16000)
    audio[48000:48800] = np.sin(2 * np.pi * np.arange(800) / 160)  # a whole turn in every window
    [old] = chunks.split_points(audio, PLAN, "2.2")
    [new] = chunks.split_points(audio, PLAN, "2.3")
    assert 48000 <= old < 48800
    assert not 48000 <= new < 48800


def test_pieces_overlap_by_the_context_and_end_with_the_signal():
    first, second = chunks.pieces([48055], 5 * 16000 + 32000, PLAN)
    assert (first.start, first.stop) == (0, 48000 + 32000 + 160)
    assert (first.first_frame, first.last_frame) == (0, 500)
    assert (second.start, second.stop) == (48000, 112000)
    assert (second.first_frame, second.last_frame) == (300, 700)


def test_reflection_of_a_clip_shorter_than_the_context():
    padded = chunks.pad(np.arange(800.0), PLAN)
    assert len(padded) == 32800
    assert padded[16000:16800].tolist() == list(range(800))
    assert padded[15999] == 1


def test_smaller_plans_end():
    plan, centers = FULL_PLAN, []
    while plan := chunks.smaller(plan, 3600):
        chunks.check_plan(plan)
        assert plan.x_pad == FULL_PLAN.x_pad
        centers.append(plan.x_center)
    assert centers == [19, 9, 5]


def test_smaller_skips_plans_that_would_not_cut():
    assert chunks.smaller(FULL_PLAN, 10).x_max < 10
    assert chunks.smaller(FULL_PLAN, 2) is None


@pytest.mark.parametrize("plan", [ChunkPlan(0, 6, 38, 41), ChunkPlan(1, 39, 38, 41)])
def test_impossible_plans(plan):
    with pytest.raises(BadInput, match="x_pad"):
        chunks.check_plan(plan)


def test_fractions_of_a_second_stay_on_the_frame_grid():
    assert chunks.samples(0.333) == 5280
    assert chunks.samples(3) == 48000
