"""Names inside pickles: inert stand-ins for the classes of fairseq files, and who asked for what.

A fairseq checkpoint names classes of packages that we do not have and do not want to run. The
restricted unpickler of torch may be told that such a name means a class of ours; ours does nothing
but keep the state it is given. Any other name is refused by torch.
"""

import collections
import pickletools
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

MAX_PICKLE_BYTES = 64 * 2**20


class Inert:
    """Takes any arguments and any state, and does nothing with them."""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __init__(self, *_args, **_kwargs):
        pass

    def __setstate__(self, state):
        if isinstance(state, Mapping):
            self.__dict__.update({str(name): value for name, value in state.items()})


_STAND_INS = (
    "fairseq.data.dictionary.Dictionary",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "argparse.Namespace",
    "typing.Any",
)

# For torch.serialization.safe_globals: (class, name in the file). One class for each name.
FAIRSEQ_NAMES = [(type(name.rpartition(".")[2], (Inert,), {}), name) for name in _STAND_INS] + [
    (dict, "builtins.dict"),
    (list, "builtins.list"),
    (int, "builtins.int"),
    (dict, "__builtin__.dict"),
    (list, "__builtin__.list"),
    (int, "__builtin__.long"),
    (int, "__builtin__.int"),
    (collections.defaultdict, "collections.defaultdict"),
]


def plain(value, depth: int = 20):
    """Dicts, lists and leaves out of stand-ins of omegaconf nodes; other stand-ins become None."""
    if depth == 0:
        return None
    if isinstance(value, Inert):
        state = vars(value)
        inner = state.get("_val", state.get("_content", state if "_metadata" not in state else None))
        return plain(inner, depth - 1)
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth - 1) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else None


def refused_name(message: str, path: Path) -> str | None:
    """The class or function that torch's message names, else the first one found in the pickle itself."""
    if found := re.search(r"GLOBAL ([\w.]+)", message):
        return found.group(1)
    if not re.search(r"Unsupported operand|Unsupported class|Can only", message):
        return None
    return next(iter(foreign_names(path)), None)


def foreign_names(path: Path) -> list[str]:
    """Names outside torch and collections.OrderedDict which the first pickle asks for. Nothing is run."""
    harmless = re.compile(r"(torch\b.*|collections\.OrderedDict|_codecs\.encode)")
    return [name for name in _names(_pickle_bytes(path)) if not harmless.fullmatch(name)]


def _names(data: bytes) -> list[str]:
    names, texts = [], ["", ""]
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                names.append(argument.replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(texts[-2:]))
            elif isinstance(argument, str):
                texts.append(argument)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError):
        pass  # not a pickle to its end: the names seen so far count
    return names


def _pickle_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(MAX_PICKLE_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((item for item in archive.infolist() if item.filename.endswith("data.pkl")), None)
            if entry is None or entry.file_size > MAX_PICKLE_BYTES:
                return b""
            return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError):
        return b""  # damaged, encrypted or packed in an unknown way
