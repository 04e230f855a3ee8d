"""The mistakes a user can mend. Everything else is a bug and keeps its traceback."""


class RvcError(Exception):
    """An expected failure: what happened (naming the file), and what to do about it.

    `str(error)` is the sentence shown to the user. Commands end with exit code 3 on it.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = self.message.rstrip(".")
        return f"{text}: {self.hint}" if self.hint else text


class BadInput(RvcError):
    """A recording, folder, name or value that cannot be used."""


class MissingFile(RvcError):
    """A file that should be there and is not."""


class BadCheckpoint(RvcError):
    """A weight file that is damaged, unsafe, or of another kind than asked for."""


class NoDevice(RvcError):
    """A device that this machine lacks, or that ran out of memory."""
