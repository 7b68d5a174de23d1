"""Every example runs in its quick form and leaves what it promises."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import CACHE

EXAMPLES = Path(__file__).parents[1] / "examples"
