"""What a conversion has to say beside its sound: a sentence that also knows what it is about."""


class Note(str):
    """An English sentence; `kind` and `values` are for those who say it in another language."""

    kind: str
    values: dict[str, str]

    def __new__(cls, kind: str, sentence: str, **values: object) -> "Note":
        """`sentence` holds {names} of `values`."""
        texts = {name: str(value) for name, value in values.items()}
        note = super().__new__(cls, sentence.format(**texts))
        note.kind, note.values = kind, texts
        return note
