"""Flags from dataclasses: each field of a command, and of the settings within it, is a flag."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from lfadsx.aliases import ALIASES
from lfadsx.errors import LfadsxError, nearest
from lfadsx.setting_checks import SUITED

C = TypeVar("C", bound="Command")
POSITIONAL, HIDDEN = "positional", "hidden"


@dataclasses.dataclass(kw_only=True)
class Command:
    """A command: a dataclass whose fields are its flags, and `run`.

    A field whose type is a dataclass is a group of flags. Texts below the fields are the help.
    """

    common: ClassVar[tuple[str, ...]] = ()
    """Flags of the short help; by default all."""
    choices: ClassVar[dict[str, str]] = {}
    """Names that the help explains."""
    examples: ClassVar[tuple[str, ...]] = ()
    """Command lines of the help."""
    given: ClassVar[frozenset[str]] = frozenset()
    """Names of the flags that are given; every command has its own."""
    lists: ClassVar[tuple[str, ...]] = ()
    """Groups whose numbers and names take lists such as 4,8,16; the field `grids` holds the lists."""

    @classmethod
    def chosen(cls, prog: str, words: list[str]) -> tuple[type[Command], str, list[str]]:
        """Returns the command that the words mean, how it is called, and the words that are left."""
        return cls, prog, words

    def run(self) -> int:
        """Does the work and returns the exit code."""
        raise NotImplementedError


def positional(metavar: str, **kwargs: Any) -> Any:
    """Returns a field that is given without a flag's name."""
    return dataclasses.field(metadata={POSITIONAL: metavar}, **kwargs)


def hidden(**kwargs: Any) -> Any:
    """Returns a field that is not a flag."""
    return dataclasses.field(metadata={HIDDEN: True}, **kwargs)


class Flag(NamedTuple):
    """A flag.

    Attributes:
        name: Name of the field.
        group: Name of the field that holds the settings it belongs to; "" for fields of the command itself.
        hint: Its type.
        default: Its default, or `dataclasses.MISSING`.
        doc: Its help.
        metavar: How a positional argument is called; "" for flags.
        listed: If True, it takes a list of numbers or names.
        suited: If True, its default follows from the amount of data.
    """

    name: str
    group: str
    hint: Any
    default: Any
    doc: str
    metavar: str = ""
    listed: bool = False
    suited: bool = False

    @property
    def option(self) -> str:
        """The flag as it is typed: --ic-dim."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def label(self) -> str:
        """What messages and the help call it."""
        return self.metavar or self.option

    @property
    def required(self) -> bool:
        """If True, it has no default."""
        return self.default is dataclasses.MISSING

    @property
    def kind(self) -> Any:
        """Its type without None."""
        return _without_none(self.hint)

    @property
    def words(self) -> int | str | None:
        """How many words follow: None for a single one, "*" for any number."""
        if get_origin(self.kind) is not tuple:
            return "?" if self.metavar and not self.required else None
        if ... in get_args(self.kind):
            return "+" if self.metavar and self.required else "*"
        return len(get_args(self.kind))

    def value(self, words: Any) -> Any:
        """Returns the value of one word or several.

        Raises:
            LfadsxError: If a word is not of the flag's type.
        """
        kinds = get_args(self.kind)
        if get_origin(self.kind) is not tuple:
            return self._listed(words) if self.listed else self._word(self.kind, words)
        if ... in kinds:
            return tuple(self._word(kind, word) for kind in kinds[:1] for word in words)
        if len(words) != len(kinds):
            raise LfadsxError(f"`{self.label}` must have {len(kinds)} values, got {len(words)}.")
        return tuple(map(self._word, kinds, words))

    def _listed(self, word: str) -> Any:
        values = [self._word(self.kind, part) for part in str(word).split(",")]
        return tuple(values) if len(values) > 1 else values[0]

    def _word(self, kind: Any, word: Any) -> Any:
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if word not in choices:
                known = ", ".join(map(repr, choices))
                raise LfadsxError(f"`{self.label}` must be one of {known}, got {word!r}{nearest(word, choices)}.")
            return word
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        try:
            return _truth(word) if kind is bool else kind(word)
        except (TypeError, ValueError):
            raise LfadsxError(f"`{self.label}` must be {words.get(kind, kind)}, got {str(word)!r}.") from None


def _truth(word: Any) -> bool:
    return {"true": True, "false": False}[str(word).lower()] if not isinstance(word, bool) else word


@functools.cache
def flags_of(command: type) -> dict[str, Flag]:
    """Returns the flags of a command by name, those of its groups included."""
    return {flag.name: flag for flag in _flags(command, "", getattr(command, "lists", ()))}


def _flags(owner: type, group: str, lists: tuple[str, ...]) -> Iterator[Flag]:
    hints, docs = get_type_hints(owner), documented(owner)
    for field in dataclasses.fields(owner):
        if HIDDEN in field.metadata:
            continue
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _with_defaults(field, _flags(hint, field.name, lists))  # pyright: ignore[reportArgumentType]
            continue
        metavar, listed = field.metadata.get(POSITIONAL, ""), group in lists and _is_number_or_name(hint)
        suited = SUITED in field.metadata
        yield Flag(field.name, group, hint, _default(field), docs.get(field.name, ""), metavar, listed, suited)


def _is_number_or_name(hint: Any) -> bool:
    kind = _without_none(hint)
    return kind in (int, float) or get_origin(kind) is Literal


def _without_none(hint: Any) -> Any:
    """Returns a type without None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    return next(kind for kind in get_args(hint) if kind is not type(None))


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _with_defaults(group: dataclasses.Field, flags: Iterator[Flag]) -> Iterator[Flag]:
    """Flags of a group with the defaults that the command gives them."""
    defaults = _default(group)
    return (flag._replace(default=getattr(defaults, flag.name)) for flag in flags)


def documented(owner: type) -> dict[str, str]:
    """Returns the texts below the fields of a dataclass by name."""
    docs: dict[str, str] = {}
    for kind in reversed(owner.__mro__):
        if not dataclasses.is_dataclass(kind):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # pyright: ignore
        except (OSError, TypeError):  # made by a program, without a source
            continue
        for field, text in zip(body, body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                docs[field.target.id] = " ".join(str(text.value.value).split())  # pyright: ignore
    return docs


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        flag = re.match(r"argument (\S+?)(?:/--no\S+)?: (.*)", message)
        missing = re.match(r"the following arguments are required: (.*)", message)
        if missing:
            found = ", ".join(f"`{name}`" for name in missing[1].split(", "))
            raise LfadsxError(f"{found} must be given. {self.prog} --help shows how.")
        if flag:
            expected = flag[2].replace("expected", "must be followed by").replace("argument", "value")
            raise LfadsxError(f"`{flag[1]}` {expected}. {self.prog} --help shows how.")
        raise LfadsxError(f"{message[:1].upper()}{message[1:]}. {self.prog} --help shows how.")


def given_by(command: type, words: Sequence[str], prog: str) -> dict[str, Any]:
    """Returns the values of the flags that the words of a command line give, by name.

    Raises:
        LfadsxError: If a flag is unknown, misses its value or has one of another type, or a required one is missing.
    """
    flags = flags_of(command)
    words = [_without_alias(word, flags) for word in words]
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for flag in flags.values():
        if flag.metavar:
            parser.add_argument(flag.name, metavar=flag.metavar, nargs=flag.words)
        elif flag.kind is bool:
            parser.add_argument(flag.option, dest=flag.name, action=argparse.BooleanOptionalAction)
        else:
            action = "extend" if flag.words == "*" else "store"
            parser.add_argument(flag.option, dest=flag.name, nargs=flag.words, action=action, required=flag.required)
    _check_names(words, parser, prog)
    found = vars(parser.parse_intermixed_args(list(words)))
    # argparse gives arguments that are not there an empty list.
    found = {name: value for name, value in found.items() if not (flags[name].metavar and value in ([], None))}
    return {name: flags[name].value(value) for name, value in found.items()}


def _without_alias(word: str, flags: Mapping[str, Flag]) -> str:
    """Returns a word with the flag's name here: --fac-dim becomes --factors."""
    typed, equals, value = word.partition("=")
    flag = flags.get(ALIASES.get(typed.removeprefix("--").replace("-", "_"), ""))
    return f"{flag.option}{equals}{value}" if flag and typed.startswith("--") else word


def _check_names(words: Sequence[str], parser: argparse.ArgumentParser, prog: str) -> None:
    known = list(parser._option_string_actions)
    for word in words:
        name = word.split("=", 1)[0]
        if name.startswith("--") and len(name) > 2 and name not in known:
            dashed = name.replace("_", "-")
            meant = f" (did you mean '{dashed}'?)" if dashed in known else nearest(name, known)
            raise LfadsxError(f"`{name}` is not a flag of {prog}{meant}. {prog} --help-all shows all flags.")


def make(command: type[C], given: dict[str, Any]) -> C:
    """Returns a command with the values that are given and the defaults of all others."""
    grids, single = {}, {}
    for name, value in given.items():
        if flags_of(command)[name].listed and isinstance(value, tuple):
            grids[name], value = value, value[0]
        single[name] = value
    made = _make(command, single, command)
    made.given = frozenset(given)
    if command.lists:
        made.grids = grids  # pyright: ignore[reportAttributeAccessIssue]
    return made


def _make(owner: Any, given: dict[str, Any], command: type, defaults: Any = None, group: str = "") -> Any:
    hints, own = get_type_hints(owner), {}
    for field in dataclasses.fields(owner):
        if HIDDEN in field.metadata:
            continue
        if dataclasses.is_dataclass(hints[field.name]):
            default = _default(field)
            own[field.name] = _make(type(default), given, command, default, field.name)
        elif field.name in given and flags_of(command)[field.name].group == group:
            own[field.name] = given[field.name]
    return owner(**own) if defaults is None else dataclasses.replace(defaults, **own)


def parse(command: type[C], words: Sequence[str], prog: str) -> C:
    """Returns the command that the words of a command line describe.

    Values of `--config FILE` replace defaults, those of `--set NAME=VALUE` replace these, and flags replace both.

    Raises:
        LfadsxError: If a word is not understood or a value is out of range.
    """
    from lfadsx.cli.settings_file import from_file, from_pairs

    given, flags = given_by(command, words, prog), flags_of(command)
    if "config" in flags:
        earlier = {} if given.get("config") is None else from_file(given["config"], flags)
        given = earlier | from_pairs(given.get("set", ()), flags, prog) | given
    return make(command, given)


def as_typed(message: str, command: type) -> str:
    """Returns a message with the settings in backticks named as flags: `ic_dim` becomes `--ic-dim`."""
    flags = flags_of(command)

    def flag(match: re.Match[str]) -> str:
        name = match[1]
        return f"`{flags[name].label}`" if name in flags else match[0]

    return re.sub(r"`(\w+)`", flag, message)


def default_of(flag: Flag) -> str:
    """Returns the default of a flag as it would be typed; "" for none."""
    value = flag.default
    if flag.suited:
        return "by the data"
    if value is dataclasses.MISSING or value is None or value is False or value == ():
        return ""
    if value is True:
        return "yes"
    return " ".join(map(_typed, value)) if isinstance(value, tuple) else _typed(value)


def _typed(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def type_of(flag: Flag) -> str:
    """Returns what follows a flag, in words."""
    if flag.kind is bool:
        return ""
    if get_origin(flag.kind) is not tuple:
        return f"{_type(flag.kind)}[,...]" if flag.listed else _type(flag.kind)
    kinds = get_args(flag.kind)
    return f"{_type(kinds[0])}..." if ... in kinds else " ".join(map(_type, kinds))


def _type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return {int: "N", float: "X", str: "NAME", Path: "PATH"}[kind]
