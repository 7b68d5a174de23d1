"""The posterior of trials: averages over its samples, or its means pushed through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.inference.memory import MEMORY, chunks
from lfadsx.inference.moments import summariser
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import n_data_devices, place_trials, replicate
from lfadsx.types import Posterior


def posterior_sample_and_average(
    model: LFADS,
    data: Dataset,
    split: str = "test",
    *,
    n_samples: int = 64,
    seed: int = 0,
    memory: float = MEMORY,
    samples: bool = False,
    mesh: Mesh | None = None,
) -> Posterior:
    """Averages rates, factors, inputs and states over samples of the posterior.

    Trials are encoded once; only the decoder is repeated. A trial's samples depend on `seed` and its number
    in the split alone, whatever the memory allows to be done at once.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> posterior = lfadsx.posterior_sample_and_average(model, data, "valid", n_samples=4)
        >>> posterior.rates["spikes"].shape
        (4, 10, 50)

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid" or "test".
        n_samples: Number of samples per trial.
        seed: Seed of the samples.
        memory: Memory to use on each device, in MB.
        samples: Whether to return single samples of rates, factors and inputs, too.
        mesh: Devices to spread the trials over, on its axis `data`.

    Returns:
        Averages and spreads, in the order of the split.

    Raises:
        LfadsxError: If `n_samples` is below 1 or the data have no such split.
    """
    if n_samples < 1:
        raise LfadsxError(f"n_samples = {n_samples} is no number of samples. Give at least 1, or use posterior_mean.")
    chosen = split_of(model, data, split)
    return infer(model, data.sessions, chosen, n_samples, seed, memory=memory, samples=samples, mesh=mesh)


def posterior_mean(
    model: LFADS, data: Dataset, split: str = "test", *, memory: float = MEMORY, mesh: Mesh | None = None
) -> Posterior:
    """Pushes the posterior means of initial condition and inputs through the decoder.

    One pass, no sampling: faster than `posterior_sample_and_average`, but rates are those of a single path and
    all spreads are 0.

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid" or "test".
        memory: Memory to use on each device, in MB.
        mesh: Devices to spread the trials over, on its axis `data`.

    Returns:
        The means, in the order of the split, with `n_samples` = 0.

    Raises:
        LfadsxError: If the data have no such split, or the model has no latent variable.
    """
    return infer(model, data.sessions, split_of(model, data, split), 0, 0, memory=memory, mesh=mesh)


def infer(
    model: LFADS,
    sessions: Sequence[Session],
    split: Split,
    n_samples: int,
    seed: int,
    *,
    memory: float = MEMORY,
    samples: bool = False,
    mesh: Mesh | None = None,
) -> Posterior:
    """Infers any trials of the model's sessions; 0 samples push the means through.

    Args:
        model: The model.
        sessions: The sessions that `split.session` counts.
        split: The trials.
        n_samples: Number of samples per trial, or 0.
        seed: Seed of the samples.
        memory: Memory to use on each device, in MB.
        samples: Whether to return single samples, too.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If means are to be pushed through and the model has no latent variable.
    """
    if n_samples == 0 and model.decoder.input_prior is None and model.ic_prior.n_params == 0:
        raise LfadsxError(
            "The model has neither an initial condition that is inferred (ic_dim = 0) nor inferred inputs, so there is "
            "no posterior whose means could be pushed through. Ask for 1 sample."
        )
    n_devices = n_data_devices(mesh)
    rows, at_once = chunks(model, split, n_samples, memory, samples, n_devices)
    rows = rows * n_devices
    graphdef, state = nnx.split(model)
    state, key = replicate((state, jax.random.key(seed)), mesh)
    summarise = summariser(mesh)
    parts = []
    for first in range(0, split.n_trials, rows):
        index = np.arange(first, first + rows)
        batch = place_trials(take(sessions, split, np.where(index < split.n_trials, index, -1)), mesh)
        summary, single = summarise(graphdef, state, batch, key, n_samples, at_once, samples)
        n = min(rows, split.n_trials - first)
        parts.append(
            (
                jax.tree.map(lambda x, n=n: np.asarray(x)[:n], summary),
                jax.tree.map(lambda x, n=n: np.asarray(x)[:, :n], single),
            )
        )
    summary, single = jax.tree.map(lambda *x: np.concatenate(x), *[p[0] for p in parts]), {}
    if samples:
        single = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *[p[1] for p in parts])
    return _to_posterior(model, summary, single, split, sessions, n_samples, seed)


def split_of(model: LFADS, data: Dataset, name: str) -> Split:
    """Returns a split by its name, after a check that the data fit the model.

    Raises:
        LfadsxError: If the data do not fit the model, or have no such split.
    """
    check_shapes(model, data)
    if name not in data.splits:
        raise LfadsxError(f"The data have no split {name!r}, only {sorted(data.splits)}. Give one of these.")
    return data.splits[name]


def _to_posterior(
    model: LFADS,
    summary: dict[str, Any],
    single: dict[str, Any],
    split: Split,
    sessions: Sequence[Session],
    n_samples: int,
    seed: int,
) -> Posterior:
    mean, std = summary["mean"], summary["std"]
    outside = np.arange(split.n_bins) >= split.target_length[:, None]

    def timed(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float32)  # marked in place: nobody else has these arrays
        x[..., outside, :] = np.nan
        return x

    def optional(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else timed(x)

    def channels(x: np.ndarray, group: str) -> np.ndarray:
        counts = np.array([session.n_targets[group] for session in sessions])[split.session]
        x, absent = timed(x), np.arange(x.shape[-1]) >= counts[:, None]
        np.moveaxis(x, -2, -1)[..., absent, :] = np.nan
        return x

    def by_group(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {group: channels(values, group) for group, values in x.items()}

    kept = {name: timed(value) for name, value in single.items() if name != "rates"}
    if "rates" in single:
        kept["rates"] = channels(single["rates"][model.input_group], model.input_group)
    has_inputs = mean["inputs"] is not None
    return Posterior(
        rates=by_group(mean["rates"]),
        rates_std=by_group(std["rates"]),
        variance=by_group(mean["variance"]),
        factors=timed(mean["factors"]),
        initial_condition=mean["initial_condition"],
        ic_mean=summary["ic_mean"],
        ic_std=summary["ic_std"],
        initial_state=mean["initial_state"],
        generator_states=timed(mean["generator_states"]),
        inputs=optional(mean["inputs"]),
        inputs_std=timed(std["inputs"]) if has_inputs else None,
        input_mean=optional(mean["input_mean"]),
        input_std=optional(mean["input_std"]),
        controller_states=optional(mean["controller_states"]),
        encoding=optional(summary["encoding"]),
        trial_id=split.trial_id,
        session=split.session,
        length=split.target_length,
        n_samples=n_samples,
        seed=seed,
        samples=kept,
    )
