"""Every example runs in its quick form, prints a figure that is a number, and writes its files."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CACHE

EXAMPLES = Path(__file__).parents[1] / "examples"

# By example: what the number stands behind in the output, and the files that must be there.
EXPECTED = {
    "own_generator": (r"^tanh RNN +(\S+)", ("rates.png", "scores.txt", "tanh_RNN/best")),
    "compose_by_hand": (r"^Bound after training: (\S+)", ("parts.txt", "loss.png")),
    "arrays_of_your_own": (r"held-out neurons: (\S+)", ("scores.txt", "posterior.h5", "metrics.json", "best")),
}


def run(name, *arguments, folder):
    """Runs an example as a user does, in a folder of its own, and returns what it prints."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        # As in conftest: keep every program, and compile quickly rather than well.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments), "--quick"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, tmp_path):
    pattern, files = EXPECTED[name]
    output = run(name, folder=tmp_path)
    match = re.search(pattern, output, re.MULTILINE)
    assert match and math.isfinite(float(match[1])), output
    for file in files:
        path = tmp_path / "runs" / name / "quick" / file
        assert path.is_dir() or path.stat().st_size > 0, path


def test_arrays_from_a_file(tmp_path):
    """The arrays of a file, with trials of different length, go the same way as simulated ones."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 14, 30)
    np.savez(
        tmp_path / "session.npz",
        spikes_concat=rng.poisson(0.8, (lengths.sum(), 8)),
        cursor_concat=rng.normal(size=(lengths.sum(), 2)),
        lengths=lengths,
        condition=np.arange(30) % 3,
    )
    output = run("arrays_of_your_own", "session.npz", "--out", "out", folder=tmp_path)
    assert "test: 6 trials of " in output
    assert (tmp_path / "out" / "quick" / "posterior.h5").is_file()
