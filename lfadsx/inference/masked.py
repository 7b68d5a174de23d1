"""Rates and log likelihoods of entries that were hidden from the encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.scored_entries import scored_mask
from lfadsx.data.split_names import trials_of
from lfadsx.data.trials import inside
from lfadsx.errors import LfadsxError, nearest
from lfadsx.inference.memory import MEMORY, chunks, largest_split, map_trials
from lfadsx.inference.posterior_inference import infer_trials
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.objective import entry_log_likelihood
from lfadsx.parallel import n_data_devices
from lfadsx.progress import progress_shown, steps
from lfadsx.random import derive
from lfadsx.results.labels import Labels
from lfadsx.types import Batch


def masked_rates(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    group: str | None = None,
    n_masks: int = 5,
    n_samples: int = 32,
    seed: int = 0,
    memory: float = MEMORY,
    mesh: Mesh | None = None,
) -> tuple[Float[np.ndarray, "trial time target_channel"], Bool[np.ndarray, "trial time target_channel"]]:
    """Infers every entry of the encoder's data from the other entries, which `masked_bps` scores.

    The entries are divided at random into `n_masks` parts. Each part in turn is hidden from the encoders, the
    others are scaled up as in coordinated dropout, and the rates of the hidden entries are kept. Further target groups
    that the encoders see stay visible.

    Args:
        model: The model.
        data: The data set.
        split: As in `lfadsx.infer`.
        group: The target group whose entries are hidden, one that the encoders see; by default the input group.
        n_masks: Number of parts; 1 / n_masks of the entries is hidden at a time.
        n_samples: Posterior samples per trial.
        seed: Seed of the parts and of the samples.
        memory: Memory to use on each device, in MB.
        mesh: Devices to spread the trials over, on its axis `data`.

    Returns:
        Rates in counts per bin, or in the unit of real values, shape (trial, time, target_channel), and True for hidden
        entries.

    Raises:
        LfadsxError: If `n_masks` is below 2, the data have no such split, or the encoders do not see the group.
    """
    group = model.input_group if group is None else group
    if group not in model.encoder_groups:
        raise LfadsxError(
            f"`group` must be a target group that the encoders see, {', '.join(model.encoder_groups)}, got {group!r}"
            f"{nearest(group, model.encoder_groups)}. Rates of other groups are never copied: use `lfadsx.infer`."
        )
    labels = Labels.of(data)
    how: dict[str, Any] = dict(memory=memory, mesh=mesh, n_trials=largest_split(data))

    def rates(masked: Split) -> np.ndarray:
        return infer_trials(model, labels, masked, n_samples, seed, **how).rates[group]

    return _of_hidden(model, data, split, group, n_masks, seed, rates)


def masked_log_likelihood(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_masks: int = 5,
    n_samples: int = 32,
    seed: int = 0,
    memory: float = MEMORY,
    mesh: Mesh | None = None,
) -> tuple[Float[np.ndarray, "trial time target_channel"], Bool[np.ndarray, "trial time target_channel"]]:
    r"""Returns the log likelihood of every entry of the input group given the other entries, in nats.

    .. math:: \log \tfrac1S \sum_s p(x_{tc} \mid \theta_{tc}^s)

    with parameters of S posterior samples, inferred as in `masked_rates`; arguments and errors as there. It compares
    likelihoods of the same kind of data, which predicted rates do not.

    Returns:
        Log likelihoods, 0 for entries that were not hidden, and True for hidden entries.
    """

    def log_likelihood(masked: Split) -> np.ndarray:
        n_devices = n_data_devices(mesh)
        rows, at_once = chunks(model, masked, n_samples, memory, False, n_devices, n_trials=largest_split(data))
        how: dict[str, Any] = dict(rows=rows, seed=seed, mesh=mesh, numbers=(n_samples,))
        return map_trials(_log_predictive, model, Labels.of(data), masked, (at_once,), **how)[0]

    return _of_hidden(model, data, split, model.input_group, n_masks, seed, log_likelihood)


def _of_hidden(
    model: LFADS,
    data: Dataset,
    split: str | None,
    group: str,
    n_masks: int,
    seed: int,
    compute: Callable[[Split], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `compute` infers for each entry while it is hidden, and True for hidden entries."""
    if n_masks < 2:
        raise LfadsxError(
            f"`n_masks` must be at least 2, got {n_masks}: one part at a time is hidden from the encoders."
        )
    check_shapes(model, data)
    _, chosen = trials_of(data, split)
    values = _seen_values(model, chosen, group)
    part = np.random.default_rng(seed).integers(n_masks, size=values.shape)
    shape = chosen.targets[group].shape
    found, hidden = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for number in steps(range(n_masks), f"inference of hidden entries ({chosen.n_trials} trials)"):
        masked = hide(model, chosen, part == number, 1 / n_masks, group)
        with progress_shown(False):  # one bar for all passes
            inferred = compute(masked)
        if group == model.input_group:
            mask = as_targets(data.sessions, chosen, part == number, shape)
        else:
            mask = np.pad(part == number, ((0, 0), (0, shape[1] - values.shape[1]), (0, 0)))
            mask &= scored_mask(chosen, data, group) & inside(chosen.encoder_length, shape[1])[:, :, None]
        found[mask] = inferred[mask]
        hidden |= mask
    return found, hidden


def _log_predictive(
    model: LFADS, batch: Batch, key: Key[Array, ""], n_samples: Int[Array, ""], at_once: int
) -> tuple[Array, dict[str, Any]]:
    """Returns the log of the mean likelihood of each entry over samples, `at_once` of them at a time."""
    encoded, group = model.encode(batch), model.input_group
    scored = batch.scored(group)

    def of_sample(key: Array) -> Array:
        output = model.decode(encoded, batch, model.draw(key, batch))
        return entry_log_likelihood(model, batch, output, group, scored)

    def chunk(number: Array, total: Array) -> Array:
        entries = jax.vmap(of_sample)(derive(key, number * at_once + jnp.arange(at_once)))
        return jnp.logaddexp(total, jax.nn.logsumexp(entries, axis=0))

    total = jax.lax.fori_loop(0, n_samples // at_once, chunk, jnp.full(scored.shape, -jnp.inf))
    return total - jnp.log(n_samples), {}


def hide(
    model: LFADS,
    trials: Split,
    hidden: Bool[np.ndarray, "trial encoder_time channel"],
    share: float,
    group: str | None = None,
) -> Split:
    """Returns the trials with entries hidden from the encoders, and the others scaled up as in coordinated dropout.

    Args:
        model: The model.
        trials: The trials.
        hidden: True for entries to hide.
        share: Share of the entries that is hidden.
        group: The target group of the entries, one that the encoders see; by default the input group.
    """
    group = model.input_group if group is None else group
    values, others = _seen_values(model, trials, group), model.seen_groups or {}
    standardiser = others[group].standardiser if group in others else model.standardiser
    # A hidden entry is 0, or the mean of a standardised channel.
    centre: Any = 0.0
    if standardiser is not None:
        centre = np.asarray(standardiser.mean_of(trials.session, values.shape[2]))
    kept = (centre + (values - centre) * ~hidden / (1 - share)).astype(np.float32)
    if group == model.input_group:
        return dataclasses.replace(trials, encoder_input=kept)
    # The targets change, which only a loss would compare with.
    rest = trials.targets[group][:, kept.shape[1] :].astype(np.float32)
    return dataclasses.replace(trials, targets=trials.targets | {group: np.concatenate([kept, rest], axis=1)})


def _seen_values(model: LFADS, trials: Split, group: str) -> np.ndarray:
    """Returns what encoders see of a target group, shape (trial, encoder_time, channel)."""
    if group == model.input_group:
        return trials.encoder_input
    return trials.targets[group][:, : trials.encoder_input.shape[1]]


def as_targets(
    sessions: Sequence[Session], trials: Split, entries: Bool[np.ndarray, "trial encoder_time channel"], shape: tuple
) -> Bool[np.ndarray, "trial time target_channel"]:
    """Returns entries of the encoder's data that exist, as entries of the targets, which have the given shape."""
    result = np.zeros(shape, bool)
    bins = np.arange(entries.shape[1])
    for number, session in enumerate(sessions):
        rows = np.flatnonzero(trials.session == number)
        channels = np.flatnonzero(session.target_index >= 0)
        chosen = entries[rows][:, :, channels] & (bins < trials.encoder_length[rows][:, None])[..., None]
        if trials.encoder_observed is not None:
            chosen &= trials.encoder_observed[rows][:, :, channels]
        result[np.ix_(rows, bins, session.target_index[channels])] = chosen
    return result
