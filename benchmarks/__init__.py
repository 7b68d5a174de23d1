"""Accuracy, speed and size of the library; their settings are those of the examples, which are made importable here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "examples"))
