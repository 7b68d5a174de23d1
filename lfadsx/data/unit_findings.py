"""Findings about numbers in the wrong unit, and about values that counts cannot have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.data.scored_entries import scored_mask
from lfadsx.data.splits import choose
from lfadsx.findings import Finding

HIGHEST_RATE = 2000.0
"""Rate in Hz that no single neuron and almost no channel of threshold crossings reaches."""

HIGHEST_COUNT = 250
"""Count in a bin of unknown width above which integer overflow, or rates in place of counts, are suspected."""

LONGEST_BIN = 1.0
"""Bin width in seconds from which milliseconds are suspected."""

SHORTEST_BIN = 1e-4
"""Bin width in seconds below which another unit is suspected."""

LONGEST_START, LONGEST_LAG = 60.0, 5.0
"""Distance in seconds of the first bin from its event, and lag of behaviour, from which milliseconds are suspected."""

SMOOTHEST = 0.1
"""Bin-to-bin noise relative to Poisson counts; below it, the data are suspected to be rates instead of counts."""

NEARLY = 0.9
"""Share of entries above 0 that are whole numbers from which data are nearly counts."""

LIMITS = (127, 255, 32767, 65535)
"""Largest numbers of small integer types."""

MOST_ENTRIES = 2**25
"""Entries that the examinations of all numbers look at."""

STEPS = 1000
"""Largest multiple of the smallest value that is still taken for a count in another unit."""


def high_counts(data: Dataset) -> Iterator[Finding]:
    """Yields counts that no neuron can have."""
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


def times_in_other_units(data: Dataset) -> Iterator[Finding]:
    """Yields a bin width, a start or a lag that looks like milliseconds."""
    width, start, lag = data.bin_width, data.time.start, data.behaviour_lag
    if width is not None and width >= LONGEST_BIN:
        remedy = f"If {width:g} ms are meant, give bin_width={width / 1000:g} (in a file: 'bin_width_s')."
        yield Finding("warning", "long bins", width, LONGEST_BIN, "", f"The bin width is {width:g} s.", remedy)
    if width is not None and width < SHORTEST_BIN:
        remedy = "Give the bin width in seconds."
        yield Finding("warning", "short bins", width, SHORTEST_BIN, "", f"The bin width is {width:g} s.", remedy)
    if abs(start) >= LONGEST_START:
        sentence = f"The first bin starts {start:g} s from {data.time.event!r}."
        remedy = f"If {start:g} ms are meant, give start={start / 1000:g} (in a file: 'start_s')."
        yield Finding("warning", "distant start", start, LONGEST_START, "", sentence, remedy)
    if abs(lag) >= LONGEST_LAG:
        sentence = f"The behaviour lag is {lag:g} s."
        remedy = f"If {lag:g} ms are meant, give behaviour_lag={lag / 1000:g} (in a file: 'behaviour_lag_s')."
        yield Finding("warning", "long lag", lag, LONGEST_LAG, "", sentence, remedy)


def counts_in_other_units(data: Dataset) -> Iterator[Finding]:
    """Yields counts and real numbers that look like counts times a factor, such as rates in Hz."""
    for group in data.train.targets:
        there, values = _sample(data, group)
        values = values[there]
        positive = values[values > 0]
        if not positive.size:
            continue
        if data.is_counts(group):
            step = float(np.gcd.reduce(positive))
        else:
            step = float(positive.min()) if _is_scaled(values, positive) else 1.0
        if step != 1.0 and positive.max() > step:
            sentence = f"All numbers of {group!r} are multiples of {step:.6g}, like counts times {step:.6g}."
            remedy = f"If they are rates in Hz, give counts per bin instead: divide by {step:.6g}."
            yield Finding("warning", "scaled counts", step, 1, group, sentence, remedy)


def smooth_counts(data: Dataset) -> Iterator[Finding]:
    """Yields counts with far less noise from bin to bin than spikes have, such as rounded rates."""
    for group in data.train.targets:
        if not data.is_counts(group):
            continue
        there, values = _sample(data, group)
        both = there[:, 1:] & there[:, :-1]
        mean = float(values[there].mean()) if there.any() else 0.0
        if mean < 2 or not both.any():
            continue
        jumps = np.diff(values.astype(np.float32), axis=1)[both]
        noise = float(np.mean(jumps**2)) / (2 * mean)
        if noise < SMOOTHEST:
            sentence = (
                f"The numbers of {group!r} change from bin to bin by {noise:.2g} of the variance of Poisson counts "
                f"with their mean of {mean:.3g}."
            )
            remedy = "Check that they are spike counts per bin, not smoothed or rounded rates."
            yield Finding("warning", "smooth counts", noise, SMOOTHEST, group, sentence, remedy)


def nearly_counts(data: Dataset) -> Iterator[Finding]:
    """Yields real numbers that would be counts but for a few entries, such as a fill value."""
    for group in data.train.targets:
        if data.is_counts(group) or data.groups[group].unit:
            continue
        for name, split in data.splits.items():
            values, there = split.targets[group], scored_mask(split, data, group)
            whole = (values == np.floor(values)) & (values >= 0) & (values <= np.iinfo(np.uint32).max)
            wrong, right = there & ~whole, there & whole & (values > 0)
            if wrong.any() and right.sum() > NEARLY * (right.sum() + wrong.sum()):
                place = ", ".join(
                    f"{a} {i}" for a, i in zip(("trial", "bin", "channel"), np.argwhere(wrong)[0], strict=True)
                )
                sentence = (
                    f"{wrong.sum()} of {there.sum()} {name} entries of {group!r} are not counts, the first "
                    f"{values[wrong][0]:g} at {place}; all are read as real numbers."
                )
                remedy = "If the data are counts, replace these entries or mark them as missing."
                yield Finding("warning", "nearly counts", int(wrong.sum()), 0, name, sentence, remedy)
                break


def saturated_counts(data: Dataset) -> Iterator[Finding]:
    """Yields counts that pile up at the largest number of their stored type."""
    for group in data.train.targets:
        there, values = _sample(data, group)
        if not data.is_counts(group) or not there.any():
            continue
        limit = int(values.max())
        near = [int((values == limit - step).sum()) for step in range(4)]
        if limit in LIMITS and near[0] > 3 + sum(near[1:]):
            sentence = f"{near[0]} entries of {group!r} are {limit}, and hardly any are just below."
            remedy = "Check that counts were not cut off at the largest number of an integer type."
            yield Finding("warning", "saturated counts", near[0], 0, group, sentence, remedy)


def _sample(data: Dataset, group: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns which entries are observed, and the entries, of as many training trials as are looked at quickly."""
    step = max(1, data.train.targets[group].size // MOST_ENTRIES)
    split = choose(data.train, np.arange(0, data.train.n_trials, step)) if step > 1 else data.train
    return scored_mask(split, data, group), split.targets[group]


def _is_scaled(values: np.ndarray, positive: np.ndarray) -> bool:
    """Returns whether real numbers are whole multiples of the smallest one above 0, with zeros among them."""
    step = float(positive.min())
    if values.min() < 0 or values.size == positive.size or positive.max() > STEPS * step:
        return False
    multiples = positive / step
    return bool(np.all(np.abs(multiples - np.round(multiples)) < 1e-3)) and multiples.max() > 1.5
