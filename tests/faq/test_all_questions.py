"""No question is forgotten."""

import re
from pathlib import Path


def test_q01_to_q18_have_tests():
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    found = {int(number) for text in texts for number in re.findall(r"^def test_q(\d\d)_(?!to_)", text, re.M)}
    assert found == set(range(1, 19))
