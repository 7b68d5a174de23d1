"""The help of the command line: one screen by default, all flags in groups with --help-all."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from lfadsx.cli.command_flags import Command, Flag, as_typed, default_of, documented, flags_of, type_of

COLUMN = 25
"""Width of the column of flags."""


def help_of(command: type[Command], prog: str, *, everything: bool = False) -> str:
    """Returns the help of a command.

    Args:
        command: The command.
        prog: How it is called, such as "lfadsx fit".
        everything: If True, all flags in groups with all that is known of them; if False, the most common ones.
    """
    width = max(40, min(100, shutil.get_terminal_size().columns))
    flags = list(flags_of(command).values())
    everything = everything or not command.common
    lines = [*_usage(flags, prog, width), "", *_paragraphs(inspect.getdoc(command) or "", width, short=not everything)]
    for name, what in command.choices.items():
        lines += textwrap.wrap(what, width, initial_indent=f"  {name.ljust(32)}", subsequent_indent=" " * 34)
    if everything:
        titles = {"": "Flags", "recipe": "Settings", **documented(command)}
        for group in dict.fromkeys(flag.group for flag in flags):
            own = [flag for flag in flags if flag.group == group]
            lines += ["", f"{titles[group].rstrip('.')}:", *_rows(own, width, short=False)]
    else:
        lines += ["", *_rows([flags_of(command)[name] for name in command.common], width, short=True)]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    if not everything:
        lines += ["", f"{prog} --help-all shows all {len(flags)} flags."]
    return as_typed("\n".join(lines), command).replace("`", "")


def _usage(flags: Sequence[Flag], prog: str, width: int) -> list[str]:
    words = []
    for flag in flags:
        if flag.metavar:
            more = f" [{flag.metavar} ...]" if flag.words in ("*", "+") else ""
            words.append(f"[{flag.metavar} ...]" if flag.words == "*" else flag.metavar + more)
    words += [f"{flag.option} {type_of(flag)}" for flag in flags if not flag.metavar and flag.required]
    return textwrap.wrap(" ".join([f"usage: {prog}", *words, "[flags]"]), width, subsequent_indent="       ")


def _paragraphs(text: str, width: int, *, short: bool) -> Iterable[str]:
    paragraphs = re.split(r"\n\n+", text)
    for number, paragraph in enumerate(paragraphs[:2] if short else paragraphs):
        yield from ([""] if number else [])
        yield from textwrap.wrap(" ".join(paragraph.split()), width)


def _rows(flags: Iterable[Flag], width: int, *, short: bool) -> Iterable[str]:
    """A row for each flag: name, type, what it does and its default."""
    for flag in flags:
        name = f"--[no-]{flag.option[2:]}" if flag.default is True else f"{flag.option} {type_of(flag)}"
        label = f"  {flag.metavar or name.rstrip()}"
        default, doc = default_of(flag), flag.doc
        if short:
            doc = re.split(r"(?<=[a-z0-9)])[.;] ", doc, maxsplit=1)[0].rstrip(".")
        doc = f"{doc.rstrip('.')} ({default})" if default else doc.rstrip(".") + ("" if short else ".")
        rows = textwrap.wrap(doc, width - COLUMN)
        if len(label) >= COLUMN:
            yield from textwrap.wrap(label.replace("|", " | "), width, subsequent_indent=" " * 6)
        else:
            first, *rows = rows or [""]
            yield label.ljust(COLUMN) + first
        yield from (" " * COLUMN + row for row in rows)
