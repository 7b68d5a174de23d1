"""Runs the command line by `python -m lfadsx.cli`."""

import sys

from lfadsx.cli.main import main

sys.exit(main())
