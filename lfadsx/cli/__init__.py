"""The command line `lfadsx`: the standard jobs on data files."""

from lfadsx.cli.command_line import main as main
