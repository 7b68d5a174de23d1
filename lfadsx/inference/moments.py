"""What a device computes of its trials: means and spreads over samples of the posterior."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Key

from lfadsx.models.lfads import LFADS
from lfadsx.parallel import compiler_options, each_trials
from lfadsx.random import derive
from lfadsx.types import Batch, Noise, Output

SAMPLED = ("rates", "factors", "inputs")
"""What single samples are returned of, on request."""


@cache
def summariser(mesh: Mesh | None) -> Any:
    """Returns `_summarise`, compiled for the devices of a mesh."""

    def summarise(graphdef: Any, state: Any, batch: Batch, key: Array, n: int, at_once: int, samples: bool) -> Any:
        def on_device(shared: tuple[Any, Array], batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
            return _summarise(graphdef, shared[0], batch, shared[1], n, at_once, samples)

        return each_trials(on_device, mesh)((state, key), batch)

    options = dict(compiler_options(mesh)) or None
    return jax.jit(summarise, static_argnums=(0, 4, 5, 6), compiler_options=options)


def _summarise(
    graphdef: Any,
    state: Any,
    batch: Batch,
    key: Key[Array, ""],
    n_samples: int,
    at_once: int,
    samples: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns means and spreads over samples (trial first), and single samples (sample first) if asked."""
    model = nnx.merge(graphdef, state)
    encoded = model.encode(batch)
    once = {"encoding": _trial_first(encoded.encoding), **_ic_posterior(model, encoded.ic_params)}

    def decode(noise: Noise | None) -> dict[str, Any]:
        return _averaged(model, model.decode(encoded, batch, noise))

    if n_samples == 0:
        values = decode(None)
        return once | {"mean": values, "std": jax.tree.map(jnp.zeros_like, _spread(values))}, {}

    def one_chunk(carry: tuple, numbers: Array) -> tuple[tuple, dict]:
        values = jax.vmap(lambda key: decode(model.draw(key, batch)))(derive(key, numbers))
        kept = {name: values[name] for name in SAMPLED if values[name] is not None} if samples else {}
        return _merge_moments(carry, values, at_once), kept

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: decode(None)))
    start = (jnp.zeros(()), zeros, _spread(zeros))
    numbers = jnp.arange(n_samples).reshape(-1, at_once)
    (_, mean, squares), kept = jax.lax.scan(one_chunk, start, numbers)
    std = jax.tree.map(lambda x: jnp.sqrt(x / n_samples), squares)
    kept = jax.tree.map(lambda x: x.reshape(n_samples, *x.shape[2:]), kept)
    return once | {"mean": mean, "std": std}, kept


def _averaged(model: LFADS, output: Output) -> dict[str, Any]:
    """What is averaged over samples."""
    prior, params = model.decoder.input_prior, output.input_params
    return {
        "rates": model.expected(output),
        "variance": model.scatter(output),
        "factors": output.factors,
        "initial_condition": output.initial_condition,
        "initial_state": output.initial_state,
        "generator_states": output.generator_states,
        "inputs": output.inputs,
        "input_mean": None if params is None else prior.posterior_mean(params),
        "input_std": None if params is None else prior.posterior_std(params),
        "controller_states": output.controller_states,
    }


def _spread(values: dict[str, Any]) -> dict[str, Any]:
    """What a spread over samples is returned of."""
    return {"rates": values["rates"], "inputs": values["inputs"]}


def _merge_moments(carry: tuple, values: dict[str, Any], n_new: int) -> tuple:
    """Merges a chunk of samples into count, means and sums of squared deviations (Chan et al. 1983)."""
    count, mean, squares = carry
    total = count + n_new
    new_mean = jax.tree.map(lambda x: x.mean(0), values)
    delta = jax.tree.map(lambda new, old: new - old, new_mean, mean)
    within = jax.tree.map(lambda x, m: ((x - m) ** 2).sum(0), _spread(values), _spread(new_mean))
    squares = jax.tree.map(
        lambda old, new, d: old + new + d**2 * count * n_new / total, squares, within, _spread(delta)
    )
    mean = jax.tree.map(lambda old, d: old + d * n_new / total, mean, delta)
    return total, mean, squares


def _ic_posterior(model: LFADS, params: Array) -> dict[str, Array]:
    prior = model.ic_prior
    return {"ic_mean": prior.posterior_mean(params), "ic_std": prior.posterior_std(params)}


def _trial_first(x: Array | None) -> Array | None:
    return None if x is None else jnp.swapaxes(x, 0, 1)
