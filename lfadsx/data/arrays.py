"""Data sets from arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, TruthUnit
from lfadsx.data.splits import choose, random_names
from lfadsx.data.trials import COUNT_LIKELIHOODS, RawTrials, SessionLayout, session_of, split_of
from lfadsx.errors import DataError
from lfadsx.types import INPUT_GROUP

Trials = np.ndarray | Sequence[np.ndarray]
"""Arrays by trial: one array (trial, time, channel), or for each trial an array (its time, channel)."""


def from_arrays(
    trials: Trials,
    *,
    held_out: int | Sequence[int] = 0,
    forward_bins: int = 0,
    known_inputs: Trials | None = None,
    truth: Trials | None = None,
    truth_unit: TruthUnit | None = None,
    true_inputs: Trials | None = None,
    condition: Sequence | np.ndarray | None = None,
    behaviour: Trials | None = None,
    behaviour_name: str = "velocity",
    behaviour_lag: float = 0.0,
    trial_id: Sequence | np.ndarray | None = None,
    bin_width: float | None = None,
    valid_fraction: float = 0.2,
    test_fraction: float = 0.0,
    split: Sequence[str] | np.ndarray | None = None,
    session: str = "session",
    channel_names: Sequence[str] | None = None,
    observed: Trials | None = None,
    other_targets: Mapping[str, Trials] | None = None,
    likelihood: str = "poisson",
    missing: bool = False,
    seed: int = 0,
) -> Dataset:
    """Makes a data set of one session out of arrays, and splits its trials.

    Trials of different length come as a list of arrays; they are padded here. Whatever goes along with them
    (`truth`, `known_inputs`, ...) comes in the same form, or as one array that is padded already.

    Example:
        >>> import numpy as np
        >>> from lfadsx.data import from_arrays
        >>> spikes = np.random.default_rng(0).poisson(0.3, (100, 50, 20))
        >>> data = from_arrays(spikes, held_out=5, bin_width=0.01)
        >>> data.train.encoder_input.shape, data.train.targets["spikes"].shape
        ((80, 50, 15), (80, 50, 20))

    Args:
        trials: Counts per bin, or values under another likelihood, (trial, time, channel).
        held_out: Number of channels, the last ones, that the encoder does not see, or their indices. The
            targets keep the order of the channels.
        forward_bins: Bins at the end of each trial that the encoder does not see.
        known_inputs: Known inputs, any unit, (trial, time, known).
        truth: True rates in `truth_unit`, (trial, time, channel).
        truth_unit: "counts per bin", "Hz", "data" (the unit of `trials`, for real numbers) or "relative";
            "relative" when not given.
        true_inputs: True inputs, any unit, (trial, time, true_input).
        condition: Condition of each trial, number or text, shape (trial,).
        behaviour: Behaviour such as hand velocity, any unit, (trial, time, behaviour).
        behaviour_name: What the behaviour is.
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds.
        trial_id: Your ids of the trials, number or text, shape (trial,); row numbers by default.
        bin_width: Width of a bin in seconds, or None when unknown.
        valid_fraction: Share of trials for validation, drawn at random from each condition.
        test_fraction: Share of trials for the test, drawn likewise.
        split: "train", "valid" or "test" for each trial, shape (trial,), in place of a random draw.
        session: Name of the session.
        channel_names: Names of the channels.
        observed: False where an entry of `trials` is missing, (trial, time, channel).
        other_targets: By name, further target groups such as EMG, (trial, time, channel of the group); the
            decoder explains them and the encoder does not see them.
        likelihood: "poisson" for counts, "gaussian" and others for real numbers.
        missing: True when NaN in the data means a missing entry.
        seed: Seed of the draw of trials.

    Returns:
        The data set.

    Raises:
        DataError: If arrays do not fit each other, are no counts, or leave a split empty.
    """
    if bin_width is not None:
        validation.positive(bin_width, "bin width")
    if truth_unit is not None:
        validation.one_of(truth_unit, validation.TRUTH_UNITS, "The unit of the truth")
    given = {
        "known_inputs": known_inputs,
        "truth": truth,
        "true_inputs": true_inputs,
        "behaviour": behaviour,
        "observed": observed,
        **{f"targets/{group}": values for group, values in (other_targets or {}).items()},
    }
    data, length = _stack(trials, "trials")
    validation.dimensions(data, 3, "'trials'")
    arrays = {name: _along(values, name, length) for name, values in given.items() if values is not None}
    arrays |= {
        name: np.asarray(values)
        for name, values in (("condition", condition), ("trial_id", trial_id))
        if values is not None
    }
    held_in = _held_in(held_out, data.shape[2])
    names = None if channel_names is None else tuple(channel_names)
    raw = _raw_trials(data, length, arrays, held_in, forward_bins)
    owner = session_of(session, raw, INPUT_GROUP, held_in, names)
    counts = likelihood in COUNT_LIKELIHOODS
    whole = split_of(raw, SessionLayout(owner, forward_bins, INPUT_GROUP, counts, missing))
    if split is None:
        chosen = random_names(whole.condition, whole.n_trials, valid_fraction, test_fraction, seed)
        made = {"valid_fraction": valid_fraction, "test_fraction": test_fraction, "seed": seed}
    else:
        chosen, made = _given_names(split, whole.n_trials), {"given": True}
    return Dataset(
        train=choose(whole, chosen == "train"),
        valid=choose(whole, chosen == "valid"),
        test=choose(whole, chosen == "test") if np.any(chosen == "test") else None,
        sessions=(owner,),
        bin_width=bin_width,
        input_group=INPUT_GROUP,
        truth_unit=None if truth is None else truth_unit or "relative",
        behaviour_name=behaviour_name,
        behaviour_lag=behaviour_lag,
        source={session: {"split": made}},
    )


def _stack(trials: Trials, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns trials as one array padded with 0 after each, and the length of each trial or None."""
    if isinstance(trials, np.ndarray) and trials.dtype != object:
        return trials, None
    arrays = [np.asarray(trial) for trial in trials]
    if not arrays:
        raise DataError(f"'{name}' holds no trials. Give at least two.")
    for number, trial in enumerate(arrays):
        if trial.ndim != 2 or trial.shape[1] != arrays[0].shape[1]:
            raise DataError(
                f"Trial {number} of '{name}' has shape {trial.shape} and trial 0 has {arrays[0].shape}. "
                "Every trial needs the axes (time, channel) and the same channels."
            )
    length = np.array([len(trial) for trial in arrays])
    shape = (len(arrays), int(length.max()), arrays[0].shape[1])
    stacked = np.zeros(shape, np.result_type(*arrays))
    for row, trial in zip(stacked, arrays, strict=True):
        row[: len(trial)] = trial
    return stacked, length


def _along(values: Trials, name: str, length: np.ndarray | None) -> np.ndarray:
    """Returns what goes along with the trials as one array, its trials as long as theirs."""
    stacked, own = _stack(values, name)
    if own is not None and length is not None and len(own) == len(length) and not np.array_equal(own, length):
        trial = int(np.argmax(own != length))
        raise DataError(
            f"Trial {trial} has {own[trial]} bins in '{name}' and {length[trial]} bins in 'trials'. "
            "Give every trial the same number of bins in both."
        )
    return stacked


def _held_in(held_out: int | Sequence[int], n_channels: int) -> np.ndarray:
    """Returns the indices of the channels that the encoder sees, shape (channel,)."""
    if isinstance(held_out, int | np.integer):
        if not 0 <= held_out < n_channels:
            raise DataError(
                f"held_out is {held_out} and there are {n_channels} channels. Hold out 0 to {n_channels - 1}."
            )
        return np.arange(n_channels - held_out)
    indices = np.asarray(held_out, int)
    if len(indices) and (indices.min() < 0 or indices.max() >= n_channels):
        raise DataError(
            f"held_out holds the index {indices.min() if indices.min() < 0 else indices.max()} and there are "
            f"{n_channels} channels. Give indices from 0 to {n_channels - 1}."
        )
    held_in = np.setdiff1d(np.arange(n_channels), indices)
    if not len(held_in):
        raise DataError(f"held_out names all {n_channels} channels. Leave at least one for the encoder.")
    return held_in


def _raw_trials(
    data: np.ndarray,
    length: np.ndarray | None,
    arrays: dict[str, np.ndarray],
    held_in: np.ndarray,
    forward_bins: int,
) -> RawTrials:
    shortest = data.shape[1] if length is None else int(length.min())
    if not 0 <= forward_bins < shortest:
        raise DataError(
            f"forward_bins is {forward_bins} and the shortest trial has {shortest} bins. "
            "Leave the encoder at least one bin of every trial."
        )
    n_encoder_bins = data.shape[1] - forward_bins
    arrays = {**arrays, "encoder_input": data[:, :n_encoder_bins, held_in], f"targets/{INPUT_GROUP}": data}
    labels = {name: repr(name.removeprefix("targets/")) for name in arrays}
    labels |= {"encoder_input": "'trials'", f"targets/{INPUT_GROUP}": "'trials'"}
    if "observed" in arrays:
        mask = arrays.pop("observed")
        validation.same_shape(mask, data.shape, "'observed'", "'trials'")
        arrays["encoder_observed"] = mask[:, :n_encoder_bins, held_in]
        arrays[f"target_observed/{INPUT_GROUP}"] = mask
        labels |= {"encoder_observed": "'observed'", f"target_observed/{INPUT_GROUP}": "'observed'"}
    if length is not None:
        arrays["target_length"] = length
        labels["target_length"] = "The length of 'trials'"
    return RawTrials(arrays, labels)


def _given_names(split: Sequence[str] | np.ndarray, n_trials: int) -> np.ndarray:
    names = np.asarray(split)
    validation.dimensions(names, 1, "'split'")
    validation.same_trials(names, n_trials, "'split'", "'trials'")
    for name in np.unique(names):
        validation.one_of(str(name), ("train", "valid", "test"), "An entry of 'split'")
    for name in ("train", "valid"):
        if name not in names:
            raise DataError(f"No trial of 'split' is {name!r}. Name one or more of both train and valid.")
    return names
