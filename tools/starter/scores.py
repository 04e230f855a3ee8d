"""Error rates: how far what was understood is from what was said."""

import re
from collections.abc import Iterable, Sequence


def edit_distance(reference: Sequence, heard: Sequence) -> int:
    """The fewest insertions, deletions and substitutions between two sequences."""
    costs = list(range(len(heard) + 1))
    for i, wanted in enumerate(reference, 1):
        diagonal, costs[0] = costs[0], i
        for j, got in enumerate(heard, 1):
            step = min(costs[j] + 1, costs[j - 1] + 1, diagonal + (wanted != got))
            diagonal, costs[j] = costs[j], step
    return costs[-1]


def error_rate(pairs: Iterable[tuple[Sequence, Sequence]]) -> float:
    """Edits over the length of the references, of all (reference, heard) pairs together."""
    pairs = list(pairs)
    length = sum(len(reference) for reference, _ in pairs)
    return sum(edit_distance(*pair) for pair in pairs) / length if length else float("nan")


def words_of(text: str) -> list[str]:
    """Lower-case words: hyphens part them, apostrophes inside stay, other marks go."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)*", text.lower().replace("\u2019", "'"))
