"""Checks that need a GPU: results equal those of a CPU, members equal single models, and training stays finite.

    python -m benchmarks.gpu_checks FILE      writes what this process's device computes to FILE (.npz)

Every check takes nothing, returns the figures that it compared and raises AssertionError if they differ too much.
`benchmarks.gpu_parts` runs them on the GPU and `tests/test_gpu.py` on a CPU.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import lfadsx
from benchmarks.speed import PopulationTrainer, Trainer, make_data, model_config
from benchmarks.workloads import Workload

LOAD = Workload(
    batch=16,
    bins=12,
    forward_bins=3,
    neurons=20,
    held_out=5,
    ic_encoder=16,
    input_encoder=0,
    controller=16,
    generator=24,
    factors=8,
    inputs=2,
    ic_dim=8,
)
Figures = dict[str, Any]


def fit_stays_finite() -> Figures:
    """Trains for a few epochs and checks that every figure of the history is finite."""
    data = make_data(LOAD, n_batches=2)
    model = lfadsx.build(data, model_config(LOAD), rngs=nnx.Rngs(0))
    config = lfadsx.TrainConfig(epochs=4, batch_size=LOAD.batch, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=1)
    result = lfadsx.fit(model, data, config=config)
    reconstruction = np.asarray(result.history["reconstruction"])
    weights = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(result.model, nnx.Param))]
    assert len(reconstruction) == config.epochs and np.isfinite(reconstruction).all(), reconstruction
    assert all(np.isfinite(leaf).all() for leaf in weights), "some weights are not finite"
    return {"first": float(reconstruction[0]), "last": float(reconstruction[-1])}


def member_is_model_alone() -> Figures:
    """Trains a model alone and as both members of a population, in float64: the weights must move alike."""
    with jax.enable_x64(True):
        alone, both = Trainer(LOAD, steps=2), PopulationTrainer(LOAD, 2, steps=2, at_once=2)
        before = _flat(alone.state.params)
        alone.run()
        both.run()
        moved = _flat(alone.state.params) - before
        found = {}
        for member in range(2):
            params = jax.tree.map(lambda leaf, member=member: leaf[member], both.state.params)
            found[f"member_{member}"] = _difference(_flat(params) - before, moved)
    return _at_most(found, 1e-6)


def float32_as_on_cpu() -> Figures:
    """Compares rates, output and gradient with those of a CPU; products in float32."""
    return _beside_cpu("float32", 1e-4)


def float64_as_on_cpu() -> Figures:
    """Compares rates, output and gradient with those of a CPU; everything in float64."""
    return _beside_cpu("float64", 1e-9)


def tf32_near_cpu() -> Figures:
    """Compares rates, output and gradient with those of a CPU; products in tf32, as models train by default."""
    return _beside_cpu("tf32", 1e-2)


CHECKS = (fit_stays_finite, member_is_model_alone, float32_as_on_cpu, float64_as_on_cpu, tf32_near_cpu)


def outcomes(precision: str) -> dict[str, np.ndarray]:
    """Returns what this process's device computes with an untrained model.

    Args:
        precision: "float32", "tf32" (products only) or "float64" (everything).

    Returns:
        Posterior rates, parameters of the likelihood, and the gradient of a function of these.
    """
    with (
        jax.enable_x64(precision == "float64"),
        jax.default_matmul_precision("high" if precision == "tf32" else "highest"),
    ):
        data = make_data(LOAD)
        model = lfadsx.build(data, model_config(LOAD), rngs=nnx.Rngs(0))
        trials = lfadsx.data.batch(data, "train", np.arange(LOAD.batch))
        structure, params, rest = nnx.split(model, nnx.Param, ...)

        def output(params: Any) -> Any:
            model = nnx.merge(structure, params, rest)
            return model(trials, model.draw(jax.random.key(0), trials)).params

        def cost(params: Any) -> Any:
            return sum(jnp.square(leaf).mean() for leaf in jax.tree.leaves(output(params)))

        return {
            "rates": lfadsx.infer(model, data, "train", n_samples=4).rates["spikes"],
            "output": _flat(jax.jit(output)(params)),
            "gradient": _flat(jax.jit(jax.grad(cost))(params)),
        }


@functools.cache
def of_cpu() -> dict[str, np.ndarray]:
    """Returns the outcomes of a process that sees no GPU, by precision and name."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cpu.npz"
        words = [sys.executable, "-m", "benchmarks.gpu_checks", str(file)]
        subprocess.run(words, env={**os.environ, "JAX_PLATFORMS": "cpu"}, check=True)
        with np.load(file) as found:
            return dict(found)


def _beside_cpu(precision: str, tolerance: float) -> Figures:
    reference = "float64" if precision == "float64" else "float32"
    found = outcomes(precision)
    return _at_most({name: _difference(found[name], of_cpu()[f"{reference}_{name}"]) for name in found}, tolerance)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the distance of two arrays relative to the size of the second."""
    assert found.dtype == expected.dtype, (found.dtype, expected.dtype)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _at_most(differences: Figures, tolerance: float) -> Figures:
    assert all(value <= tolerance for value in differences.values()), f"{differences} must be at most {tolerance}"
    return differences | {"tolerance": tolerance}


def _flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


if __name__ == "__main__":
    np.savez(
        sys.argv[1],
        **{f"{kind}_{name}": value for kind in ("float32", "float64") for name, value in outcomes(kind).items()},
    )
