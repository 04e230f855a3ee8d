"""Options dataclass <-> parser <-> argument list <-> the line shown to the user.

A command is a frozen dataclass whose fields are made with `option(...)`. Flags are always
written `--name=value`: only that form survives paths with spaces, leading dashes and `-12`.
Nothing here passes a shell, so what is shown is what runs.
"""

import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")


def option(
    default: Any = MISSING,
    *,
    help: str,
    choices: Sequence | None = None,
    aliases: Sequence[str] = (),
    positional: bool = False,
):
    """A field of an options dataclass. `aliases` are further flags, e.g. ("-se",)."""
    metadata = {"help": help, "choices": choices, "aliases": tuple(aliases), "positional": positional}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parser_for(options_class: type, prog: str) -> argparse.ArgumentParser:
    """A parser with one flag for each field; exits with code 2 on wrong arguments."""
    parser = argparse.ArgumentParser(prog=prog, description=options_class.__doc__, allow_abbrev=False)
    for field, kind in _fields(options_class):
        _add_argument(parser, field, kind)
    return parser


def parse(options_class: type, argv: Sequence[str], prog: str = "python -m ..."):
    """Options from an argument list. `--a_b=1` and `--a-b=1` are the same flag."""
    parser = parser_for(options_class, prog)
    namespace = parser.parse_args([_dashed(argument) for argument in argv])
    try:
        # argparse collects several positionals in a list; an options field is a tuple.
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in vars(namespace).items()}
        return options_class(**values)
    except ValueError as error:  # __post_init__ is the one validation
        parser.error(str(error))


def to_argv(options: Any) -> list[str]:
    """The argument list that parses back to the same options; defaults are written out too."""
    argv, tail = [], []
    for field, _ in _fields(type(options)):
        value = getattr(options, field.name)
        if field.metadata["positional"]:
            if value is None:
                continue
            tail += [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
        elif value is not None:
            items = value if isinstance(value, tuple) else (value,)
            argv += [f"{flag_of(field.name)}={_text(item)}" for item in items]
    return argv + (["--", *tail] if tail else [])


def flag_of(name: str) -> str:
    """`sample_rate` -> `--sample-rate`."""
    return "--" + name.replace("_", "-")


def display(argv: Sequence[str]) -> str:
    """The line to paste into this system's shell."""
    return subprocess.list2cmdline(argv) if os.name == "nt" else shlex.join(argv)


@dataclass(frozen=True)
class Command:
    """A module of this project and its options: `argv` runs it, `display()` shows it."""

    module: str
    options: Any
    prefix: tuple[str, ...] = ()  # e.g. ("-m", "torch.distributed.run", "--nproc-per-node=2")

    @property
    def arguments(self) -> list[str]:
        """What follows the module's name."""
        action = getattr(self.options, "ACTION", None)  # the word that picks one of a stage's actions
        return [*([action] if action else []), *to_argv(self.options)]

    @property
    def argv(self) -> list[str]:
        return [sys.executable, *self.prefix, "-m", self.module, *self.arguments]

    def display(self) -> str:
        return display(self.argv)


def _fields(options_class: type):
    kinds = typing.get_type_hints(options_class)
    return [(field, kinds[field.name]) for field in dataclasses.fields(options_class)]


def _add_argument(parser: argparse.ArgumentParser, field: dataclasses.Field, kind: type) -> None:
    kind, is_list = _base_kind(kind)
    required = field.default is MISSING
    settings: dict[str, Any] = {
        "help": _help(field),
        "type": _reader(kind),
        "choices": field.metadata["choices"],
    }
    if kind is bool:
        settings["metavar"] = "yes|no"
    if field.metadata["positional"]:
        settings["nargs"] = "+" if is_list else (None if required else "?")
        if not required:
            settings["default"] = field.default
        parser.add_argument(field.name, **settings)
        return
    if kind is bool:
        settings |= {"nargs": "?", "const": True}
    if is_list:
        settings["action"] = _Append
    flags = [*field.metadata["aliases"], flag_of(field.name)]
    default = None if required else field.default
    parser.add_argument(*flags, dest=field.name, required=required, default=default, **settings)


class _Append(argparse.Action):
    """Collects a repeated flag into a tuple; the first use replaces the default."""

    def __call__(self, parser, namespace, value, flag=None):
        current = getattr(namespace, self.dest)
        seen = () if current is self.default else current
        setattr(namespace, self.dest, (*seen, value))


def _base_kind(kind) -> tuple[type, bool]:
    """`Path | None` -> (Path, False); `tuple[Path, ...]` -> (Path, True)."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _base_kind(next(arm for arm in typing.get_args(kind) if arm is not type(None)))
    if origin is tuple:
        return typing.get_args(kind)[0], True
    return kind, False


def _reader(kind: type):
    return {bool: _read_bool, Path: _read_path}.get(kind, kind)


def _read_bool(text: str) -> bool:
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")


def _read_path(text: str) -> Path:
    """Path("") would be the current folder: an unset shell variable may not mean everything in it."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _help(field: dataclasses.Field) -> str:
    text = field.metadata["help"]
    if field.default is not MISSING and field.default not in (None, ()):
        text += f" (default: {_text(field.default)})"
    return text.replace("%", "%%")  # argparse formats help texts


def _dashed(argument: str) -> str:
    if not argument.startswith("--") or argument == "--":
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
