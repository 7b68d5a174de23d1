"""The posterior of trials: averages over its samples, or its means pushed through."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.inference.memory import MEMORY, chunks
from lfadsx.inference.moments import summariser
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import n_data_devices, place_trials, replicate
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior


def infer(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_samples: int = 64,
    seed: int = 0,
    memory: float = MEMORY,
    samples: bool = False,
    mesh: Mesh | None = None,
) -> Posterior:
    """Infers rates, factors, inputs and states of the trials of a split: their averages over posterior samples.

    Trials are encoded once; only the decoder is repeated. The samples of a trial depend only on `seed` and on its
    number in the split.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> lfadsx.infer(model, data, n_samples=4).rates["spikes"].shape
        (4, 10, 50)

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid", "test", or "all" for all trials in the order of the input; by default test if there is
            one, else valid.
        n_samples: Number of samples per trial; 0 pushes the posterior means of initial condition and inputs through
            the decoder (one pass; all spreads are 0).
        seed: Seed of the samples.
        memory: Memory to use on each device, in MB.
        samples: If True, single samples of rates, factors and inputs are returned, too.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split, `n_samples` is below 0, or it is 0 and the
            model has no latent variable.
    """
    check_shapes(model, data)
    name, trials = trials_of(data, split)
    found = infer_trials(model, Labels.of(data), trials, n_samples, seed, memory=memory, samples=samples, mesh=mesh)
    return dataclasses.replace(found, split=name)


def infer_trials(
    model: LFADS,
    labels: Labels,
    trials: Split,
    n_samples: int,
    seed: int,
    *,
    memory: float = MEMORY,
    samples: bool = False,
    mesh: Mesh | None = None,
) -> Posterior:
    """Infers any trials of the model's sessions; see `infer`.

    Args:
        model: The model.
        labels: What the trials are; `trials.session` counts its sessions.
        trials: The trials.
        n_samples: Number of samples per trial; 0 pushes the posterior means through.
        seed: Seed of the samples.
        memory: Memory to use on each device, in MB.
        samples: If True, single samples are returned, too.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If `n_samples` is below 0, or it is 0 and the model has no latent variable.
    """
    if n_samples < 0:
        raise LfadsxError(
            f"`n_samples` must be at least 0, got {n_samples}. Give the number of posterior samples per trial, or 0 to "
            "push the posterior means through."
        )
    if n_samples == 0 and model.decoder.input_prior is None and model.ic_prior.n_params == 0:
        raise LfadsxError(
            "The model has neither an initial condition that is inferred (ic_dim = 0) nor inferred inputs, so there is "
            "no posterior whose means could be pushed through. Ask for 1 sample."
        )
    n_devices = n_data_devices(mesh)
    rows, at_once = chunks(model, trials, n_samples, memory, samples, n_devices)
    rows = rows * n_devices
    graphdef, state = nnx.split(model)
    state, key = replicate((state, jax.random.key(seed)), mesh)
    summarise = summariser(mesh)
    parts = []
    for first in range(0, trials.n_trials, rows):
        index = np.arange(first, first + rows)
        batch = place_trials(take(labels.sessions, trials, np.where(index < trials.n_trials, index, -1)), mesh)
        summary, single = summarise(graphdef, state, batch, key, n_samples, at_once, samples)
        n = min(rows, trials.n_trials - first)
        parts.append(
            (
                jax.tree.map(lambda x, n=n: np.asarray(x)[:n], summary),
                jax.tree.map(lambda x, n=n: np.asarray(x)[:, :n], single),
            )
        )
    summary, single = jax.tree.map(lambda *x: np.concatenate(x), *[p[0] for p in parts]), {}
    if samples:
        single = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *[p[1] for p in parts])
    return _to_posterior(summary, single, trials, labels, n_samples, seed)


def _to_posterior(
    summary: dict[str, Any], single: dict[str, Any], trials: Split, labels: Labels, n_samples: int, seed: int
) -> Posterior:
    mean, std = summary["mean"], summary["std"]
    outside = np.arange(trials.n_bins) >= trials.target_length[:, None]

    def timed(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float32)  # marked in place: nobody else has these arrays
        x[..., outside, :] = np.nan
        return x

    def optional(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else timed(x)

    def channels(x: np.ndarray, group: str) -> np.ndarray:
        counts = np.array([session.n_targets[group] for session in labels.sessions])[trials.session]
        x, absent = timed(x), np.arange(x.shape[-1]) >= counts[:, None]
        np.moveaxis(x, -2, -1)[..., absent, :] = np.nan
        return x

    def by_group(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {group: channels(values, group) for group, values in x.items()}

    kept = {name: timed(value) for name, value in single.items() if name != "rates"}
    if "rates" in single:
        kept["rates"] = channels(single["rates"][labels.input_group], labels.input_group)
    has_inputs = mean["inputs"] is not None
    return Posterior(
        rates=by_group(mean["rates"]),
        rates_std=by_group(std["rates"]),
        variance=by_group({g: v for g, v in mean["variance"].items() if labels.groups[g].kind == "real"}),
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
        n_samples=n_samples,
        seed=seed,
        samples=kept,
        **labels.of_trials(trials),
    )
