"""How results are called: `<recording> - <voice>.<format>`, on every system."""

import re

_NEVER = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
MOST_BYTES = 100  # each of the two parts


def result_name(recording: str, voice: str, format: str) -> str:
    """A readable file name of the stems of both files."""
    return f"{_part(recording)} - {_part(voice)}.{format}"


def _part(text: str) -> str:
    """Without what file names cannot hold, cut at a whole character."""
    text = _NEVER.sub("_", text.encode("utf-8", "replace").decode()).strip(" .")
    while len(text.encode()) > MOST_BYTES:
        text = text[:-1]
    return text.rstrip(" .") or "audio"
