"""Every example runs in its quick form, prints a figure that is a number, and writes its files."""

import importlib.util
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
    """The arrays of a file, with trials of different length, become the data set that simulated ones become."""
    spec = importlib.util.spec_from_file_location("arrays_of_your_own", EXAMPLES / "arrays_of_your_own.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    spikes, cursor, condition = example.simulate(30)
    lengths = [len(trial) for trial in spikes]
    np.savez(
        tmp_path / "session.npz",
        spikes_concat=np.concatenate(spikes),
        cursor_concat=np.concatenate(cursor),
        lengths=lengths,
        condition=condition,
    )
    data = example.make_dataset(*example.read_npz(tmp_path / "session.npz"))
    for split in data.splits.values():
        np.testing.assert_array_equal(split.target_length, np.array(lengths)[split.trial_id])
        for trial, row in zip(split.targets["spikes"], split.trial_id, strict=True):
            np.testing.assert_array_equal(trial[: lengths[row]], spikes[row])
