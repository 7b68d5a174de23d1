"""The posterior of trials: averages over its samples, or its means pushed through the decoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.inference.memory import MEMORY, chunks, largest_split, map_trials
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import n_data_devices
from lfadsx.random import derive
from lfadsx.results.calibration import Calibration
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior
from lfadsx.types import Batch, Noise, Output

SAMPLED = ("rates", "factors", "inputs")
"""Names of the values whose single samples are returned on request."""


def infer(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_samples: int = 64,
    seed: int = 0,
    memory: float = MEMORY,
    samples: bool = False,
    without_inputs: bool = False,
    calibration: Calibration | None = None,
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
        without_inputs: If True, the inferred inputs are set to 0: the course that the generator takes from each initial
            condition alone. The difference to the posterior with inputs is what these drive.
        calibration: Result of `lfadsx.calibrate`, which widens the spread of the rates.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split, `n_samples` is below 0, or it is 0 and the
            model has no latent variable.
    """
    check_shapes(model, data)
    name, trials = trials_of(data, split)
    how: dict[str, Any] = dict(memory=memory, samples=samples, without_inputs=without_inputs, mesh=mesh)
    how["n_trials"] = largest_split(data)
    found = dataclasses.replace(infer_trials(model, Labels.of(data), trials, n_samples, seed, **how), split=name)
    return found if calibration is None else found.calibrated(calibration)


def has_posterior(model: LFADS) -> bool:
    """Returns False for a model whose rates follow from known inputs and a trained start alone."""
    latents = (model.decoder.input_prior, model.ic_prior, model.bias_prior)
    return any(prior is not None and prior.n_params for prior in latents)


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
    n_trials: int = 0,
    without_inputs: bool = False,
) -> Posterior:
    """Infers any trials of the sessions in `labels`; other arguments and errors as in `infer`, `n_trials` in `chunks`.

    Without single samples, calls with other trials, samples and seeds share one compiled program.
    """
    if n_samples < 0:
        raise LfadsxError(
            f"`n_samples` must be at least 0, got {n_samples}. Give the number of posterior samples per trial, or 0 to "
            "push the posterior means through."
        )
    if n_samples == 0 and not has_posterior(model):
        raise LfadsxError(
            "`n_samples` must be at least 1 for a model without inferred inputs, initial condition (ic_dim = 0) and "
            "bias, got 0: such a model has no posterior means to push through the decoder."
        )
    if without_inputs and model.decoder.input_prior is None:
        raise LfadsxError("`without_inputs` must be False for a model without inferred inputs, got True. Leave it out.")
    rows, at_once = chunks(model, trials, n_samples, memory, samples, n_data_devices(mesh), n_trials=n_trials)
    settings = (at_once, n_samples if samples else 0) if n_samples else (0, 0)
    settings = *settings, without_inputs
    how: dict[str, Any] = dict(rows=rows, seed=seed, mesh=mesh, numbers=(n_samples,))
    summary, single = map_trials(_summarise, model, labels, trials, settings, **how)
    found = _to_posterior(summary, single, trials, labels, n_samples, seed)
    return dataclasses.replace(found, without_inputs=without_inputs, encoder_groups=model.encoder_groups)


def _summarise(
    model: LFADS,
    batch: Batch,
    key: Key[Array, ""],
    n_samples: Int[Array, ""],
    at_once: int,
    n_kept: int,
    without_inputs: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns means and spreads over samples (trial first), and single samples (sample first) if all are kept.

    Args:
        model: The model.
        batch: The trials.
        key: Key of the samples.
        n_samples: Number of samples per trial.
        at_once: Number of samples at once; 0 pushes the posterior means through the decoder.
        n_kept: Number of samples if all are kept, which fixes it at compilation; 0 keeps none.
        without_inputs: If True, the inferred inputs are set to 0.
    """
    encoded, prior, of_bias = model.encode(batch), model.ic_prior, model.bias_prior
    encoding, params, bias_params = encoded.encoding, encoded.ic_params, encoded.bias_params
    once = {
        "encoding": None if encoding is None else jnp.swapaxes(encoding, 0, 1),
        "ic_mean": prior.posterior_mean(params),
        "ic_std": prior.posterior_std(params),
        "bias": None if of_bias is None or bias_params is None else of_bias.posterior_mean(bias_params),
        "bias_std": None if of_bias is None or bias_params is None else of_bias.posterior_std(bias_params),
    }

    def decode(noise: Noise | None) -> dict[str, Any]:
        inputs = jnp.zeros((batch.n_bins, batch.n_trials, model.decoder.input_prior.dim)) if without_inputs else None
        return _averaged(model, batch, model.decode(encoded, batch, noise, inputs))

    if at_once == 0:
        values = decode(None)
        return once | {"mean": values, "std": jax.tree.map(jnp.zeros_like, _spread(values))}, {}

    def one_chunk(carry: tuple, numbers: Array) -> tuple[tuple, dict]:
        values = jax.vmap(lambda key: decode(model.draw(key, batch)))(derive(key, numbers))
        kept = {name: values[name] for name in SAMPLED if values[name] is not None} if n_kept else {}
        return _merge_moments(carry, values, at_once), kept

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: decode(None)))
    start = (jnp.zeros(()), zeros, _spread(zeros))
    if n_kept:
        (_, mean, squares), kept = jax.lax.scan(one_chunk, start, jnp.arange(n_kept).reshape(-1, at_once))
        kept = jax.tree.map(lambda x: x.reshape(n_kept, *x.shape[2:]), kept)
    else:
        chunk = lambda i, carry: one_chunk(carry, i * at_once + jnp.arange(at_once))[0]  # noqa: E731
        (_, mean, squares), kept = jax.lax.fori_loop(0, n_samples // at_once, chunk, start), {}
    std = jax.tree.map(lambda x: jnp.sqrt(x / n_samples), squares)
    return once | {"mean": mean, "std": std}, kept


def _averaged(model: LFADS, batch: Batch, output: Output) -> dict[str, Any]:
    """Returns the values that are averaged over samples."""

    def known(values: dict[str, Array]) -> dict[str, Array]:
        # A read-out with a delay has no factors in some bins of a trial.
        late = [group for group in values if model.readout[group].delay]
        there = {group: model.predicted(batch, group)[:, :, None] for group in late}
        return values | {group: jnp.where(there[group], values[group], jnp.nan) for group in late}

    prior, params, path = model.decoder.input_prior, output.input_params, output.inputs
    kl_bias = None
    if model.bias_prior is not None and output.bias_params is not None and output.bias is not None:
        kl_bias = model.bias_prior.kl_of_each(output.bias_params, output.bias)
    return {
        "rates": known(model.expected(output)),
        "variance": known(model.scatter(output)),
        "factors": output.factors,
        "initial_condition": output.initial_condition,
        "initial_state": output.initial_state,
        "generator_states": output.generator_states,
        "inputs": output.inputs,
        "input_mean": None if params is None else prior.posterior_mean(params),
        "input_std": None if params is None else prior.posterior_std(params),
        "controller_states": output.controller_states,
        "kl_ic": model.ic_prior.kl_of_each(output.ic_params, output.initial_condition),
        "kl_inputs": None if params is None or path is None else prior.kl_of_each(params, path),
        "kl_bias": kl_bias,
    }


def _spread(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values whose spread over samples is computed."""
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


def _to_posterior(
    summary: dict[str, Any], single: dict[str, Any], trials: Split, labels: Labels, n_samples: int, seed: int
) -> Posterior:
    mean, std, group = summary["mean"], summary["std"], labels.input_group
    outside = np.arange(trials.n_bins) >= trials.target_length[:, None]

    def timed(x: Any) -> Any:
        if x is None:
            return None
        x = np.asarray(x, np.float32)  # marked in place: these arrays have no other user
        x[..., outside, :] = np.nan
        return x

    def channels(x: np.ndarray, group: str) -> np.ndarray:
        counts = np.array([session.n_targets[group] for session in labels.sessions])[trials.session]
        x, absent = timed(x), np.arange(x.shape[-1]) >= counts[:, None]
        np.moveaxis(x, -2, -1)[..., absent, :] = np.nan
        return x

    def by_group(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: channels(values, name) for name, values in x.items()}

    return Posterior(
        rates=by_group(mean["rates"]),
        rates_std=by_group(std["rates"]),
        variance=by_group(mean["variance"]),
        inputs_std=timed(std["inputs"]),
        encoding=timed(summary["encoding"]),
        samples={name: channels(of[group], group) if name == "rates" else timed(of) for name, of in single.items()},
        n_samples=n_samples,
        seed=seed,
        **{name: timed(mean[name]) for name in ("factors", "generator_states", "inputs", "input_mean", "input_std")},
        **{name: timed(mean[name]) for name in ("controller_states", "kl_inputs")},
        **{name: mean[name] for name in ("initial_condition", "initial_state", "kl_ic", "kl_bias")},
        **{name: summary[name] for name in ("ic_mean", "ic_std", "bias", "bias_std")},
        **labels.of_trials(trials),
    )
