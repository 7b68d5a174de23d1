"""The two files of a set of the Neural Latents Benchmark as one recording.

The test file holds the windows of the test trials one after another, on its own clock. Held-out units are missing.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.recording import Recording

UNKNOWN = "units missing in the test file"
"""Key of `Recording.source` with the ids of these units, and of the test trials."""


def join_test_file(train: Recording, test: Recording) -> Recording:
    """Returns both recordings as one, the test file behind the train file in time.

    Test trials are numbered after the largest id of the train file if both files number their trials separately.
    """
    known = {str(unit) for unit in train.unit_id}
    strange = [str(unit) for unit in test.unit_id if str(unit) not in known]
    if strange:
        raise DataError(
            f"Units of the test file {test.name!r} must be units of {train.name!r}, but {some(strange)} "
            f"{'is' if len(strange) == 1 else 'are'} only in the test file. Check that both files are of one set."
        )
    shift = _end(train) - min(_begin(test), 0.0)
    place = {str(unit): row for row, unit in enumerate(test.unit_id)}
    spikes = [
        np.concatenate([times, test.spikes[place[str(unit)]] + shift]) if str(unit) in place else times
        for unit, times in zip(train.unit_id, train.spikes, strict=True)
    ]
    trial_id, note = _new_ids(train.trials["trial_id"], test.trials["trial_id"], test.name)
    columns = {"trial_id": np.concatenate([train.trials["trial_id"], trial_id])}
    moved = test.trials | {event: test.trials[event] + shift for event in test.events}
    for name in dict.fromkeys((*train.trials, *moved)):
        if name != "trial_id":
            columns[name] = _joined(train.trials.get(name), moved.get(name), train.n_trials, test.n_trials)
    missing = [str(unit) for unit in train.unit_id if str(unit) not in place]
    files = [*train.source["files"], *test.source["files"]]
    observed = [_observed(train, 0.0), _observed(test, shift)]
    return dataclasses.replace(
        train,
        spikes=tuple(spikes),
        trials=columns,
        events=tuple(dict.fromkeys((*train.events, *test.events))),
        observed=np.concatenate(observed),
        source=train.source | {"files": files, UNKNOWN: {"units": missing, "trials": trial_id.tolist()}},
        findings=(*train.findings, *test.findings, *note),
    )


def hide_missing_units(data: Dataset, recording: Recording) -> Dataset:
    """Returns a data set in which units that the test file lacks are not observed in its trials."""
    hidden = recording.source.get(UNKNOWN)
    if not hidden or not hidden["units"]:
        return data
    session, group = data.sessions[0], data.input_group
    channels = [row for row, name in enumerate(session.names(group)) if name in set(hidden["units"])]
    seen = [session.names(group)[row] for row in channels if row in session.target_index]
    if seen:
        raise DataError(
            f"Units that the test file lacks must be held out, but the encoder would see {some(seen)}. "
            "Leave `held_out` out, so that the column 'heldout' of the file is used, or read the train file alone."
        )
    splits = {name: _hidden(split, group, hidden["trials"], channels) for name, split in data.splits.items()}
    return dataclasses.replace(data, **splits)


def forget_test_times(data: Dataset, recording: Recording) -> Dataset:
    """Returns a data set without the start times of the trials of a test file, whose clock has no known relation."""
    hidden = recording.source.get(UNKNOWN)
    if not hidden:
        return data

    def known(split: Split) -> Split:
        if split.start_time is None:
            return split
        return dataclasses.replace(
            split, start_time=np.where(np.isin(split.trial_id, hidden["trials"]), np.nan, split.start_time)
        )

    return dataclasses.replace(data, **{name: known(split) for name, split in data.splits.items()})


def _hidden(split: Split, group: str, trials: list[Any], channels: list[int]) -> Split:
    rows = np.flatnonzero(np.isin(split.trial_id, trials))
    if not len(rows) or not channels:
        return split
    observed = split.target_observed.get(group)
    if observed is None:
        inside = np.arange(split.n_bins) < split.target_length[:, None]
        observed = np.broadcast_to(inside[:, :, None], split.targets[group].shape)
    observed = observed.copy()
    observed[rows[:, None], :, np.array(channels)] = False
    return dataclasses.replace(split, target_observed=split.target_observed | {group: observed})


def _end(recording: Recording) -> float:
    """Returns a whole second after everything in a recording."""
    ends = [times[-1] for times in recording.spikes if len(times)]
    ends += [np.nanmax(recording.trials[event]) for event in recording.events if len(recording.trials[event])]
    ends += [] if recording.observed is None else [recording.observed.max()]
    return float(math.ceil(np.nanmax(ends, initial=0.0)) + 1)


def _begin(recording: Recording) -> float:
    return min((float(times[0]) for times in recording.spikes if len(times)), default=0.0)


def _observed(recording: Recording, shift: float) -> np.ndarray:
    """Returns the recorded intervals on the common clock; unknown ones reach from the first to the last spike."""
    if recording.observed is not None:
        return recording.observed + shift
    return np.array([[_begin(recording), _end(recording) - 1]]) + shift


def _new_ids(train: np.ndarray, test: np.ndarray, file: str) -> tuple[np.ndarray, list[Finding]]:
    """Returns ids of the test trials that differ from those of the train file."""
    if not np.isin(test, train).any():
        return test, []
    first = int(train.max()) + 1 if train.dtype.kind in "iu" else len(train)
    sentence = f"The trials of {file!r} have ids of the train file; they are numbered from {first}, in their order."
    return first + np.arange(len(test)), [Finding("note", "trials renumbered", len(test), 0, file, sentence)]


def _joined(train: np.ndarray | None, test: np.ndarray | None, n_train: int, n_test: int) -> np.ndarray:
    """Returns a column of both files; where one lacks it, its entries are missing ("" or NaN)."""
    sides = ((train, n_train), (test, n_test))
    is_text = any(values is not None and values.dtype.kind == "U" for values, _ in sides)
    return np.concatenate([np.full(n, "" if is_text else np.nan) if values is None else values for values, n in sides])
