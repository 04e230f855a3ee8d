from infer.jobs.ledger import Ledger, make_key


def test_records_survive_and_the_last_one_counts(tmp_path):
    path = tmp_path / "ledger" / "x.jsonl"
    ledger = Ledger(path)
    assert not ledger.exists
    ledger.record("0_1", "a")
    ledger.record("노래", "b")
    ledger.record("0_1", "c")
    assert Ledger(path).items() == {"0_1": "c", "노래": "b"}


def test_two_shards_share_a_file(tmp_path):
    first, second = Ledger(tmp_path / "x"), Ledger(tmp_path / "x")
    first.record("a", "1")
    second.record("b", "2")
    first.record("c", "3")
    assert Ledger(tmp_path / "x").items() == {"a": "1", "b": "2", "c": "3"}


def test_a_half_written_line_costs_only_its_item(tmp_path):
    path = tmp_path / "x"
    Ledger(path).record("a", "1")
    with path.open("ab") as file:
        file.write(b'{"item": "b", "ke')
    assert Ledger(path).items() == {"a": "1"}
    Ledger(path).record("c", "3")
    assert Ledger(path).get("a") == "1" and Ledger(path).get("c") == "3"


def test_key_depends_on_every_part_and_its_place():
    assert make_key("a", 1) == make_key("a", 1)
    assert len({make_key("a", 1), make_key("a", 2), make_key("a1"), make_key(1, "a")}) == 4
