"""Text to phones: batches, accents, the inventory, the folding to English classes."""

import shutil

import pytest

from tools.starter import phones

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def test_folding_names_the_39_classes_of_timit_without_silence():
    assert len({name for names in phones.FOLDING.values() for name in names}) == 38
    assert phones.folded(["ɡ", "ʊɹ", "ʔ", "ɣ", "ɜː"]) == ["g", "uh", "r", "er"]


def test_every_folded_or_repaired_phone_is_in_the_inventory():
    known = set(phones.inventory())
    repairs = [*phones.REPAIRS.values(), *phones.ENGLISH_REPAIRS.values()]
    assert set(phones.FOLDING) <= known
    assert {phone for pieces in repairs for phone in pieces} <= known


@needs_espeak
def test_a_batch_gives_what_single_texts_give():
    texts = ["Please call Stella.", "Six spoons, five slabs; and more!", "", "Will we\never forget it?"]
    assert phones.phones_of_many(texts, "en") == [phones.phones_of(text, "en") for text in texts]
    assert phones.phones_of("Please call Stella.", "en") == [
        "p",
        "l",
        "iː",
        "z",
        "k",
        "ɔː",
        "l",
        "s",
        "t",
        "ɛ",
        "l",
        "ə",
    ]


@needs_espeak
def test_british_speech_is_written_with_the_phones_of_the_inventory():
    assert phones.language_of("en", "p226") == "en-gb"
    assert phones.language_of("en", "kathleen") == "en"
    assert phones.indices_of(phones.phones_of("a hot car over there", "en-gb"))
    assert "ɹ" not in phones.phones_of("car", "en-gb")
