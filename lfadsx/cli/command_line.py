"""Where the command line begins: which command is meant, and how it ends."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import tyro

from lfadsx.cli.compare_command import Compare
from lfadsx.cli.failures import end
from lfadsx.cli.fit_commands import Demo, Fit
from lfadsx.cli.model_commands import Evaluate, Generate, Infer, Parameters, Report
from lfadsx.cli.selection_commands import CrossValidate, Sweep
from lfadsx.cli.simulate_command import Simulate, simulations
from lfadsx.cli.terminal import DONE, say, use_compilation_cache
from lfadsx.cli.translate_command import Translate

COMMANDS = {
    "simulate": Simulate,
    "demo": Demo,
    "fit": Fit,
    "sweep": Sweep,
    "cv": CrossValidate,
    "infer": Infer,
    "evaluate": Evaluate,
    "compare": Compare,
    "generate": Generate,
    "parameters": Parameters,
    "report": Report,
    "translate": Translate,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: done; 2: something that the user can mend; 1: a fault of ours or of a part of the user's own. A run that Ctrl-C
    or SIGTERM has stopped ends with 128 plus the signal's number, as shells expect.

    Args:
        arguments: Words after `lfadsx`; by default those of the process.
    """
    _log_plainly()
    warnings.filterwarnings("ignore", module="orbax")
    use_compilation_cache()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return parse(words).run()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        say("Stopped.")
        return 128 + signal.SIGINT
    except Exception as error:
        return end(error, words)


def _log_plainly() -> None:
    """Sends log messages to stderr as they are, without a prefix."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("lfadsx").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # ours or, as Orbax logs on import, one with a prefix
            handler.setFormatter(logging.Formatter("%(message)s"))


def parse(words: list[str]) -> Any:
    """Returns the command that the words of a command line ask for."""
    commands, prog = COMMANDS, "lfadsx"
    description = "LFADS: single-trial dynamics, inputs and denoised rates of neural recordings."
    if words[:1] == ["simulate"]:  # the names of data sets are commands of their own, each with its flags
        commands, prog, words, description = simulations(), "lfadsx simulate", words[1:], inspect.getdoc(Simulate)
    config = (tyro.conf.FlagCreatePairsOff,)
    return tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=description, args=words, config=config)
