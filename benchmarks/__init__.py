"""Benchmarks of accuracy, speed and size. They use the settings of the examples, which this file makes importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "examples"))
