import pytest

from infer.jobs.events import Metric
from infer.web.loss_chart import COLUMNS, MOST_POINTS, heldout_table, loss_table, thinned


def of_step(step, **values):
    return Metric(step, step // 20, {"loss_mel": 20.0, "learning_rate": 1e-4, **values})


def of_epoch(epoch, mel=20.0):
    return Metric(epoch * 20, epoch, {"loss_mel": mel, "loss_gen": 3.0, "epoch_s": 9.0})


def test_epoch_means_are_shown_as_soon_as_there_are_two():
    assert list(loss_table([of_step(0), of_step(10), of_epoch(1)]).step) == [0, 10]
    table = loss_table([of_step(0), of_epoch(1, 21.0), of_epoch(2, 19.0)])
    assert list(table.columns) == list(COLUMNS)
    mel = table[table.loss == "mel"]
    assert (list(mel.epoch), list(mel.value)) == ([1, 2], [21.0, 19.0])
    assert set(table.loss) == {"mel", "gen"}  # neither durations nor rates


def test_held_out_values_are_a_table_of_their_own():
    metrics = [of_epoch(1), Metric(20, 1, {"heldout_mel": 22.0}), of_epoch(2)]
    assert heldout_table(metrics).values.tolist() == [[20, 1, "heldout_mel", 22.0]]
    assert "heldout_mel" not in set(loss_table(metrics).loss)


def test_values_that_are_no_numbers_leave_gaps():
    metrics = [of_epoch(1, "nan"), of_epoch(2, 3.0), of_epoch(3, "inf")]
    table = loss_table(metrics)
    assert list(table[table.loss == "mel"].value) == [3.0]


def test_nothing_measured_is_an_empty_table_with_its_columns():
    assert list(loss_table([]).columns) == list(COLUMNS) and len(loss_table([])) == 0


@pytest.mark.parametrize("count", [1, 599, 600, 601, 1000, 12345])
def test_long_series_are_thinned_to_means_and_keep_their_ends(count):
    points = [(step, step // 10, float(step)) for step in range(count)]
    few = thinned(points)
    assert 0 < len(few) <= MOST_POINTS
    assert few[-1][0] == count - 1
    size = -(-count // MOST_POINTS)
    assert few[0][2] == pytest.approx((min(size, count) - 1) / 2)
