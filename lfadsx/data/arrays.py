"""Data sets from arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.axis_order import doubtful_order
from lfadsx.data.choices import Choice, held_out_mask
from lfadsx.data.condition_labels import tidy_labels
from lfadsx.data.data_findings import with_findings
from lfadsx.data.dataset import Dataset, TruthUnit
from lfadsx.data.given_arrays import Trials, check_unit, labels_of, seconds, stack, stack_along
from lfadsx.data.splits import choose, random_names
from lfadsx.data.target_kinds import Asked, by_group, cast, target_groups
from lfadsx.data.trial_ends import end_at_nan
from lfadsx.data.trials import RawTrials, inside, session_of, split_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP, TimeAxis


def from_arrays(
    spikes: Trials,
    *,
    held_out: int | Choice = 0,
    forward_bins: int = 0,
    bin_width: float | None = None,
    start: float = 0.0,
    event: str = "trial start",
    condition: Sequence[Any] | np.ndarray | None = None,
    behaviour: Trials | None = None,
    behaviour_name: str = "velocity",
    behaviour_lag: float = 0.0,
    interval: Sequence[float] | np.ndarray | None = None,
    start_time: Sequence[float] | np.ndarray | None = None,
    known_inputs: Trials | None = None,
    truth: Trials | None = None,
    truth_unit: TruthUnit | None = None,
    true_inputs: Trials | None = None,
    trial_id: Sequence[Any] | np.ndarray | None = None,
    channel_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    observed: Trials | None = None,
    missing: bool = False,
    group: str = INPUT_GROUP,
    other_targets: Mapping[str, Trials] | None = None,
    kind: Asked = None,
    unit: str | Mapping[str, str] | None = None,
    valid_fraction: float = 0.2,
    test_fraction: float = 0.0,
    split: Sequence[str] | np.ndarray | None = None,
    session: str = "session",
    seed: int = 0,
) -> Dataset:
    """Returns a data set of one session made of arrays, with its trials split.

    Trials of different length are given as a list of arrays and padded here. Further arrays (`truth`,
    `known_inputs`, ...) have the same form, or are one padded array.

    Example:
        >>> import numpy as np
        >>> import lfadsx
        >>> spikes = np.random.default_rng(0).poisson(0.3, (100, 50, 20))
        >>> data = lfadsx.from_arrays(spikes, held_out=5, bin_width=0.01)
        >>> data.train.encoder_input.shape, data.train.targets["spikes"].shape
        ((80, 50, 15), (80, 50, 20))

    Args:
        spikes: Counts per bin, or real numbers, (trial, time, channel). In a masked array, masked entries are missing.
        held_out: Channels that the encoder does not see: their number (the last channels), their indices, or a
            boolean mask of all channels. The targets keep the order of the channels.
        forward_bins: Bins at the end of each trial that the encoder does not see.
        bin_width: Width of a bin in seconds, or None if unknown.
        start: Time of the left edge of the first bin relative to the event, in seconds.
        event: Name of the event that time is relative to.
        condition: Condition of each trial, number or text, shape (trial,). Trials without a condition (None, NaN, "")
            are trained on and scored like all others, except in scores by condition. The random draw of the splits
            treats them as one more condition.
        behaviour: Behaviour such as hand velocity, any unit, (trial, time, behaviour).
        behaviour_name: Name of the behaviour in tables and figures.
        behaviour_lag: Delay of behaviour after rates in seconds: behaviour at t + lag belongs to rates at t.
        interval: Interval that the animal produced in a timing task, in seconds, shape (trial,). It ends at time 0, the
            event. NaN in trials without one.
        start_time: Time of the left edge of each trial's first bin in seconds on the session's own clock, shape
            (trial,). NaN where it is unknown.
        known_inputs: Known inputs, any unit, (trial, time, known).
        truth: True rates in `truth_unit`, (trial, time, channel).
        truth_unit: "counts per bin", "Hz", "data" (the unit of `spikes`, for real numbers) or "relative"; by default
            "relative".
        true_inputs: True inputs, any unit, (trial, time, true_input).
        trial_id: Your ids of the trials, number or text, shape (trial,); row numbers by default.
        channel_names: Names of the channels of `spikes`, or a dict by target group.
        observed: False where an entry of `spikes` is missing, (trial, time, channel).
        missing: If True, NaN in the data means a missing entry. NaN in all channels up to the end of a trial means that
            the trial is shorter.
        group: Name of the target group of `spikes`, which the encoder sees: for other data a name that says what they
            are, such as "emg".
        other_targets: Further target groups such as EMG by name, (trial, time, channel of the group). The decoder
            explains them; the encoder sees them if the model is built so (`encoder_groups`).
        kind: Kind of `spikes`, "counts" or "real", or a dict by target group. By default whole numbers from 0 are
            counts and all others real.
        unit: Unit of `spikes`, or a dict by target group; by default "counts per bin" for counts.
        valid_fraction: Share of trials for validation, drawn at random from each condition.
        test_fraction: Share of trials for the test, drawn likewise.
        split: "train", "valid" or "test" for each trial, shape (trial,), in place of a random draw.
        session: Name of the session.
        seed: Seed of the draw of trials.

    Returns:
        The data set; `Split.row` is the row of each trial in the arrays.

    Raises:
        DataError: If arrays do not fit each other, are not counts although `kind` is "counts", or leave a split empty.
    """
    bin_width, start = seconds(bin_width, "`bin_width`"), seconds(start, "`start`")
    time = time_axis(bin_width, start, event)
    if truth_unit is not None:
        validation.one_of(truth_unit, get_args(TruthUnit), "`truth_unit`")
    if not group or group in (other_targets or {}):
        raise DataError(f"`group` must be a name that no group of `other_targets` has, got {group!r}. Rename one.")
    check_unit(spikes, group, kind)
    data, length, seen = stack(spikes, group)
    validation.dimensions(data, 3, repr(group))
    along = {"known_inputs": known_inputs, "truth": truth, "true_inputs": true_inputs, "behaviour": behaviour}
    along |= {"observed": observed} | {f"targets/{name}": values for name, values in (other_targets or {}).items()}
    along = {name: values for name, values in along.items() if values is not None}
    arrays = {name: stack_along(values, name, length, data.shape[1], group) for name, values in along.items()}
    if seen is not None and "observed" in arrays:
        validation.same_shape(arrays["observed"], seen.shape, "'observed'", repr(group))
        seen = seen & arrays["observed"].astype(bool)
    if seen is not None:
        arrays["observed"] = seen
    labels = None if condition is None else tidy_labels(labels_of(condition), "'condition'")
    if np.ma.is_masked(trial_id):
        raise DataError("'trial_id' has masked entries. Give every trial an id.")
    per_trial = {"condition": labels, "interval": interval, "start_time": start_time, "trial_id": trial_id}
    arrays |= {name: np.asarray(values) for name, values in per_trial.items() if values is not None}

    held_in = np.flatnonzero(~held_out_mask(held_out, data.shape[2]))
    raw = _raw_trials(data, group, length, arrays, held_in, forward_bins)
    owner = session_of(session, raw, group, held_in, by_group(channel_names, group))
    notes = _masked(seen, length, session) + doubtful_order({"all": raw}, session, known=channel_names is not None)
    if missing:
        raw, ends = end_at_nan(raw, group, session, forward_bins)
        notes += ends
    whole = split_of(raw, owner, group, forward_bins, missing)
    groups = target_groups([(whole, raw.labels)], group, kind, unit)
    whole = cast(whole, groups, group)
    if split is None:
        chosen = random_names(whole.condition, whole.n_trials, valid_fraction, test_fraction, seed)
        made = {"valid_fraction": valid_fraction, "test_fraction": test_fraction, "seed": seed}
    else:
        chosen, made = _given_names(split, whole.n_trials, group), {"given": True}
    return with_findings(
        Dataset(
            train=choose(whole, _rows(chosen == "train")),
            valid=choose(whole, _rows(chosen == "valid")),
            test=choose(whole, _rows(chosen == "test")) if np.any(chosen == "test") else None,
            sessions=(owner,),
            groups=groups,
            time=time,
            input_group=group,
            truth_unit=None if truth is None else truth_unit or "relative",
            behaviour_name=behaviour_name,
            behaviour_lag=seconds(behaviour_lag, "`behaviour_lag`"),
            source={session: {"split": made}},
        ),
        *notes,
    )


def _rows(chosen: np.ndarray) -> np.ndarray | slice:
    """Returns a slice for trials that follow each other, whose arrays need no copy; else the mask itself."""
    rows = np.flatnonzero(chosen)
    return slice(rows[0], rows[-1] + 1) if len(rows) and len(rows) == rows[-1] + 1 - rows[0] else chosen


def _masked(seen: np.ndarray | None, length: np.ndarray | None, session: str) -> list[Finding]:
    """Returns a note if a masked array has entries without a value."""
    if seen is None:
        return []
    exists = np.ones(seen.shape[:2], bool) if length is None else inside(length, seen.shape[1])
    n_hidden = int((exists[:, :, None] & ~seen).sum())
    sentence = f"The mask of the array of session {session!r} hides {n_hidden} entries; they are read as missing."
    return [Finding("note", "masked entries", n_hidden, 0, session, sentence)] if n_hidden else []


def time_axis(bin_width: float | None, start: float = 0.0, event: str = "trial start") -> TimeAxis:
    """Returns a checked time axis; arguments as in `from_arrays`."""
    if bin_width is not None:
        validation.positive(bin_width, "`bin_width`")
    if not np.isfinite(start):
        raise DataError(f"`start` must be a finite time in seconds, got {start}.")
    return TimeAxis(None if bin_width is None else float(bin_width), float(start), str(event))


def _raw_trials(
    data: np.ndarray,
    group: str,
    length: np.ndarray | None,
    arrays: dict[str, np.ndarray],
    held_in: np.ndarray,
    forward_bins: int,
) -> RawTrials:
    shortest = data.shape[1] if length is None else int(length.min())
    if not 0 <= forward_bins < shortest:
        raise DataError(
            f"`forward_bins` must be from 0 to {shortest - 1}, which leaves the encoder one bin of the shortest trial, "
            f"got {forward_bins}."
        )
    n_encoder_bins, all_seen = data.shape[1] - forward_bins, not forward_bins and len(held_in) == data.shape[2]

    def seen(values: np.ndarray) -> np.ndarray:
        return values if all_seen else values[:, :n_encoder_bins, held_in]

    arrays = {**arrays, "encoder_input": seen(data), f"targets/{group}": data}
    labels = {name: repr(name.removeprefix("targets/")) for name in arrays}
    labels |= {"encoder_input": repr(group), f"targets/{group}": repr(group)}
    if "observed" in arrays:
        mask = arrays.pop("observed")
        validation.same_shape(mask, data.shape, "'observed'", repr(group))
        arrays["encoder_observed"] = seen(mask)
        arrays[f"target_observed/{group}"] = mask
        labels |= {"encoder_observed": "'observed'", f"target_observed/{group}": "'observed'"}
    if length is not None:
        arrays["target_length"] = length
        labels["target_length"] = f"The length of {group!r}"
    return RawTrials(arrays, labels)


def _given_names(split: Sequence[str] | np.ndarray, n_trials: int, group: str) -> np.ndarray:
    names = np.asarray(split)
    validation.dimensions(names, 1, "'split'")
    validation.size(len(names), n_trials, "trials", "'split'", repr(group))
    for name in np.unique(names):
        validation.one_of(str(name), ("train", "valid", "test"), "An entry of 'split'")
    for name in ("train", "valid"):
        if name not in names:
            raise DataError(f"'split' must hold 'train' and 'valid', but no trial is {name!r}.")
    return names
