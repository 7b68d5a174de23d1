"""The order of axes: data whose axes are not (trial, time, channel) are transposed on request, else recognised."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import SERIES
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.findings import Finding

AXES = ("trial", "time", "channel")
SYNONYMS = {"bin": "time", "neuron": "channel", "unit": "channel"}

EVEN = 4.0
"""Factor by which mean rates must vary more along the second axis than along the third to look exchanged."""

PER_TRIAL = ("condition", "interval", "start_time", "trial_id", "length", "encoder_length", "target_length")
SERIES_AND_DATA = ("encoder_input", "encoder_observed", *SERIES)


def parse_axes(axes: str | None, label: str) -> tuple[int, ...] | None:
    """Returns how to transpose data so that their axes become (trial, time, channel); None if they are so already.

    Args:
        axes: The axes of the data in words, such as "channel time trial"; None for the usual order.
        label: Name of the setting in messages.
    """
    if axes is None:
        return None
    words = [word.rstrip("s") for word in re.split(r"[^a-z]+", axes.lower()) if word]
    words = [SYNONYMS.get(word, word) for word in words]
    if sorted(words) != sorted(AXES):
        raise DataError(
            f"{label} must name trial, time and channel once each, got {axes!r}. Give their order in the file."
        )
    order = tuple(words.index(axis) for axis in AXES)
    return None if order == (0, 1, 2) else order


def transposed(raw: RawTrials, order: tuple[int, ...]) -> RawTrials:
    """Returns trials whose arrays by trial, time and channel are transposed; vectors stay."""

    def moves(name: str) -> bool:
        return name in SERIES_AND_DATA or name.startswith(("targets/", "target_observed/"))

    arrays = {
        name: values.transpose(order) if moves(name) and values.ndim == 3 else values
        for name, values in raw.arrays.items()
    }
    return dataclasses.replace(raw, arrays=arrays)


def order_hint(values: np.ndarray, others: Mapping[str, np.ndarray]) -> str:
    """Returns advice for data whose other splits agree in trials and time but not in channels; else an empty text."""
    shapes = [values.shape, *(other.shape for other in others.values())]
    alike = all(len(shape) == 3 and shape[:2] == shapes[0][:2] for shape in shapes)
    return validation.REVERSED if alike and len({shape[2] for shape in shapes}) > 1 else ""


def doubtful_order(
    splits: Mapping[str, RawTrials], where: str, *, from_matlab: bool = False, known: bool = False
) -> list[Finding]:
    """Returns a finding if the data may have their axes in another order than (trial, time, channel).

    Args:
        splits: The trials by split; their sizes are checked already.
        where: Name of the file or session.
        from_matlab: If True, MATLAB wrote the file, which reverses the axes.
        known: If True, something else tells the order of the axes, such as names of the channels.
    """
    first = next(iter(splits.values()))
    n_trials, n_bins, n_channels = first.arrays["encoder_input"].shape
    shape = f"{n_trials} trials, {n_bins} bins and {n_channels} channels"
    if known or _tells_channels(splits) or (_tells_trials(splits) and n_channels <= n_bins):
        return []
    advice = validation.REVERSED if from_matlab else "Transpose the data if the axes are in another order."
    if from_matlab and not _tells_trials(splits):
        sentence = f"MATLAB wrote {where!r}, which reverses axes; it is read as {shape}."
        return [Finding("warning", "order of axes", None, None, where, sentence, advice)]
    if not _tells_trials(splits) and n_channels > n_trials:
        sentence = f"{where!r} is read as {shape}: there are more channels than trials."
        return [Finding("warning", "order of axes", n_channels, n_trials, where, sentence, advice)]
    if n_channels > n_bins and not _tells_time(splits):
        time, channel = _unevenness(first.arrays["encoder_input"])
        sentence = f"{where!r} is read as {shape}: there are more channels than bins"
        if time > EVEN * max(channel, 1e-3):
            ratio = time / max(channel, 1e-3)
            sentence += f", and mean values differ {ratio:.3g} times as much between bins as between channels."
            return [Finding("warning", "order of axes", ratio, EVEN, where, sentence, advice)]
        return [Finding("note", "order of axes", n_channels, n_bins, where, f"{sentence}.")]
    return []


def _tells_channels(splits: Mapping[str, RawTrials]) -> bool:
    """Returns whether targets have further channels or bins, or another group shares trials and time."""
    for raw in splits.values():
        shape = raw.arrays["encoder_input"].shape
        if any(raw.arrays[f"targets/{group}"].shape != shape for group in raw.groups):
            return True
        if any(name in raw.arrays and raw.arrays[name].shape != shape for name in SERIES):
            return True
    return False


def _tells_trials(splits: Mapping[str, RawTrials]) -> bool:
    """Returns whether the first axis is trials: its size differs between splits, or equals the number of labels."""
    sizes = {raw.arrays["encoder_input"].shape[0] for raw in splits.values()}
    return len(sizes) > 1 or any(name in raw.arrays for raw in splits.values() for name in PER_TRIAL)


def _tells_time(splits: Mapping[str, RawTrials]) -> bool:
    """Returns whether trials have different lengths."""
    lengths = [
        raw.arrays[name]
        for raw in splits.values()
        for name in PER_TRIAL
        if name.endswith("length") and name in raw.arrays
    ]
    return any(np.ptp(length) > 0 for length in lengths)


def _unevenness(values: np.ndarray) -> tuple[float, float]:
    """Returns the squared coefficient of variation of mean rates along time and along channels, without count noise."""
    sample = np.nan_to_num(values[:500].astype(np.float64))
    mean = sample.mean()
    if mean <= 0:
        return 0.0, 0.0

    def variation(axis: int) -> float:
        means = sample.mean(tuple(other for other in range(3) if other != axis))
        return float((means.var() - mean * len(means) / sample.size) / mean**2)

    return max(0.0, variation(1)), max(0.0, variation(2))
