"""Scores of a posterior under the true generator: what the best possible estimate attains."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.optimum.posterior import Generator, Samples, over_rows
from lfadsx.evaluation.metrics import r2_per_trial, r2_pooled


class Estimate(NamedTuple):
    """The best estimates of one quantity, of each trial.

    Attributes:
        mean: Posterior mean, the best for squared errors, shape (trial, time, channel).
        direction: The unit vector over time whose expected squared correlation with the truth is highest, shape
            (trial, time, channel): the leading eigenvector of the posterior mean of s s', s being a sample centred
            over time and of unit length.
        rank: Posterior probability of a value below the truth, shape (trial, time, channel); uniform if the
            posterior is right.
    """

    mean: Any
    direction: Any
    rank: Any


def estimates(
    generator: Generator, samples: Samples, truth: dict[str, Any], *, chunk: int = 20, n_iterations: int = 60
) -> dict[str, Estimate]:
    """The best estimates of rates, inputs and states.

    Args:
        generator: The law of a trial.
        samples: Samples of the posterior.
        truth: By field of `Outcome`, the true values, shape (trial, time, channel).
        chunk: Trials at a time; bounds the memory.
        n_iterations: Power iterations of the leading eigenvector.

    Returns:
        By field of `Outcome`, for the fields of `truth`.
    """

    def one_trial(z: Array, weight: Array, truth: dict[str, Array]) -> dict[str, Estimate]:
        outcomes = jax.vmap(generator.simulate)(z)._asdict()
        return {name: _estimate(outcomes[name], weight, truth[name], n_iterations) for name in truth}

    dtype = samples.z.dtype
    rows = (samples.z, samples.weight, {name: jnp.asarray(values, dtype) for name, values in truth.items()})
    return jax.tree.map(np.asarray, over_rows(one_trial, rows, chunk))


def _estimate(values: Array, weight: Array, truth: Array, n_iterations: int) -> Estimate:
    """The estimates of one trial; values of shape (sample, time, channel)."""
    mean = jnp.einsum("s,stc->tc", weight, values)
    below = (values < truth) + 0.5 * (values == truth)
    return Estimate(
        mean, _leading_direction(values, weight, n_iterations), jnp.einsum("s,stc->tc", weight, below * 1.0)
    )


def _leading_direction(values: Array, weight: Array, n_iterations: int) -> Array:
    """Leading eigenvector over time of the weighted mean of s s' for each channel, by power iteration."""
    shapes = values - values.mean(1, keepdims=True)
    shapes = shapes / jnp.maximum(jnp.sqrt((shapes**2).sum(1, keepdims=True)), 1e-20)
    products = jnp.einsum("s,stc,suc->ctu", weight, shapes, shapes)

    def iterate(direction: Array, _: None) -> tuple[Array, None]:
        direction = jnp.einsum("ctu,cu->ct", products, direction)
        return direction / jnp.maximum(jnp.linalg.norm(direction, axis=1, keepdims=True), 1e-20), None

    # The column of the largest diagonal entry is never orthogonal to the eigenvector by symmetry, as a mean could be.
    start = jax.vmap(lambda product: product[jnp.argmax(jnp.diag(product))])(products)
    return jax.lax.scan(iterate, start, length=n_iterations)[0].T


def scores(found: dict[str, Estimate], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """The scores of the optimum.

    Args:
        found: From `estimates`.
        truth: The true values it was given.

    Returns:
        By name: `rates_r2_pooled` of the posterior mean, `rates_r2` of the leading directions, coverage of the
        central 50 % and 90 % posterior intervals; the same of `inputs`; of `states` R2 of each dimension.
    """
    table: dict[str, float] = {}
    for name in [name for name in ("rates", "inputs") if name in truth]:
        true = np.asarray(truth[name], float)
        table[f"{name}_r2"] = r2_per_trial(found[name].direction.astype(float), true)
        table[f"{name}_r2_pooled"] = r2_pooled(found[name].mean.astype(float), true)
        for share in (50, 90):
            table[f"{name}_coverage_{share}"] = _coverage(found[name].rank, share / 100)
    for index in range(truth["states"].shape[2] if "states" in truth else 0):
        channel = np.s_[:, :, index : index + 1]
        mean = found["states"].mean[channel].astype(float)
        table[f"state_{index + 1}_r2"] = r2_pooled(mean, truth["states"][channel])
    return table


def _coverage(rank: np.ndarray, share: float) -> float:
    """Share of true values within the central posterior interval of that share."""
    return float(np.mean(np.abs(rank - 0.5) <= share / 2))
