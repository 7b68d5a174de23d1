"""Rates of entries that were hidden from the encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.inference.memory import MEMORY, largest_split
from lfadsx.inference.posterior_inference import infer_trials
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.progress import progress_shown, steps
from lfadsx.results.labels import Labels


def masked_rates(
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
    """Infers every entry of the encoder's data from the other entries, which `masked_bps` scores.

    The entries are divided at random into `n_masks` parts. Each part in turn is hidden from the encoders, the
    others are scaled up as in coordinated dropout, and the rates of the hidden entries are kept.

    Args:
        model: The model.
        data: The data set.
        split: As in `lfadsx.infer`.
        n_masks: Number of parts; 1 / n_masks of the entries is hidden at a time.
        n_samples: Posterior samples per trial.
        seed: Seed of the parts and of the samples.
        memory: Memory to use on each device, in MB.
        mesh: Devices to spread the trials over, on its axis `data`.

    Returns:
        Rates in counts per bin, shape (trial, time, target_channel), and True for hidden entries.

    Raises:
        LfadsxError: If `n_masks` is below 2 or the data have no such split.
    """
    if n_masks < 2:
        raise LfadsxError(
            f"`n_masks` must be at least 2, got {n_masks}: one part at a time is hidden from the encoders."
        )
    check_shapes(model, data)
    (_, chosen), group, labels = trials_of(data, split), data.input_group, Labels.of(data)
    part = np.random.default_rng(seed).integers(n_masks, size=chosen.encoder_input.shape)
    shape = chosen.targets[group].shape
    rates, hidden = np.zeros(shape, np.float32), np.zeros(shape, bool)
    how: dict[str, Any] = dict(memory=memory, mesh=mesh, n_trials=largest_split(data))
    for number in steps(range(n_masks), f"inference of hidden entries ({chosen.n_trials} trials)"):
        masked = hide(model, chosen, part == number, 1 / n_masks)
        with progress_shown(False):  # one bar for all passes
            inferred = infer_trials(model, labels, masked, n_samples, seed, **how).rates[group]
        mask = as_targets(data.sessions, chosen, part == number, shape)
        rates[mask] = inferred[mask]
        hidden |= mask
    return rates, hidden


def hide(
    model: LFADS, trials: Split, hidden: Bool[np.ndarray, "trial encoder_time channel"], share: float
) -> Split:
    """Returns the trials with entries hidden from the encoders, and the others scaled up as in coordinated dropout.

    Args:
        model: The model.
        trials: The trials.
        hidden: True for entries to hide.
        share: Share of the entries that is hidden.
    """
    # A hidden entry is 0, or the mean of a standardised channel.
    centre: Any = 0.0
    if model.standardiser is not None:
        centre = np.asarray(model.standardiser.mean_of(trials.session, trials.encoder_input.shape[2]))
    kept = centre + (trials.encoder_input - centre) * ~hidden / (1 - share)
    return dataclasses.replace(trials, encoder_input=kept.astype(np.float32))


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
