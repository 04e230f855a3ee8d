"""`--shard=i/n`: one process for each device takes every n-th clip."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Raises ValueError unless the text is like 0/1, 0/2, 1/2."""
        index, slash, count = text.partition("/")
        numbers = slash and index.isdecimal() and count.isdecimal()
        if not (numbers and int(index) < int(count)):
            raise ValueError(f"shard is {text!r}; give it as 0/1, 0/2, 1/2, ...")
        return cls(int(index), int(count))

    @property
    def first(self) -> bool:
        """The one that does what must be done once."""
        return self.index == 0

    def of(self, items: Sequence) -> list:
        return list(items[self.index :: self.count])
