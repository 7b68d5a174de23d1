"""The command line `lfadsx`: the standard jobs on data files."""

import sys

try:
    import tyro as _tyro  # noqa: F401
except ImportError:  # the command then says which extra brings it
    sys.exit('The command lfadsx needs the package tyro. Install it with: pip install "lfadsx[cli]"')

from lfadsx.cli.command_line import main as main
from lfadsx.cli.command_line import parse as parse
from lfadsx.cli.terminal import use_compilation_cache as use_compilation_cache
from lfadsx.cli.terminal import use_devices as use_devices
