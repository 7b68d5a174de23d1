"""Findings about odd data; each examination is one function of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from lfadsx.data import unit_findings
from lfadsx.data.dataset import Dataset
from lfadsx.data.scored_entries import mean_count as mean_count
from lfadsx.data.scored_entries import scored_mask as scored_mask
from lfadsx.data.trials import existing
from lfadsx.findings import Finding

MANY_SPIKES = 20.0
"""Mean number of spikes of a trial from which a trial without any is suspicious."""

LEAST_OBSERVED = 0.5
"""Share of observed entries below which a mask may be inverted."""

CHANCE_BITS = 20.0
"""Bits by which equal trials must be less likely than chance to be called the same."""

SPLIT_ARRAYS = ("condition", "behaviour", "interval", "truth", "true_inputs")
"""Optional arrays that a split may lack while others have them."""

NOTES = (
    *("unused keys", "empty keys", "unknown attributes", "foreign source", "order of axes"),
    *("masked entries", "end of trials", "shared ids", "some ids", "target index", "bins dropped", "trials dropped"),
    *("pieces", "pieces off the grid", "short runs", "recorded intervals unknown", "likelihood of traces"),
    *("units dropped", "spikes dropped", "pickled metadata", "areas said twice", "several forms", "behaviour shifted"),
    "delay of frames",
)
"""Names of findings about how data were read or changed."""


def with_findings(data: Dataset, *notes: Finding) -> Dataset:
    """Returns the data with notes about how they were made and the findings of all examinations."""
    found = [finding for examine in EXAMINATIONS for finding in examine(data)]
    return dataclasses.replace(data, findings=tuple([*notes, *found]))


def kept_notes(data: Dataset) -> tuple[Finding, ...]:
    """Returns the findings about how the data were read or changed, such as unused keys of a file."""
    return tuple(finding for finding in data.findings if finding.name in NOTES)


def _silent_channels(data: Dataset) -> Iterator[Finding]:
    for group in data.train.targets:
        exists, counts = scored_mask(data.train, data, group), data.is_counts(group)
        values = data.train.targets[group]
        for number, session in enumerate(data.sessions):
            n, own = session.n_targets.get(group, 0), data.train.session == number
            whole = bool(own.all())  # large data of one session are not copied
            there, part = (array[:, :, :n] if whole else array[own][:, :, :n] for array in (exists, values))
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


def _empty_trials(data: Dataset) -> Iterator[Finding]:
    for name, split in data.splits.items():
        if not data.is_counts():
            continue
        exists = scored_mask(split, data, data.input_group)
        bare = np.flatnonzero(~exists.any((1, 2)))
        if len(bare):
            sentence = (
                f"{len(bare)} of {split.n_trials} {name} trials have no observed entry, the first is trial {bare[0]}."
            )
            yield Finding("warning", "empty trials", len(bare), 0, name, sentence, "Leave them out.")
        spikes = split.targets[data.input_group].sum((1, 2), where=exists, dtype=np.int64)
        silent = np.flatnonzero((spikes == 0) & exists.any((1, 2)))
        mean, others = float(spikes.mean()), spikes[spikes > 0]
        # Trials with few spikes are silent by chance; suspicious are trials that stand out.
        if len(silent) and mean > MANY_SPIKES and np.quantile(others, 0.01) > mean / 4:
            sentence = (
                f"{len(silent)} of {split.n_trials} {name} trials have no spike, the first is trial {silent[0]}; the "
                f"trials have {mean:.3g} spikes on average."
            )
            yield Finding("warning", "silent trials", len(silent), 0, name, sentence, "Check the recording there.")


def _few_observed(data: Dataset) -> Iterator[Finding]:
    for name, split in data.splits.items():
        seen = split.encoder_observed
        if seen is None:
            continue
        n_channels = np.array([session.n_channels for session in data.sessions])[split.session]
        share = float(seen.sum() / existing(seen, split.encoder_length, n_channels).sum())
        if share < LEAST_OBSERVED:
            sentence = f"Of the {name} data, {share:.3g} of the entries are observed."
            remedy = "Check that the mask is True where an entry is observed; masks of missing entries are the inverse."
            yield Finding("warning", "few entries observed", share, LEAST_OBSERVED, name, sentence, remedy)


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
            if not len(held_out):  # large data are not copied
                continue
            own = exists[split.session == number]
            if own.any() and not own[:, :, held_out].any():
                yield _lack(
                    "held-out channels", f"{name} of session {session.name!r}", "Co-smoothing is not scored there."
                )


def _lack(what: str, where: str, sentence: str) -> Finding:
    sentence = f"Other trials have data of {what!r}, but {where} has none. {sentence}"
    return Finding("note", "arrays missing", None, None, where, sentence)


def _repeated(data: Dataset) -> Iterator[Finding]:
    seen: dict[int, tuple[str, int]] = {}
    repeated = []
    n_trials = sum(split.n_trials for split in data.splits.values())
    for name, split in data.splits.items():
        own = {}
        for row in range(split.n_trials):
            trial = split.encoder_input[row, : split.encoder_length[row]]
            if not trial.any():  # trials without a spike are alike by chance
                continue
            key = hash((int(split.session[row]), trial.shape, trial.astype(np.float32).tobytes()))
            own[key] = (name, row)
            if key in seen and _information(trial) > CHANCE_BITS + 2 * np.log2(n_trials):
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


def _information(trial: np.ndarray) -> float:
    """Returns the entropy of a trial in bits, if its entries are shuffled: how unlikely it is to recur by chance."""
    _, times = np.unique(trial, return_counts=True)
    return float(-np.sum(times * np.log2(times / trial.size)))


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


EXAMINATIONS = (
    _silent_channels,
    _empty_trials,
    _few_observed,
    unit_findings.high_counts,
    unit_findings.counts_in_other_units,
    unit_findings.smooth_counts,
    unit_findings.saturated_counts,
    unit_findings.nearly_counts,
    unit_findings.times_in_other_units,
    _unlabelled,
    _lacking,
    _repeated,
    _scale_of_truth,
)
"""Every examination of a data set."""


def some(names: list[str], most: int = 8) -> str:
    """Returns the first names and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
