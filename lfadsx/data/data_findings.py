"""Findings about odd data; each examination is one function of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.trials import existing
from lfadsx.findings import Finding

HIGHEST_RATE = 2000.0
"""Rate in Hz above that of any single neuron and of nearly all channels of threshold crossings."""

HIGHEST_COUNT = 250
"""Count in a bin of unknown width above which integer overflow, or rates in place of counts, are suspected."""

LONGEST_BIN = 1.0
"""Bin width in seconds from which milliseconds are suspected."""

SPLIT_ARRAYS = ("condition", "behaviour", "truth", "true_inputs")
"""Optional arrays that a split may lack while others have them."""

NOTES = ("unused keys", "bins dropped", "trials dropped")
"""Names of findings about how data were read or changed."""


def with_findings(data: Dataset, *notes: Finding) -> Dataset:
    """Returns the data with notes about how they were made and the findings of all examinations."""
    found = [finding for examine in EXAMINATIONS for finding in examine(data)]
    return dataclasses.replace(data, findings=tuple([*notes, *found]))


def kept_notes(data: Dataset) -> tuple[Finding, ...]:
    """Returns the findings about how the data were read or changed, such as unused keys of a file."""
    return tuple(finding for finding in data.findings if finding.name in NOTES)


def scored_mask(
    split: Split, dataset: Dataset, group: str | None = None
) -> Bool[np.ndarray, "trial time target_channel"]:
    """Returns True for existing entries of a target group (default: input group): in the trial, its session, observed.

    The counterpart of `Batch.scored` on the host.
    """
    group = group or dataset.input_group
    width = np.array([session.n_targets.get(group, 0) for session in dataset.sessions])[split.session]
    exists = existing(split.targets[group], split.target_length, width)
    observed = split.target_observed.get(group)
    return exists if observed is None else exists & observed


def mean_count(data: Dataset, group: str) -> float:
    """Returns the mean of a target group over the observed entries of the training trials, in its unit."""
    exists = scored_mask(data.train, data, group)
    total = data.train.targets[group].sum(where=exists, dtype=np.float64)
    return float(total / exists.sum()) if exists.any() else float("nan")


def _silent_channels(data: Dataset) -> Iterator[Finding]:
    for group in data.train.targets:
        exists, counts = scored_mask(data.train, data, group), data.is_counts(group)
        values = data.train.targets[group]
        for number, session in enumerate(data.sessions):
            n, own = session.n_targets.get(group, 0), data.train.session == number
            there, part = exists[own][:, :, :n], values[own][:, :, :n]
            if not there.any():
                continue
            high = part.max((0, 1), where=there, initial=0 if counts else -np.inf)
            low = 0 if counts else part.min((0, 1), where=there, initial=np.inf)
            flat = np.flatnonzero(~(high > low))
            if len(flat):
                names = some([session.names(group)[i] for i in flat])
                what = "never have a count" if counts else "do not vary"
                name = "silent neurons" if counts else "constant channels"
                of = f"{len(flat)} of {n} channels of {group!r} of session {session.name!r}"
                remedy = "Drop them with `data.select(neurons=...)`, or check the recording."
                yield Finding("warning", name, len(flat), 0, session.name, f"{of} {what} in training: {names}.", remedy)


def _high_counts(data: Dataset) -> Iterator[Finding]:
    limit = HIGHEST_COUNT if data.bin_width is None else max(10.0, HIGHEST_RATE * data.bin_width)
    for group in data.train.targets:
        if not data.is_counts(group):
            continue
        for name, split in data.splits.items():
            values = split.targets[group]
            if values.max() > limit:
                trial, bin_, channel = map(int, np.unravel_index(values.argmax(), values.shape))
                session = data.sessions[split.session[trial]]
                sentence = (
                    f"Channel {session.names(group)[channel]} of session {session.name!r} has {values.max()} "
                    f"{data.groups[group].unit} in bin {bin_} of {name} trial {trial}, above {limit:g}."
                )
                remedy = "Check that the data are counts per bin, not Hz, and that integers did not overflow."
                yield Finding("warning", "high counts", float(values.max()), limit, session.name, sentence, remedy)


def _long_bins(data: Dataset) -> Iterator[Finding]:
    width = data.bin_width
    if width is not None and width >= LONGEST_BIN:
        remedy = f"If {width:g} ms are meant, give bin_width={width / 1000:g}."
        yield Finding("warning", "long bins", width, LONGEST_BIN, "", f"The bin width is {width:g} s.", remedy)


def _unlabelled(data: Dataset) -> Iterator[Finding]:
    for name, split in data.splits.items():
        missing = 0 if split.condition is None else int((~split.labelled).sum())
        if missing:
            sentence = (
                f"{missing} of {split.n_trials} {name} trials have no condition. They are trained on and scored like "
                "all others, except in scores by condition."
            )
            yield Finding("note", "trials without condition", missing, 0, name, sentence)


def _lacking(data: Dataset) -> Iterator[Finding]:
    for field in SPLIT_ARRAYS:
        having = {name: getattr(split, field) is not None for name, split in data.splits.items()}
        if any(having.values()) and not all(having.values()):
            lacking = " and ".join(name for name, has in having.items() if not has)
            yield _lack(field, lacking, f"Scores that need it are left out for {lacking}.")
    for group in data.train.targets:
        empty = [name for name, split in data.splits.items() if not scored_mask(split, data, group).any()]
        if empty:
            yield _lack(group, " and ".join(empty), f"{group!r} is not scored there.")
    for name, split in data.splits.items():
        exists = scored_mask(split, data, data.input_group)
        for number, session in enumerate(data.sessions):
            held_out = session.held_out(data.input_group)
            own = exists[split.session == number]
            if own.any() and len(held_out) and not own[:, :, held_out].any():
                yield _lack(
                    "held-out channels", f"{name} of session {session.name!r}", "Co-smoothing is not scored there."
                )


def _lack(what: str, where: str, sentence: str) -> Finding:
    sentence = f"Other trials have data of {what!r}, but {where} has none. {sentence}"
    return Finding("note", "arrays missing", None, None, where, sentence)


def _repeated(data: Dataset) -> Iterator[Finding]:
    seen: dict[int, tuple[str, int]] = {}
    repeated = []
    for name, split in data.splits.items():
        own = {}
        for row in range(split.n_trials):
            trial = split.encoder_input[row, : split.encoder_length[row]]
            if not trial.any():  # trials without a spike are alike by chance
                continue
            key = hash((int(split.session[row]), trial.shape, trial.astype(np.float32).tobytes()))
            own[key] = (name, row)
            if key in seen:
                repeated.append((seen[key], (name, row)))
        seen = own | seen
    if repeated:
        (first, row), (second, other) = repeated[0]
        sentence = (
            f"{len(repeated)} trials are in two splits with the same data, the first as {first} trial {row} and "
            f"{second} trial {other}."
        )
        remedy = "Scores of such trials do not hold for new trials. Keep each trial in one split."
        yield Finding("warning", "repeated trials", len(repeated), 0, "", sentence, remedy)


def _scale_of_truth(data: Dataset) -> Iterator[Finding]:
    split, group = data.train, data.input_group
    if split.truth is None or data.truth_unit != "counts per bin" or not data.is_counts():
        return
    exists = np.isfinite(split.truth) & scored_mask(split, data, group)
    expected, counted = float(split.truth[exists].sum()), float(split.targets[group][exists].sum())
    if counted > 100 and not 0.5 < expected / counted < 2:
        sentence = (
            f"The truth is {expected / counted:.3g} times the counts on average, after division by the file's "
            "'conversion_factor' (if it has one)."
        )
        remedy = "Check that the stored truth is counts per bin times that factor."
        yield Finding("warning", "scale of the truth", expected / counted, 2, "", sentence, remedy)


EXAMINATIONS = (_silent_channels, _high_counts, _long_bins, _unlabelled, _lacking, _repeated, _scale_of_truth)
"""Every examination of a data set."""


def some(names: list[str], most: int = 8) -> str:
    """Returns the first names and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
