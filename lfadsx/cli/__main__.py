"""Runs the command line by `python -m lfadsx.cli`."""

import sys

from lfadsx.cli.command_line import main

sys.exit(main())
