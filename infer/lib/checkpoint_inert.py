"""What a torch file holds, without torch: names, plain values, and shapes in the place of tensors.

A small machine for the few pickle instructions that torch writes. It makes dicts, lists, tuples, numbers
and texts; every class or function that a file names is a stand-in that does nothing, and a name that
weight files never need is refused. Sizes and steps are bounded, so that no file takes long.
"""

import contextlib
import math
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.lib.checkpoint_pickle import FAIRSEQ_NAMES, MAX_PICKLE_BYTES

MAX_STEPS = 3_000_000  # a training checkpoint takes 60 thousand
MAX_DIMS = 8
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_HARMLESS = re.compile(r"(torch\b[\w.]*|collections\.OrderedDict|_codecs\.encode)")
_FOREIGN = {name for _, name in FAIRSEQ_NAMES}
_DICTS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")
_LISTS = ("builtins.list", "__builtin__.list", "torch.Size")
_FLOATS = ("HalfStorage", "FloatStorage", "BFloat16Storage", "DoubleStorage")


class Malformed(ValueError):
    """Not what torch writes."""


class Refused(ValueError):
    """The file names something that weight files never need; `str()` is that name."""


@dataclass(frozen=True)
class Shape:
    """Stands for a tensor. `dtype` is its kind of storage; `dense` is False where values are missing."""

    shape: tuple[int, ...]
    dtype: str = ""
    dense: bool = True


@dataclass(frozen=True)
class Nothing:
    """Stands for an object of a class that is not made."""

    name: str


@dataclass(frozen=True)
class _Name:
    text: str


@dataclass(frozen=True)
class _Storage:
    kind: str
    length: int


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a dense float tensor; None for anything else."""
    is_weight = isinstance(value, Shape) and value.dense and value.dtype in _FLOATS
    return value.shape if is_weight else None


def inert_content(path: Path) -> Any:
    """What the torch file holds. Raises Malformed, Refused, or OSError."""
    with _opened(path) as (data, start):
        return _Machine(data, start).run()


def foreign_family(name: str) -> bool:
    """Whether a name is one that fairseq's files use."""
    return name.startswith(("fairseq.", "omegaconf."))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[bytes | mmap.mmap, int]]:
    """The bytes with the pickle of the content, and where in them it begins."""
    if zipfile.is_zipfile(path):
        yield _zipped_pickle(path), 0
        return
    with (
        path.open("rb") as file,
        contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
    ):
        yield data, _legacy_start(data)


def _zipped_pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((item for item in archive.infolist() if item.filename.endswith("data.pkl")), None)
            if entry is None or entry.file_size > MAX_PICKLE_BYTES:
                raise Malformed("no pickle of a usual size")
            return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        raise Malformed(str(error)) from error


def _legacy_start(data: mmap.mmap) -> int:
    """The older stream: a magic number, a version and facts of the system come before the content."""
    machine = _Machine(data, 0)
    if machine.run() != _LEGACY_MAGIC:
        return 0
    for _ in range(2):
        machine = _Machine(data, machine.position)
        machine.run()
    return machine.position


class _Machine:
    """One pickle of `data`, from `position` on."""

    def __init__(self, data: bytes | mmap.mmap, position: int):
        self.data, self.position = data, position
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object. Raises Malformed or Refused."""
        try:
            for _ in range(MAX_STEPS):
                code = self.data[self.position]
                self.position += 1
                if code == _STOP:
                    return self.stack.pop()
                _STEPS[code](self)
        except (LookupError, TypeError, struct.error, UnicodeError, AttributeError) as error:
            raise Malformed(f"{type(error).__name__}: {error}") from error
        raise Malformed("too long")

    def take(self, count: int) -> bytes:
        piece = self.data[self.position : self.position + count]
        if len(piece) < count:
            raise Malformed("cut short")
        self.position += count
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, form: str) -> str:
        return self.take(self.number(form)).decode("utf-8", "surrogatepass")

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise Malformed("a name without end")
        return self.take(end + 1 - self.position)[:-1].decode("utf-8")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def set_items(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Nothing):
            return
        if not isinstance(target, dict):
            raise Malformed("entries for what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | type(None)):  # a hash of nested tuples could overflow
                raise Malformed("a key that is no text or number")
            target[key] = value

    def extend(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Nothing):
            raise Malformed("items for what is no list")


def _named(machine: _Machine, text: str) -> None:
    if not (_HARMLESS.fullmatch(text) or text in _FOREIGN):
        raise Refused(text)
    machine.push(_Name(text))


def _global(machine: _Machine) -> None:
    _named(machine, f"{machine.line()}.{machine.line()}")


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _named(machine, f"{module}.{name}"[:1000])


def _call(machine: _Machine) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise Malformed("a call of what is no name")
    machine.push(_called(function.text, arguments))


def _called(name: str, arguments: tuple) -> Any:
    if name in _DICTS:
        pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
        return {key: value for key, value in pairs if isinstance(key, str | int)}
    if name in _LISTS:
        return list(arguments[0]) if arguments and isinstance(arguments[0], list | tuple) else []
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return _shape(arguments[0], arguments[1], arguments[2])
    if name == "torch._utils._rebuild_parameter" and arguments and isinstance(arguments[0], Shape):
        return arguments[0]
    return Nothing(name)


def _shape(storage: Any, offset: Any, size: Any) -> Shape:
    usual = isinstance(storage, _Storage) and isinstance(size, tuple) and len(size) <= MAX_DIMS
    if not usual or not all(isinstance(n, int) and 0 <= n < 2**40 for n in (offset, *size)):
        raise Malformed("a tensor of no usual shape")
    return Shape(size, storage.kind, offset + math.prod(size) <= storage.length)


def _persistent(machine: _Machine) -> None:
    """("storage", type, key, device, number of values, ...)"""
    entry = machine.stack.pop()
    if (
        not isinstance(entry, tuple)
        or len(entry) < 5
        or entry[0] != "storage"
        or not isinstance(entry[4], int)
    ):
        raise Malformed("a reference to what is no storage")
    kind = entry[1].text.rpartition(".")[2] if isinstance(entry[1], _Name) else ""
    machine.push(_Storage(kind, entry[4]))


def _remember(machine: _Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _append(machine: _Machine) -> None:
    item = machine.stack.pop()
    machine.extend(machine.stack[-1], [item])


def _appends(machine: _Machine) -> None:
    items = machine.since_mark()
    machine.extend(machine.stack[-1], items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items(machine.stack[-1], [key, value])


def _set_items(machine: _Machine) -> None:
    items = machine.since_mark()
    machine.set_items(machine.stack[-1], items)


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        if len(machine.stack) < count:
            raise Malformed("an empty stack")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.push(items)

    return step


def _constant(make: Callable[[], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(make())


def _numeral(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.number(form))


def _text_step(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.text(form))


def _bytes_step(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(form)))


def _long(machine: _Machine) -> None:
    machine.push(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True))


_STOP = ord(".")
_STEPS: dict[int, Callable[[_Machine], Any]] = {
    ord(letter): step
    for letter, step in {
        "\x80": lambda machine: machine.take(1),  # protocol
        "\x95": lambda machine: machine.take(8),  # frame
        "(": lambda machine: machine.marks.append(len(machine.stack)),
        "0": lambda machine: machine.stack.pop(),
        "c": _global, "\x93": _stack_global, "R": _call, "\x81": _call, "Q": _persistent,
        "b": lambda machine: machine.stack.pop(),  # the state of an object
        "q": lambda machine: _remember(machine, machine.number("<B")),
        "r": lambda machine: _remember(machine, machine.number("<I")),
        "\x94": lambda machine: _remember(machine, len(machine.memo)),
        "h": lambda machine: machine.push(machine.memo[machine.number("<B")]),
        "j": lambda machine: machine.push(machine.memo[machine.number("<I")]),
        "}": _constant(dict), "]": _constant(list), ")": _constant(tuple),
        "N": _constant(lambda: None), "\x88": _constant(lambda: True), "\x89": _constant(lambda: False),
        "a": _append, "e": _appends, "s": _set_item, "u": _set_items,
        "\x85": _tuple_of(1), "\x86": _tuple_of(2), "\x87": _tuple_of(3),
        "t": lambda machine: machine.push(tuple(machine.since_mark())),
        "K": _numeral("<B"), "M": _numeral("<H"), "J": _numeral("<i"), "G": _numeral(">d"), "\x8a": _long,
        "X": _text_step("<I"), "\x8c": _text_step("<B"),
        "U": _bytes_step("<B"), "T": _bytes_step("<I"), "C": _bytes_step("<B"), "B": _bytes_step("<I"),
    }.items()
}  # fmt: skip
