from infer.jobs.events import Failed, Finished, ItemFailed, Log, Progress, Started
from infer.jobs.outcome import Outcome


def told(outcome: Outcome, *events: tuple) -> list:
    return [merged for number, event in events for merged in outcome.merge(number, event)]


def test_totals_add_up_once_all_shards_have_begun():
    outcome = Outcome(2)
    assert told(outcome, (0, Started("f0", 50)), (0, Progress(1, 50, "a"))) == []  # half a total is none
    assert told(outcome, (1, Started("f0", 40))) == [Started("f0", 90)]
    assert told(outcome, (1, Progress(3, 40, "b"))) == [Progress(4, 90, "b")]


def test_a_shard_that_fails_at_once_does_not_hide_the_progress_of_the_others():
    outcome = Outcome(2)
    assert told(outcome, (0, Started("f0", 50)), (1, Failed("f0", "no model"))) == [Started("f0", 50)]
    assert told(outcome, (0, Progress(2, 50, "a"))) == [Progress(2, 50, "a")]
    assert outcome.reasons == ["no model"]


def test_a_shard_that_dies_without_a_word_is_not_waited_for():
    outcome = Outcome(2)
    told(outcome, (0, Started("f0", 50)))
    assert outcome.closed(1) == [Started("f0", 50)]
    assert outcome.closed(0) == []


def test_parts_of_items_add_up():
    outcome = Outcome(2)
    told(outcome, (0, Started("x", 2)), (1, Started("x", 2)))
    assert told(outcome, (0, Progress(1, 2, "", 0.75)), (1, Progress(1, 2, "", 0.5))) == [
        Progress(1, 4, "", 0.75),
        Progress(3, 4, "", 0.25),
    ]


def test_a_command_that_is_a_chain_tells_each_stage_and_ends_with_its_own_summary():
    outcome = Outcome(1)
    events = told(
        outcome,
        (0, Started("preprocess", 3)),
        (0, Progress(3, 3)),
        (0, Finished("preprocess", {"clips": 9})),
        (0, Started("train", 20)),
        (0, Progress(1, 20)),
        (0, Finished("train", {"epoch": 20})),
        (0, Finished("train_all", {"voice": "a.pth"})),
    )
    assert events == [
        Started("preprocess", 3),
        Progress(3, 3),
        Finished("preprocess", {"clips": 9}),
        Started("train", 20),
        Progress(1, 20),
        Finished("train", {"epoch": 20}),
    ]
    assert outcome.summary == {"voice": "a.pth"}  # counts of inner stages are not its counts


def test_summaries_of_shards_add_up_and_words_are_kept():
    outcome = Outcome(2)
    told(outcome, (0, Finished("f0", {"clips": 3, "folder": "x", "complete": True})))
    told(outcome, (1, Finished("f0", {"clips": 4, "folder": "y", "complete": True})))
    assert outcome.summary == {"clips": 7, "folder": "x", "complete": True}


def test_what_needs_no_merging_passes():
    outcome = Outcome(2)
    for event in (Log("hello"), ItemFailed("a.wav", "silent")):
        assert outcome.merge(1, event) == [event]
