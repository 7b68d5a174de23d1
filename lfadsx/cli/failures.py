"""How a command ends that has failed: what the user can mend, what a user's own part did, and what is our fault."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

import lfadsx
from lfadsx.cli.command_flags import Command, as_typed
from lfadsx.cli.terminal import OURS, USER, say
from lfadsx.errors import LfadsxError, PartError, is_out_of_memory

LIBRARY = str(Path(lfadsx.__file__).parent)
OTHERS = (*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("stdlib"), "<frozen")


def end(error: Exception, words: Sequence[str], command: type[Command]) -> int:
    """Says what has failed, with a traceback unless the user can mend it, and returns the exit code.

    Args:
        error: The exception.
        words: The words of the command line, of which some are paths.
        command: The command, whose settings are named as its flags.
    """
    processes = sys.modules.get("lfadsx.processes")
    if processes and processes.is_loss(error):
        say(processes.WORDS)
        return processes.LOST
    if said := _to_mend(error, words):
        say(as_typed(said, command))
        return USER
    if part := _part(error):
        say(part)
    traceback.print_exception(error)
    if not part:
        say("This is a fault of lfadsx, not yours. Please report it with the lines above; the run folder is as it was.")
    return OURS


def _to_mend(error: Exception, words: Sequence[str]) -> str:
    """Returns what the user has to do, or an empty string."""
    if isinstance(error, LfadsxError):
        return str(error)
    if isinstance(error, OSError) and (path := _named(error, words)):
        return f"{path} cannot be read or written ({error.strerror}). Check that it exists, its permissions and space."
    if is_out_of_memory(error):
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        whose = "the computer" if isinstance(error, MemoryError) else "the device"
        return (
            f"The memory of {whose} is full ({reason}). Lower --trials-at-once or --batch-size (of a population "
            "--members-at-once) in training and --samples in inference, read fewer trials, or end other programs."
        )
    return ""


def _named(error: OSError, words: Sequence[str]) -> Path | None:
    """Returns the path that could not be used, if it is one that the user named or lies in one."""
    if error.filename is None or isinstance(error.filename, int):
        return None
    path = Path(os.fsdecode(error.filename)).absolute()
    named = [Path(word).absolute() for word in words if not word.startswith("-")]
    return path if any(own == path or own in path.parents for own in named) else None


def _part(error: Exception) -> str:
    """Returns which part of the user's own has failed and how, or an empty text if it was a part of ours."""
    if isinstance(error, PartError):
        return str(error)
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        file, owner = frame.f_code.co_filename, frame.f_locals.get("self")
        if file.startswith(LIBRARY):
            return ""
        if not file.startswith(OTHERS):
            name = frame.f_code.co_name if owner is None else f"{type(owner).__name__}.{frame.f_code.co_name}"
            return f"Your own part {name} ({file}, line {line}) failed: {type(error).__name__}: {error}"
    return ""
