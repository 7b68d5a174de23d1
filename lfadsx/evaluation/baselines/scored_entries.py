"""Which entries of a split are scored, which channels are held out, and what the numbers are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from lfadsx.data.dataset import Dataset, Split


def scored_mask(
    split: Split, dataset: Dataset, group: str | None = None
) -> Bool[np.ndarray, "trial time target_channel"]:
    """True for entries of a target group that exist: inside the trial, of its session, and observed.

    The host's counterpart of `Batch.scored`.

    Args:
        split: The trials.
        dataset: The data set that they belong to; its sessions say how many channels exist.
        group: The target group; the one that the encoder sees when None.

    Returns:
        Shape (trial, time, target_channel).

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> int(scored_mask(dataset.valid, dataset).sum())
        30
    """
    group = group or dataset.input_group
    n_trials, n_bins, n_channels = split.targets[group].shape
    widths = np.array([session.n_targets[group] for session in dataset.sessions])[split.session]
    in_trial = np.arange(n_bins) < split.target_length[:, None]
    in_session = np.arange(n_channels) < widths[:, None]
    mask = in_trial[:, :, None] & in_session[:, None, :]
    observed = split.target_observed.get(group)
    return mask if observed is None else mask & observed


def held_out_channels(dataset: Dataset) -> Bool[np.ndarray, "session target_channel"]:
    """True for channels of each session that are targets but not input of the encoder.

    Args:
        dataset: The data set; the target group is the one that the encoder sees.

    Returns:
        Shape (session, target_channel); False for channels that a session does not have.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> held_out_channels(dataset).tolist()
        [[False, False, True]]
    """
    group = dataset.input_group
    held_out = np.zeros((len(dataset.sessions), dataset.train.targets[group].shape[2]), dtype=bool)
    for row, session in zip(held_out, dataset.sessions, strict=True):
        row[: session.n_targets[group]] = True
        row[session.target_index[session.target_index >= 0]] = False
    return held_out
