"""Lower bounds of the evidence: how probable a trained model finds whole trials."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key

from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics import nll_per_trial
from lfadsx.inference.memory import trials_at_once
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.objective import (
    input_correlation,
    kl_inferred_inputs,
    kl_initial_condition,
    log_weight,
    reconstruction,
)
from lfadsx.parallel import compiler_options, each_trials, n_data_devices, place_trials, replicate
from lfadsx.random import derive
from lfadsx.results.labels import Labels
from lfadsx.types import Batch, Output

Kind = Literal["elbo", "importance_weighted"]
"""Evidence lower bound, or importance-weighted bound."""


@dataclasses.dataclass(frozen=True, repr=False)
class Bounds:
    """Lower bounds of each trial's log evidence log p(x), in nats, in the order of the split.

    Attributes:
        elbo: The evidence lower bound, the mean over samples of the log weight, shape (trial,).
        importance_weighted: The importance-weighted bound, shape (trial,); never below `elbo`, and closer to
            the evidence the more samples there are.
        null: Log likelihood of the same data under each neuron's mean rate over the trials of its session, shape
            (trial,); NaN for data that are no counts.
        n_spikes: Number of spikes of each trial, shape (trial,); NaN for data that are no counts.
        n_scored: Number of entries of each trial that count, shape (trial,).
        terms: Terms of the loss by name, averaged over samples, before any weight, shape (trial,): `reconstruction`
            (negative log likelihood), `kl_ic`, `kl_inputs` (in closed form) and `correlation`.
        n_samples: Number of samples.
    """

    elbo: Float[np.ndarray, " trial"]
    importance_weighted: Float[np.ndarray, " trial"]
    null: Float[np.ndarray, " trial"]
    n_spikes: Float[np.ndarray, " trial"]
    n_scored: Float[np.ndarray, " trial"]
    terms: dict[str, Float[np.ndarray, " trial"]]
    n_samples: int

    def bits_per_spike(self, which: Kind = "importance_weighted") -> float:
        r"""Returns a bound in bits per spike: how much more probable than mean rates it finds the data.

        .. math:: \frac{\sum_i (b_i - n_i)}{\log 2 \sum_i k_i}

        with the bound b, the log likelihood n of the mean rates and the number k of spikes of a trial. NaN without
        spikes, or for data that are no counts.

        Args:
            which: Which of the bounds.
        """
        saved, spikes = getattr(self, which) - self.null, self.n_spikes.sum()
        return float(saved.sum() / (math.log(2.0) * spikes)) if spikes > 0 else math.nan

    def __repr__(self) -> str:
        """Returns both bounds, averaged over trials, in nats and in bits per spike."""
        lines = [f"Bounds of the log evidence of {len(self.elbo)} trials, {self.n_samples} samples"]
        kinds: tuple[Kind, ...] = ("elbo", "importance_weighted")
        for kind in kinds:
            bits = f", {self.bits_per_spike(kind):.4f} bits per spike" if self.n_spikes.sum() > 0 else ""
            lines.append(f"  {kind}: {getattr(self, kind).mean():.3f} nats per trial{bits}")
        return "\n".join(lines)


def bounds(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> Bounds:
    r"""Returns lower bounds of each trial's log evidence: every weight 1, no ramp, no penalty.

    .. math:: \frac1S \sum_s \log w_s \;\le\; \log \frac1S \sum_s w_s \;\lesssim\; \log p(x), \quad
        w_s = \frac{p(x, z_s, u_s)}{q(z_s, u_s | x)}

    All targets count: held-out neurons and forward-predicted bins, too. For counts the Poisson likelihood includes
    log k!, so that bounds of different models compare.

    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> found = lfadsx.bounds(model, data, "valid", n_samples=4)
        >>> bool((found.importance_weighted >= found.elbo).all())
        True

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid", "test", or "all" for all trials in the order of the input; by default test if there is
            one, else valid.
        n_samples: Number of samples per trial.
        seed: Seed of the samples. The same seed gives two models the same noise, so that they compare in pairs.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If `n_samples` is below 1 or the data have no such split.
    """
    check_shapes(model, data)
    _, trials = trials_of(data, split)
    return bounds_of(model, Labels.of(data), trials, n_samples=n_samples, seed=seed, mesh=mesh)


def bounds_of(
    model: LFADS,
    labels: Labels,
    split: Split,
    *,
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> Bounds:
    """Returns the bounds of any trials of the model's sessions; see `bounds`.

    Args:
        labels: What the trials are; `split.session` counts its sessions.
        split: The trials.
        n_samples: Number of samples per trial.
        mesh: Devices to spread the trials over, on its axis `data`.
    """
    if n_samples < 1:
        raise LfadsxError(f"`n_samples` must be at least 1, got {n_samples}: a bound is an average over samples.")
    graphdef, state = nnx.split(model)
    state, key = replicate((state, jax.random.key(seed)), mesh)
    n_channels, n_devices = sum(target.shape[2] for target in split.targets.values()), n_data_devices(mesh)
    share = -(-split.n_trials // n_devices)
    rows = min(trials_at_once(model, split.n_bins, n_channels), share) * n_devices
    found, compute = [], _on_devices(mesh)
    for first in range(0, split.n_trials, rows):
        index = np.arange(first, first + rows)
        batch = place_trials(take(labels.sessions, split, np.where(index < split.n_trials, index, -1)), mesh)
        one = compute(graphdef, state, batch, key, n_samples)
        found.append(jax.tree.map(lambda x, n=split.n_trials - first: np.asarray(x)[:n], one))
    every = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    elbo, weighted = every.pop("elbo"), every.pop("importance_weighted")
    return Bounds(elbo, weighted, *_null(labels, split), every, n_samples)


@cache
def _on_devices(mesh: Mesh | None) -> Any:
    """Returns `_bounds`, compiled for the devices of a mesh."""

    def compute(graphdef: Any, state: Any, batch: Batch, key: Array, n_samples: int) -> dict[str, Array]:
        def on_device(shared: tuple[Any, Array], batch: Batch) -> tuple[dict[str, Array], tuple[()]]:
            return _bounds(graphdef, shared[0], batch, shared[1], n_samples), ()

        return each_trials(on_device, mesh)((state, key), batch)[0]

    return jax.jit(compute, static_argnums=(0, 4), compiler_options=dict(compiler_options(mesh)) or None)


def _bounds(
    graphdef: Any, state: Any, batch: Batch, key: Key[Array, ""], n_samples: int
) -> dict[str, Float[Array, " trial"]]:
    model = nnx.merge(graphdef, state)
    encoded = model.encode(batch)

    def one_sample(totals: dict[str, Array], number: Array) -> tuple[dict[str, Array], None]:
        noise = model.draw(derive(key, number), batch)
        output = model.decode(encoded, batch, noise)
        weight = log_weight(model, batch, output)
        new = {"elbo": weight, "importance_weighted": weight} | _terms(model, batch, output)
        add = {name: jnp.logaddexp if name == "importance_weighted" else jnp.add for name in new}
        return {name: add[name](totals[name], value) for name, value in new.items()}, None

    zeros = dict.fromkeys(("elbo", "reconstruction", "kl_ic", "kl_inputs", "correlation"), jnp.zeros(batch.n_trials))
    start = zeros | {"importance_weighted": jnp.full(batch.n_trials, -jnp.inf)}
    total, _ = jax.lax.scan(one_sample, start, jnp.arange(n_samples))
    log_total = total.pop("importance_weighted")
    means = {name: value / n_samples for name, value in total.items()}
    return means | {"importance_weighted": log_total - jnp.log(n_samples)}


def _terms(model: LFADS, batch: Batch, output: Output) -> dict[str, Float[Array, " trial"]]:
    """The terms of the loss of one sample."""
    return {
        "reconstruction": -reconstruction(model, batch, output),
        "kl_ic": kl_initial_condition(model, output),
        "kl_inputs": kl_inferred_inputs(model, batch, output),
        "correlation": input_correlation(model, batch, output),
    }


def _null(labels: Labels, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihood of mean rates, number of spikes and number of entries of each trial: of targets that count."""
    are_counts = all(group.kind == "counts" for group in labels.groups.values())
    unknown = 0.0 if are_counts else np.nan
    log_likelihood, n_spikes = np.full(split.n_trials, unknown), np.full(split.n_trials, unknown)
    n_scored = np.zeros(split.n_trials)
    for group in labels.groups:
        for number in np.unique(split.session):
            rows = np.flatnonzero(split.session == number)
            trials = take(labels.sessions, split, rows)
            counts, scored = np.asarray(trials.targets[group]), np.asarray(trials.scored(group))
            n_scored[rows] += scored.sum((1, 2))
            if not are_counts:
                continue
            spikes = np.where(scored, counts, 0)
            rates = spikes.sum((0, 1)) / np.maximum(scored.sum((0, 1)), 1)
            log_likelihood[rows] -= nll_per_trial(np.broadcast_to(rates, counts.shape), counts, scored)
            n_spikes[rows] += spikes.sum((1, 2))
    return log_likelihood, n_spikes, n_scored
