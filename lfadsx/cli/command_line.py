"""Where the command line begins: which command is meant, and how it ends.

Only the command that is meant is imported, so that `lfadsx --help` needs no JAX.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

import lfadsx
from lfadsx.cli.command_flags import Command, parse
from lfadsx.cli.help_text import help_of
from lfadsx.cli.terminal import DONE, say, use_compilation_cache
from lfadsx.errors import LfadsxError, nearest

COMMANDS = {
    "prepare": ("prepare_command", "Prepare", "Cut a recording (NWB, MATLAB, Phy, Suite2p, ...) into a data file."),
    "fit": ("fit_commands", "Fit", "Train a model on data files, infer all trials, score them and draw figures."),
    "infer": ("model_commands", "Infer", "Infer rates, factors and inputs of a file's trials with a trained model."),
    "evaluate": ("model_commands", "Evaluate", "Score a trained model beside its baselines."),
    "few-shot": ("few_shot_command", "FewShotCommand", "Score read-outs of unseen neurons from a few trials."),
    "compare": ("compare_command", "Compare", "Compare runs on the same trials."),
    "sweep": ("selection_commands", "Sweep", "Train a grid of models and choose one."),
    "cv": ("selection_commands", "CrossValidate", "Score a model on every trial by cross-validation."),
    "controls": ("selection_commands", "Controls", "Check a model on data with a known answer, made from the files."),
    "dynamics": (
        "dynamics_command",
        "DynamicsCommand",
        "Find fixed points and modes of a trained generator.",
    ),
    "generate": ("model_commands", "Generate", "Generate new trials from a trained model."),
    "export": ("export_command", "Export", "Write results for NWB, MATLAB, pynapple, CSV, ayna or the benchmark."),
    "report": ("model_commands", "Report", "Write the report page and the methods paragraph of a run."),
    "parameters": ("model_commands", "Parameters", "Write all parameters of a trained model to an HDF5 file."),
    "inspect": (
        "inspect_command",
        "Inspect",
        "Say what a data file, a recording or a run folder holds, and how it would be read.",
    ),
    "simulate": ("simulate_command", "Simulate", "Simulate spikes whose true rates are known."),
    "demo": ("demo_command", "Demo", "Simulate spikes, then train on them and draw figures."),
    "translate": ("translate_command", "Translate", "Print the flags of `fit` for settings of other LFADS programs."),
}
"""By name of the command, module and class, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: done. 2: something that the user can mend. 1: a fault of lfadsx or of a part of the user's own. A run that Ctrl-C
    or SIGTERM has stopped ends with 128 plus the signal's number, as shells expect. 3: one of several processes of the
    run has ended.

    Args:
        arguments: Words after `lfadsx`; by default those of the process.
    """
    code = _run(sys.argv[1:] if arguments is None else list(arguments))
    if processes := sys.modules.get("lfadsx.processes"):
        processes.leave(code)
    return code


def _run(words: list[str]) -> int:
    """Runs the command that the words describe, and returns its exit code."""
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview() + "\n")
        return DONE
    if words[0] == "--version":
        sys.stdout.write(f"lfadsx {lfadsx.__version__}\n")
        return DONE
    _log_plainly()
    command = Command
    try:
        command, prog, words = find(words)
        if asked := {"-h", "--help", "--help-all"}.intersection(words):
            sys.stdout.write(help_of(command, prog, everything="--help-all" in asked) + "\n")
            return DONE
        job = parse(command, words, prog)
        use_compilation_cache()
        return job.run()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        say("Stopped.")
        return 128 + signal.SIGINT
    except Exception as error:
        from lfadsx.cli.failures import end

        return end(error, words, command)


def overview() -> str:
    """Returns the list of commands."""
    rows = [f"  {name.ljust(12)}{what}" for name, (_, _, what) in COMMANDS.items()]
    return "\n".join([
        "usage: lfadsx COMMAND ...",
        "",
        "LFADS: single-trial dynamics, inputs and denoised rates of neural recordings.",
        "",
        *rows,
        "",
        "lfadsx COMMAND --help explains a command; lfadsx --version prints the version.",
    ])  # fmt: skip


def find(words: Sequence[str]) -> tuple[type[Command], str, list[str]]:
    """Returns the class of the command that words begin with, how it is called, and the other words.

    Raises:
        LfadsxError: If the command is unknown.
    """
    name, *others = words
    if name not in COMMANDS:
        raise LfadsxError(f"`{name}` is not a command of lfadsx{nearest(name, COMMANDS)}. lfadsx --help lists them.")
    module, kind, _ = COMMANDS[name]
    command = getattr(importlib.import_module(f"lfadsx.cli.{module}"), kind)
    return command.chosen(f"lfadsx {name}", others)


def _log_plainly() -> None:
    """Sends log messages to stderr as they are, without a prefix."""
    warnings.filterwarnings("ignore", module="orbax")
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("lfadsx").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # ours or, as Orbax logs on import, one with a prefix
            handler.setFormatter(logging.Formatter("%(message)s"))
