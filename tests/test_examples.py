"""Every example runs in its quick form and leaves what it promises."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
