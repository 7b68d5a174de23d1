"""Lower bounds of the evidence: how probable a trained model finds whole trials."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key

from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics import nll_per_trial
from lfadsx.evaluation.metrics.known_entries import masked_mean, masked_sum
from lfadsx.inference.memory import map_trials, trials_at_once
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.objective import (
    input_correlation,
    kl_inferred_inputs,
    kl_initial_condition,
    kl_trial_bias,
    log_weight,
    reconstruction,
)
from lfadsx.parallel import n_data_devices
from lfadsx.random import derive
from lfadsx.results.labels import Labels
from lfadsx.types import Batch

Kind = Literal["elbo", "importance_weighted"]
"""Evidence lower bound, or importance-weighted bound."""


@dataclasses.dataclass(frozen=True, repr=False)
class Bounds:
    """Lower bounds of each trial's log evidence log p(x), in nats, in the order of the split.

    Attributes:
        elbo: The evidence lower bound, the mean over samples of the log weight, shape (trial,).
        importance_weighted: The importance-weighted bound, shape (trial,); never below `elbo`, and closer to
            the evidence with more samples.
        null: Log likelihood of the same data under each neuron's mean rate over the trials of its session, shape
            (trial,); NaN if the data are not counts.
        n_spikes: Number of spikes of each trial, shape (trial,); NaN if the data are not counts.
        n_scored: Number of scored entries of each trial, shape (trial,).
        terms: Terms of the loss by name, averaged over samples, before any weight, shape (trial,): `reconstruction`
            (negative log likelihood), `kl_ic`, `kl_inputs` (in closed form), `kl_bias` with a bias, and `correlation`.
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
        r"""Returns a bound in bits per spike, relative to the log likelihood of mean rates.

        .. math:: \frac{\sum_i (b_i - n_i)}{\log 2 \sum_i k_i}

        with the bound b, the log likelihood n of the mean rates and the number k of spikes of a trial. NaN without
        spikes, or if the data are not counts.

        Args:
            which: "elbo" or "importance_weighted".
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
        w_s = \frac{p(x, z_s, b_s, u_s)}{q(z_s, b_s, u_s | x)}

    All targets count, held-out neurons and forward-predicted bins included. For counts the Poisson likelihood includes
    log k!, so that bounds of different models are comparable.

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
        split: As in `lfadsx.infer`.
        n_samples: Number of samples per trial.
        seed: Seed of the samples. The same seed gives two models the same noise, so that they can be compared in pairs.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If `n_samples` is below 1 or the data have no such split.
    """
    check_shapes(model, data)
    _, trials = trials_of(data, split)
    return bounds_of(model, Labels.of(data), trials, n_samples=n_samples, seed=seed, mesh=mesh)


def bounds_of(
    model: LFADS, labels: Labels, split: Split, *, n_samples: int = 64, seed: int = 0, mesh: Mesh | None = None
) -> Bounds:
    """Returns the bounds of any trials of the sessions in `labels`; other arguments as in `bounds`."""
    if n_samples < 1:
        raise LfadsxError(f"`n_samples` must be at least 1, got {n_samples}: a bound is an average over samples.")
    n_channels = sum(target.shape[2] for target in split.targets.values())
    rows = min(trials_at_once(model, split.n_bins, n_channels), -(-split.n_trials // n_data_devices(mesh)))
    terms, _ = map_trials(_bounds, model, labels, split, (n_samples,), rows=rows, seed=seed, mesh=mesh)
    elbo, weighted = terms.pop("elbo"), terms.pop("importance_weighted")
    return Bounds(elbo, weighted, *_null(labels, split), terms, n_samples)


def _bounds(
    model: LFADS, batch: Batch, key: Key[Array, ""], n_samples: int
) -> tuple[dict[str, Float[Array, " trial"]], tuple[()]]:
    encoded = model.encode(batch)

    def one_sample(totals: dict[str, Array], number: Array) -> tuple[dict[str, Array], None]:
        noise = model.draw(derive(key, number), batch)
        output = model.decode(encoded, batch, noise)
        weight = log_weight(model, batch, output)
        new = {
            "elbo": weight,
            "importance_weighted": weight,
            "reconstruction": -reconstruction(model, batch, output),
            "kl_ic": kl_initial_condition(model, output),
            "kl_inputs": kl_inferred_inputs(model, batch, output),
            "correlation": input_correlation(model, batch, output),
        }
        if (of_bias := kl_trial_bias(model, output)) is not None:
            new["kl_bias"] = of_bias
        add = {name: jnp.logaddexp if name == "importance_weighted" else jnp.add for name in new}
        return {name: add[name](totals[name], value) for name, value in new.items()}, None

    names = ("elbo", "reconstruction", "kl_ic", "kl_inputs", "correlation")
    names += () if model.bias_prior is None else ("kl_bias",)
    start = dict.fromkeys(names, jnp.zeros(batch.n_trials))
    start = start | {"importance_weighted": jnp.full(batch.n_trials, -jnp.inf)}
    total, _ = jax.lax.scan(one_sample, start, jnp.arange(n_samples))
    log_total = total.pop("importance_weighted")
    means = {name: value / n_samples for name, value in total.items()}
    return means | {"importance_weighted": log_total - jnp.log(n_samples)}, ()


def _null(labels: Labels, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns log likelihood of mean rates, number of spikes and number of scored entries of each trial."""
    are_counts = all(group.kind == "counts" for group in labels.groups.values())
    log_likelihood, n_spikes = np.full((2, split.n_trials), 0.0 if are_counts else np.nan)
    n_scored = np.zeros(split.n_trials)
    for group in labels.groups:
        for number in np.unique(split.session):
            rows = np.flatnonzero(split.session == number)
            trials = take(labels.sessions, split, rows)
            counts, scored = np.asarray(trials.targets[group]), np.asarray(trials.scored(group))
            n_scored[rows] += scored.sum((1, 2))
            if are_counts:
                rates = np.broadcast_to(masked_mean(counts, scored, (0, 1)), counts.shape)
                log_likelihood[rows] -= nll_per_trial(rates, counts, scored)
                n_spikes[rows] += masked_sum(counts, scored, (1, 2))
    return log_likelihood, n_spikes, n_scored
