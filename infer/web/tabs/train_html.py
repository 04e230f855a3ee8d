"""Short texts of the Train tab as HTML; whatever a user may have named is escaped."""

from collections.abc import Sequence
from html import escape


def note(text: str) -> str:
    """A quiet line; "" for no text."""
    return f'<p class="rvc-note">{escape(text)}</p>' if text else ""


def box(kind: str, text: str, items: Sequence[object] = ()) -> str:
    """A message with a coloured edge: `kind` is good, fair or bad. `items` are paths below it."""
    listed = "".join(f"<li><code>{escape(str(item))}</code></li>" for item in items)
    below = f"<ul>{listed}</ul>" if listed else ""
    return f'<div class="rvc-outcome rvc-{kind}" role="status">{escape(text)}{below}</div>'
