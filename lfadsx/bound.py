"""Lower bounds of the evidence: how probable a trained model finds whole trials."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from lfadsx.data.batches import take
from lfadsx.model import LFADS
from lfadsx.objective import log_weight
from lfadsx.types import Batch, Dataset

ROWS = 256
"""Trials that are done at once."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Lower bounds of each trial's log evidence log p(x), in nats, in the order of the split.

    Attributes:
        elbo: The evidence lower bound, the mean over samples of the log weight, shape (trial,).
        importance_weighted: The importance-weighted bound, shape (trial,); never below `elbo`, and closer to
            the evidence the more samples there are.
        n_samples: Number of samples.
    """

    elbo: Float[np.ndarray, " trial"]
    importance_weighted: Float[np.ndarray, " trial"]
    n_samples: int


def bounds(model: LFADS, data: Dataset, split: str = "test", *, n_samples: int = 64, seed: int = 0) -> Bounds:
    r"""Returns lower bounds of each trial's log evidence: every weight 1, no ramp, no penalty.

    .. math:: \frac1S \sum_s \log w_s \;\le\; \log \frac1S \sum_s w_s \;\lesssim\; \log p(x), \quad
        w_s = \frac{p(x, z_s, u_s)}{q(z_s, u_s | x)}

    All targets count: held-out neurons and forward-predicted bins, too. For counts the Poisson likelihood includes
    log k!, so that bounds of different models compare.

    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.data.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> found = lfadsx.bounds(model, data, "valid", n_samples=4)
        >>> bool((found.importance_weighted >= found.elbo).all())
        True

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid" or "test".
        n_samples: Number of samples per trial.
        seed: Seed of the samples. The same seed gives two models the same noise, so that they compare in pairs.

    Raises:
        ValueError: If `n_samples` is below 1 or the data have no such split.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples = {n_samples} is no number of samples. Give at least 1.")
    if split not in data.splits:
        raise ValueError(f"The data have no split {split!r}, only {sorted(data.splits)}. Give one of these.")
    chosen = data.splits[split]
    graphdef, state = nnx.split(model)
    rows = min(ROWS, chosen.n_trials)
    found = []
    for first in range(0, chosen.n_trials, rows):
        index = np.arange(first, first + rows)
        batch = take(data.sessions, chosen, np.where(index < chosen.n_trials, index, -1))
        both = _bounds(graphdef, state, batch, jax.random.key(seed), n_samples)
        found.append(np.asarray(both)[:, : chosen.n_trials - first])
    elbo, weighted = np.concatenate(found, axis=1)
    return Bounds(elbo, weighted, n_samples)


@partial(jax.jit, static_argnums=(0, 4))
def _bounds(
    graphdef: Any, state: Any, batch: Batch, key: Key[Array, ""], n_samples: int
) -> Float[Array, "bound trial"]:
    model = nnx.merge(graphdef, state)
    encoded = model.encode(batch)

    def one_sample(totals: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], None]:
        noise = model.draw(jax.random.fold_in(key, number), batch)
        weight = log_weight(model, batch, model.decode(encoded, batch, noise))
        total, log_total = totals
        return (total + weight, jnp.logaddexp(log_total, weight)), None

    start = (jnp.zeros(batch.n_trials), jnp.full(batch.n_trials, -jnp.inf))
    (total, log_total), _ = jax.lax.scan(one_sample, start, jnp.arange(n_samples))
    return jnp.stack([total / n_samples, log_total - jnp.log(n_samples)])
