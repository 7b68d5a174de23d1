"""Cross-validation: folds of trials, groups of neurons, and the data set of each model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.pieces import groups_of
from lfadsx.data.sessions import join_splits
from lfadsx.data.splits import choose, names_by_group
from lfadsx.errors import DataError


def all_trials(data: Dataset) -> Split:
    """Returns the trials of all splits as one split, in the order of the input (`Split.row`)."""
    joined = join_splits(list(data.splits.values()), data.sessions)
    return choose(joined, np.argsort(joined.row))


def stratified_folds(split: Split, n_folds: int, seed: int = 0) -> Int[np.ndarray, " trial"]:
    """Draws the fold that tests each trial; each condition of each session is dealt out evenly.

    Numbers of trials differ by at most one between folds, in total and in every condition. A condition with fewer
    trials than folds is absent from some folds. Pieces that share bins are dealt out together.

    Returns:
        Number of the fold of each trial, from 0, shape (trial,).
    """
    group = groups_of(split)
    first = np.unique(group, return_index=True)[1]
    fewest = int(np.bincount(split.session[first])[np.unique(split.session)].min())
    if not 2 <= n_folds <= fewest:
        what = "trials" if len(first) == split.n_trials else "groups of pieces that share bins"
        raise DataError(
            f"`folds` must be from 2 to {fewest}, the {what} of the session with the fewest {what}, got {n_folds}."
        )
    stratum = _strata(split)[first]
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(stratum[order], kind="stable")]
    fold = np.empty(len(first), int)
    # Dealt out like cards, one stratum after the other, which also keeps the folds equal in total.
    fold[order] = np.arange(len(first)) % n_folds
    return fold[group]


def rare_conditions(split: Split, n_folds: int) -> int:
    """Returns the number of pairs of session and condition with fewer trials than folds."""
    return 0 if split.condition is None else int(np.sum(np.bincount(_strata(split)) < n_folds))


def _strata(split: Split) -> np.ndarray:
    """Numbers the pairs of session and condition, shape (trial,)."""
    condition = np.zeros(split.n_trials, int) if split.condition is None else split.condition
    _, number = np.unique(condition, return_inverse=True)
    return np.unique(split.session * (number.max() + 1) + number, return_inverse=True)[1]


def fold_dataset(
    data: Dataset, trials: Split, tested: Bool[np.ndarray, " trial"], *, valid_fraction: float = 0.2, seed: int = 0
) -> Dataset:
    """Returns the data set of one fold: `tested` of `all_trials` test, and `valid_fraction` of the others validate."""
    rest = np.flatnonzero(~tested)
    names = names_by_group(groups_of(trials)[rest], _strata(trials)[rest], valid_fraction, 0.0, seed)
    return dataclasses.replace(
        data,
        train=choose(trials, rest[names == "train"]),
        valid=choose(trials, rest[names == "valid"]),
        test=choose(trials, tested),
    )


def neuron_groups(data: Dataset, n_groups: int, seed: int = 0) -> Bool[np.ndarray, "group session channel"]:
    """Draws groups of neurons to hide from the encoder; each neuron that it sees is in at least one group.

    Each group of a session of N neurons has ceil(N / n_groups) neurons, because models of one population need equal
    shapes. So some neurons are in two groups. Encoder channels that are not targets are in no group.

    Returns:
        True for encoder channels that a group hides.
    """
    rng = np.random.default_rng(seed)
    hidden = np.zeros((n_groups, len(data.sessions), data.train.encoder_input.shape[2]), bool)
    for number, session in enumerate(data.sessions):
        neurons = rng.permutation(np.flatnonzero(session.target_index >= 0))
        n, size = len(neurons), -(-len(neurons) // n_groups)
        if not 2 <= n_groups <= n:
            raise DataError(
                f"`neuron_folds` must be from 2 to {n}, the neurons of session {session.name!r} that "
                f"the encoder sees, got {n_groups}."
            )
        for group in range(n_groups):
            start = group * n // n_groups
            hidden[group, number, neurons[start : start + size]] = True
    return hidden


def hide_neurons(data: Dataset, hidden: Bool[np.ndarray, "session channel"]) -> Dataset:
    """Returns the data set without the encoder channels where `hidden` is True; they stay targets, held out."""
    kept = [np.flatnonzero(~row[: session.n_channels]) for row, session in zip(hidden, data.sessions, strict=True)]
    take = taker(kept)
    splits = {
        name: dataclasses.replace(
            split,
            encoder_input=take(split, split.encoder_input, 0),
            encoder_observed=take(split, split.encoder_observed, 0),
        )
        for name, split in data.splits.items()
    }
    sessions = tuple(_with_only(session, channels) for session, channels in zip(data.sessions, kept, strict=True))
    return dataclasses.replace(data, **splits, sessions=sessions)


def taker(kept: Sequence[np.ndarray]) -> Callable[[Split, np.ndarray | None, float], Any]:
    """Returns a function that takes the kept channels of each session from an array of a split, and pads them."""
    width = max(map(len, kept))
    index, exists = np.zeros((len(kept), width), int), np.zeros((len(kept), width), bool)
    for number, channels in enumerate(kept):
        index[number, : len(channels)], exists[number, : len(channels)] = channels, True

    def take(split: Split, values: np.ndarray | None, padding: float) -> np.ndarray | None:
        if values is None:
            return None
        taken = np.take_along_axis(values, index[split.session][:, None], axis=2)
        return np.where(exists[split.session][:, None], taken, np.asarray(padding, values.dtype))

    return take


def _with_only(session: Session, channels: np.ndarray) -> Session:
    alignment, bias = session.alignment, session.alignment_bias
    return dataclasses.replace(
        session,
        n_channels=len(channels),
        target_index=session.target_index[channels],
        alignment=None if alignment is None else alignment[channels],
        alignment_bias=None if bias is None else bias[channels],
    )


def scoring_groups(
    data: Dataset, hidden: Bool[np.ndarray, "group session channel"]
) -> tuple[Int[np.ndarray, "session target_channel"], Int[np.ndarray, "session target_channel"]]:
    """Returns, for each neuron of the input group, the first group that hides it and the first that shows it.

    Neurons that the data set itself holds out are hidden in all groups: they have 0, and -1.
    """
    n_groups, n_sessions, _ = hidden.shape
    unseen = np.ones((n_groups, n_sessions, data.train.targets[data.input_group].shape[2]), bool)
    for number, session in enumerate(data.sessions):
        channels = np.flatnonzero(session.target_index >= 0)
        unseen[:, number, session.target_index[channels]] = hidden[:, number, channels]
    return unseen.argmax(0), np.where(unseen.all(0), -1, (~unseen).argmax(0))
