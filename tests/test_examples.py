"""Every example runs in its quick form, prints a figure that is a number, and writes its files."""

import ast
import dataclasses
import importlib.util
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CACHE

import lfadsx
from lfadsx.datasets import RECIPES

EXAMPLES = Path(__file__).parents[1] / "examples"

# By example: the pattern of its number in the output, and the files that it must write.
EXPECTED = {
    "own_generator": (r"^tanh RNN +(\S+)", ("rates.png", "scores.txt", "tanh_RNN/best")),
    "compose_by_hand": (r"^Bound after training: (\S+)", ("parts.txt", "scores.txt", "loss.png", "best")),
    "arrays_of_your_own": (
        r"^Bits per spike of held-out neurons: (\S+)",
        ("scores.txt", "posterior.h5", "summary.png", "best"),
    ),
    "emg": (
        r"^R2 of the muscles by the last model: (\S+)",
        ("scores.txt", "emg.png", "muscles/best", "spikes/best", "both/best"),
    ),
    "chaotic_rnn_no_inputs": (
        r"^R2 of single neurons: mean (\S+),",
        ("scores.txt", "rates.png", "summary.png", "best"),
    ),
    "gaussian_chaotic_rnn_no_inputs": (
        r"^KL of the inferred inputs, nats per bin: (\S+)",
        ("scores.txt", "r2.png", "best"),
    ),
    "chaotic_rnn_gaussian_on_counts": (r"^Share of rates below zero: (\S+)", ("scores.txt", "rates.png", "best")),
    "chaotic_rnn_inputs_g1p5": (r"^Pulses found within 2 bins: (\S+)", ("scores.txt", "pulses.png", "posterior.h5")),
    "chaotic_rnn_inputs_g2p5": (r"^Pulses found within 2 bins: (\S+)", ("scores.txt", "pulses.png", "data.h5", "best")),
    "every_kind_of_run": (
        r"^Covariances of generated and recorded trials, correlation: (\S+)",
        ("scores.txt", "averaged.h5", "pushed.h5", "generated.h5", "parameters.h5", "resemblance.png", "generated.png")
        + ("tensorflow/model_runs_data_valid_posterior_sample_and_average",),
    ),
    "chaotic_rnn_multisession": (
        r"^Agreement of the sessions' factors, R2: (\S+)",
        ("scores.txt", "sessions.png", "best"),
    ),
    "chaotic_rnns_labeled": (
        r"^Gain of the label, nats per trial: (\S+)",
        ("scores.txt", "gain_of_the_label.png", "r2.png", "right_label/best", "random_label/best"),
    ),
    "itb_rnn": (r"^R2 of the inputs, pooled: (\S+)", ("scores.txt", "regression.png", "best")),
    "lorenz": (r"^R2 of the three states: (\S+)", ("scores.txt", "states.png", "best")),
    "nbff": (r"^R2 of the noisy inputs, pooled: (\S+)", ("scores.txt", "inputs.png", "best")),
    "population": (
        r"^ensemble of 2 +(\S+)",
        (
            "scores.txt",
            "single/best",
            "pbt/best_member/best",
            "pbt/figures/scores.png",
            "pbt/figures/hyperparameters.png",
        ),
    ),
    "jax_tutorial": (
        r"^R2 of the rates, mean of neurons and trials: PCA \S+, LFADS (\S+)",
        ("scores.txt", "tutorial/01_task.png", "tutorial/03_network_training.png", "tutorial/22_initial_states.png"),
    ),
}
# Known bounds of the numbers: shares and R2 are at most 1, shares and divergences at least 0.
LARGEST = dict.fromkeys(EXPECTED, 1.0) | {"chaotic_rnns_labeled": 1e4, "gaussian_chaotic_rnn_no_inputs": 1e4}
SMALLEST = dict.fromkeys(("chaotic_rnn_gaussian_on_counts", "chaotic_rnn_inputs_g1p5", "chaotic_rnn_inputs_g2p5"), 0.0)


# Packages and modules whose names a script may import.
DOCUMENTED = ("lfadsx", "lfadsx.datasets", "lfadsx.distributions")
DOCUMENTED += ("lfadsx.evaluation", "lfadsx.evaluation.metrics", "lfadsx.modules", "lfadsx.plotting", "lfadsx.search")


def run_apart(name, folder):
    """Runs an example as a user does, in a separate process and folder, and returns its output."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        # As in conftest: keep every program, and compile quickly rather than well.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example as a script, but in this process: no imports to wait for, and programs are shared."""

    def run_here(name, folder):
        path = str(EXAMPLES / f"{name}.py")
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [path, "--quick"])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run_here


def check(name, folder, output):
    """Asserts that an example printed its number and wrote its files."""
    pattern, files = EXPECTED[name]
    match = re.search(pattern, output, re.MULTILINE)
    assert match and math.isfinite(float(match[1])), output
    assert SMALLEST.get(name, -math.inf) <= float(match[1]) <= LARGEST[name]
    for file in files:
        path = folder / "runs" / name / "quick" / file
        assert path.is_dir() or path.stat().st_size > 0, path


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


HERE = [name for name in EXPECTED if name != "own_generator"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_example(name, tmp_path, run):
    check(name, tmp_path, run(name, tmp_path))


@pytest.mark.slow
def test_example_in_a_process_of_its_own(tmp_path):
    check("own_generator", tmp_path, run_apart("own_generator", tmp_path))


OF_THEIR_OWN = {"own_generator", "compose_by_hand", "arrays_of_your_own", "emg"}
"""Examples that simulate data themselves."""


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - OF_THEIR_OWN))
def test_settings_can_be_taken_from_an_example(name):
    """Benchmarks import the settings: that must run nothing, and the simulation must know those of the data."""
    example = load(name)
    settings = (example.MODEL, example.HYPER, example.TRAIN)
    assert tuple(map(type, settings)) == (lfadsx.ModelConfig, lfadsx.HyperParams, lfadsx.TrainConfig)
    example.HYPER.check()
    for changes in (example.DATA, example.QUICK_DATA):
        dataclasses.replace(RECIPES[example.NAME], **changes)


def load(name):
    """Imports an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def test_arrays_from_a_file(tmp_path):
    """The arrays of a file, with trials of different length, become the data set that simulated ones become."""
    example = load("arrays_of_your_own")
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


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_examples_use_public_names_only(path):
    """An import is the library, a documented package of it, or a name of these."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "lfadsx":
            assert node.module in DOCUMENTED, ast.unparse(node)
            package = importlib.import_module(node.module)
            names = [alias.name for alias in node.names if f"{node.module}.{alias.name}" not in DOCUMENTED]
            assert all(hasattr(package, name) and not name.startswith("_") for name in names), ast.unparse(node)
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("lfadsx.") for alias in node.names), ast.unparse(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lfadsx":
            assert hasattr(lfadsx, node.attr), ast.unparse(node)
