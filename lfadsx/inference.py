"""Inference: averages over the posterior, and the posterior mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Key

from lfadsx.compatibility import check_shapes
from lfadsx.data.batches import take
from lfadsx.distributed import compiler_options, each_trials, n_data_devices, place_trials, replicate
from lfadsx.model import LFADS
from lfadsx.types import Batch, Dataset, Noise, Output, Posterior, Session, Split

MEMORY = 512
"""Memory in MB that inference may use on the device, unless told otherwise."""

COPIES = 6
"""Copies of a trial's values that live at a time, about: values, their deviations, means and squares."""
MOST_TRIALS = 256
"""Trials that are done at once at most."""

SAMPLED = ("rates", "factors", "inputs")
"""What single samples are returned of, on request."""


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
        >>> data = lfadsx.data.chaotic_rnn(conditions=2, duration=0.1)
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
        ValueError: If `n_samples` is below 1 or the data have no such split.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples = {n_samples} is no number of samples. Give at least 1, or use posterior_mean.")
    chosen = _split(model, data, split)
    return infer(model, data.sessions, chosen, n_samples, seed, memory=memory, samples=samples, mesh=mesh)


def posterior_mean(model: LFADS, data: Dataset, split: str = "test", *, memory: float = MEMORY) -> Posterior:
    """Pushes the posterior means of initial condition and inputs through the decoder.

    One pass, no sampling: faster than `posterior_sample_and_average`, but rates are those of a single path and
    all spreads are 0.

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid" or "test".
        memory: Memory to use on the device, in MB.

    Returns:
        The means, in the order of the split, with `n_samples` = 0.

    Raises:
        ValueError: If the data have no such split, or the model has no latent variable.
    """
    return infer(model, data.sessions, _split(model, data, split), 0, 0, memory=memory)


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
        ValueError: If means are to be pushed through and the model has no latent variable.
    """
    if n_samples == 0 and model.decoder.input_prior is None and model.ic_prior.n_params == 0:
        raise ValueError(
            "The model has neither an initial condition that is inferred (ic_dim = 0) nor inferred inputs, so there is "
            "no posterior whose means could be pushed through. Ask for 1 sample."
        )
    n_devices = n_data_devices(mesh)
    rows, at_once = _chunks(model, split, n_samples, memory, samples, n_devices)
    rows = rows * n_devices
    graphdef, state = nnx.split(model)
    state, key = replicate((state, jax.random.key(seed)), mesh)
    summarise = _summariser(mesh)
    parts = []
    for first in range(0, split.n_trials, rows):
        index = np.arange(first, first + rows)
        batch = place_trials(take(sessions, split, np.where(index < split.n_trials, index, -1)), mesh)
        summary, single = summarise(graphdef, state, batch, key, n_samples, at_once, samples)
        n = min(rows, split.n_trials - first)
        parts.append(
            (
                jax.tree.map(lambda x, n=n: np.asarray(x[:n]), summary),
                jax.tree.map(lambda x, n=n: np.asarray(x[:, :n]), single),
            )
        )
    summary, single = jax.tree.map(lambda *x: np.concatenate(x), *[p[0] for p in parts]), {}
    if samples:
        single = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *[p[1] for p in parts])
    return _to_posterior(model, summary, single, split, sessions, n_samples, seed)


def masked_rates(
    model: LFADS,
    data: Dataset,
    split: str = "test",
    *,
    n_masks: int = 5,
    n_samples: int = 32,
    seed: int = 0,
    memory: float = MEMORY,
) -> tuple[Float[np.ndarray, "trial time target_channel"], Bool[np.ndarray, "trial time target_channel"]]:
    """Infers every entry of the encoder's data from the others: what `masked_bps` scores.

    The entries are divided at random into `n_masks` parts. Each part in turn is hidden from the encoders, the
    others being scaled up as coordinated dropout does, and the rates of the hidden entries are kept.

    Args:
        model: The model.
        data: The data set.
        split: "train", "valid" or "test".
        n_masks: Number of parts; 1 / n_masks of the entries is hidden at a time.
        n_samples: Posterior samples per trial.
        seed: Seed of the parts and of the samples.
        memory: Memory to use on the device, in MB.

    Returns:
        Rates in counts per bin, shape (trial, time, target_channel), and where they are rates of hidden entries.

    Raises:
        ValueError: If `n_masks` is below 2 or the data have no such split.
    """
    if n_masks < 2:
        raise ValueError(f"n_masks = {n_masks} hides everything at once. Give at least 2.")
    chosen, group = _split(model, data, split), data.input_group
    part = np.random.default_rng(seed).integers(n_masks, size=chosen.encoder_input.shape)
    shape, centre = chosen.targets[group].shape, _centre(model, chosen)
    rates, hidden = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for number in range(n_masks):
        kept = centre + (chosen.encoder_input - centre) * (part != number) * (n_masks / (n_masks - 1.0))
        masked = dataclasses.replace(chosen, encoder_input=kept.astype(np.float32))
        inferred = infer(model, data.sessions, masked, n_samples, seed, memory=memory).rates[group]
        mask = _to_targets(data.sessions, chosen, part == number, shape)
        rates[mask] = inferred[mask]
        hidden |= mask
    return rates, hidden


def _centre(model: LFADS, split: Split) -> np.ndarray | float:
    """What a hidden entry counts as, shape (trial, 1, channel): 0, or the mean of a standardised channel."""
    if model.standardiser is None:
        return 0.0
    return np.asarray(model.standardiser.mean_of(split.session, split.encoder_input.shape[2]))


@cache
def _summariser(mesh: Mesh | None) -> Any:
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
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
        values = jax.vmap(lambda key: decode(model.draw(key, batch)))(keys)
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


def bytes_of_trial(model: LFADS, n_bins: int, n_channels: int) -> int:
    """Returns how many bytes one sample of one trial takes on the device, with all copies that live at a time.

    Args:
        model: The model.
        n_bins: Number of bins.
        n_channels: Number of channels of all target groups together.
    """
    controller = model.decoder.controller
    width = n_channels + model.decoder.generator.n_state + model.decoder.n_factors
    width += 0 if controller is None else controller.n_state
    return COPIES * 4 * n_bins * width


def trials_at_once(model: LFADS, n_bins: int, n_channels: int, memory: float = MEMORY) -> int:
    """Returns how many trials fit into the memory (MB) at once; arguments as in `bytes_of_trial`."""
    return int(np.clip(memory * 1e6 // bytes_of_trial(model, n_bins, n_channels), 1, MOST_TRIALS))


def _limits() -> tuple[int, int]:
    """Returns how many trials, and how many samples of all of these, a device does at once at most."""
    # What a CPU computes of a sample should stay in its cache; a GPU wants much to do at a time.
    return (32, 1) if jax.default_backend() == "cpu" else (MOST_TRIALS, 2 * MOST_TRIALS)


def _chunks(
    model: LFADS, split: Split, n_samples: int, memory: float, samples: bool, n_devices: int
) -> tuple[int, int]:
    """Returns how many trials and how many samples of each a device does at once within its memory."""
    n_channels = sum(target.shape[2] for target in split.targets.values())
    per_sample = bytes_of_trial(model, split.n_bins, n_channels)
    kept = per_sample // COPIES * n_samples if samples else 0
    budget = memory * 1e6
    share = -(-split.n_trials // n_devices)
    most, together = _limits()
    rows = int(np.clip(budget // (per_sample + kept), 1, min(share, most)))
    limit = min(budget // (per_sample * rows), max(1, together // rows))
    at_once = max(d for d in range(1, max(n_samples, 1) + 1) if max(n_samples, 1) % d == 0 and d <= max(limit, 1))
    return rows, at_once


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
        return np.where(outside[..., None], np.nan, x).astype(np.float32)

    def optional(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else timed(x)

    def channels(x: np.ndarray, group: str) -> np.ndarray:
        counts = np.array([session.n_targets[group] for session in sessions])[split.session]
        absent = np.arange(x.shape[-1]) >= counts[:, None]
        return np.where(absent[:, None], np.nan, timed(x)).astype(np.float32)

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


def _to_targets(sessions: Sequence[Session], split: Split, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Carries a mask over real encoder entries to target entries, on the host."""
    result = np.zeros(shape, bool)
    for number, session in enumerate(sessions):
        rows = np.flatnonzero(split.session == number)
        inside = np.arange(mask.shape[1]) < split.encoder_length[rows][:, None]
        channels = np.flatnonzero(session.target_index >= 0)
        chosen = mask[rows][:, :, channels] & inside[..., None]
        if split.encoder_observed is not None:
            chosen &= split.encoder_observed[rows][:, :, channels]
        bins = np.arange(mask.shape[1])
        result[np.ix_(rows, bins, session.target_index[channels])] = chosen
    return result


def _split(model: LFADS, data: Dataset, name: str) -> Split:
    check_shapes(model, data)
    if name not in data.splits:
        raise ValueError(f"The data have no split {name!r}, only {sorted(data.splits)}. Give one of these.")
    return data.splits[name]


def _trial_first(x: Array | None) -> Array | None:
    return None if x is None else jnp.swapaxes(x, 0, 1)
