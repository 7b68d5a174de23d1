"""Real values in bare arrays that were never cut into trials, such as EMG: alone, or beside counts of the same bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.continuous import from_continuous
from lfadsx.data.dataset import Dataset
from lfadsx.errors import DataError
from lfadsx.recordings.array_values import bins_in_one, drawn_channels, group_of, stored_width
from lfadsx.recordings.drawing import NAMES, HeldOut, SplitBy
from lfadsx.types import INPUT_GROUP


def values_never_cut(
    session: str,
    names: Mapping[str, str],
    found: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    *,
    bin_width: float | None = None,
    chop: float | None = None,
    overlap: float | None = None,
    behaviour_lag: float = 0.0,
    held_out: HeldOut = 0,
    split: Sequence[float] | str = (0.7, 0.15, 0.15),
    split_by: SplitBy = "condition",
    seed: int = 0,
    **others: Any,
) -> Dataset:
    """Returns pieces of real values as a data set: the input group, or a further target group beside counts.

    Args:
        session: Name of the session.
        names: Name of the array of each role.
        found: Array of each role; those by bin have the shape (time, column).
        vectors: Further vectors of the file.
        bin_width: Width of a bin in seconds; a multiple of that of the file, if the file has one.
        chop: Length of a piece in seconds.
        overlap: What a piece shares with the next one in seconds.
        behaviour_lag: Delay of behaviour after rates in seconds.
        held_out: As in `values_in_arrays`.
        split: Shares of train, valid and test, or the vector that names the split of each bin, "" for none.
        split_by: "condition" for blocks that are spread over the recording, or "time", as in `cut`.
        seed: Seed of all draws.
        others: Further arguments of `cut`, which are refused.
    """
    group, label = group_of(names), f"The array {names['values']!r}"
    stored = stored_width(found)
    width = bin_width if stored is None else stored
    for name in others:
        raise DataError(f"`{name}` needs trials, but {names['values']!r} was never cut into trials. Leave it out.")
    if chop is None or width is None:
        raise DataError(
            f"{label} has the axes (time, channel) and needs the bins of each trial: add lengths=NAME to `map`. Give "
            "`bin_width` and `chop` for a recording that was never cut: the lengths of a bin and of a piece in seconds "
            "(--bin-width 0.01 --chop 1)."
        )
    n_joined = bins_in_one(bin_width, stored)
    roles = ("counts", "values", "behaviour", "observed")
    arrays = {role: _by_bin(role, names, found, n_joined) for role in roles if role in found}
    counts, values = arrays.get("counts"), arrays["values"]
    first = values if counts is None else counts
    of_bin: list[str] = []
    if isinstance(split, str):
        validation.one_of(split, vectors, "`split`, as the name of a vector with one entry for each bin,")
        of_bin = [NAMES.get(str(name), str(name)) for name in vectors[split][::n_joined][: len(first)].tolist()]
    return from_continuous(
        first,
        length=chop,
        overlap=overlap,
        bin_width=n_joined * width,
        start_time=float(np.ravel(found.get("start", 0.0))[0]),
        observed=arrays.get("observed"),
        group=group if counts is None else INPUT_GROUP,
        other_targets={} if counts is None else {group: values},
        kind={group: "real"},
        held_out=drawn_channels(held_out, first.shape[1], seed),
        behaviour=arrays.get("behaviour"),
        behaviour_name=names.get("behaviour", "velocity"),
        behaviour_lag=behaviour_lag,
        channel_names=[str(name) for name in np.ravel(found["unit_id"])] if "unit_id" in found else None,
        missing=True,
        split=of_bin or split,
        split_by="time" if split_by == "time" else "block",
        session=session,
        seed=seed,
    )


def _by_bin(role: str, names: Mapping[str, str], found: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Returns an array with the axes (time, column), `n` bins in one: counts are summed, all else is averaged."""
    array, label = np.asarray(found[role]), f"The array {names[role]!r}"
    array = array[:, None] if array.ndim == 1 else array
    validation.dimensions(array, 2, label)
    validation.size(len(array), len(found["values"]), "bins", label, f"{names['values']!r}")
    if role == "values" and array.shape[1] > len(array):
        raise DataError(
            f"{label} must have the axes (time, channel), got shape {array.shape} with more channels than bins. "
            "Transpose it if its axes are the other way round."
        )
    blocks = array[: len(array) // n * n].reshape(-1, n, array.shape[1])
    if role == "observed":
        validation.mask(array, label)
        return np.asarray(blocks.astype(bool).all(axis=1))
    if n == 1:
        return array
    return blocks.sum(axis=1) if role == "counts" else blocks.mean(axis=1)
