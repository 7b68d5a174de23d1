"""Data sets from one long array that was never cut into trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import from_arrays
from lfadsx.data.choices import Choice
from lfadsx.data.dataset import Dataset, TruthUnit
from lfadsx.data.given_arrays import plain, seconds
from lfadsx.data.piece_splits import SplitBlocks, about_pieces, draw_blocks, given_blocks
from lfadsx.data.pieces import EVENT, Pieces, as_pieces, bins_of, lay_pieces, runs_of, without_short
from lfadsx.data.target_kinds import Asked
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP


def from_continuous(
    counts: Any,
    *,
    length: float,
    overlap: float | None = None,
    bin_width: float | None = None,
    start_time: float = 0.0,
    observed: Any = None,
    held_out: int | Choice = 0,
    behaviour: Any = None,
    behaviour_name: str = "velocity",
    behaviour_lag: float = 0.0,
    known_inputs: Any = None,
    truth: Any = None,
    truth_unit: TruthUnit | None = None,
    true_inputs: Any = None,
    channel_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    missing: bool = False,
    other_targets: Mapping[str, Any] | None = None,
    kind: Asked = None,
    unit: str | Mapping[str, str] | None = None,
    split: Sequence[float] | Sequence[str] | np.ndarray = (0.7, 0.15, 0.15),
    split_by: SplitBlocks = "block",
    session: str = "session",
    group: str = INPUT_GROUP,
    seed: int = 0,
) -> Dataset:
    """Returns a data set of a recording that was never cut into trials, as pieces that overlap.

    Every observed bin is in a piece: the last piece before a gap ends at the gap. No piece holds a bin that was not
    observed. Pieces of different splits share no bin: the recording is divided into blocks of one split each, and
    pieces are cut inside these. `lfadsx.join` puts what a model infers back onto the time axis of the recording.

    Example:
        >>> import numpy as np
        >>> import lfadsx
        >>> counts = np.random.default_rng(0).poisson(0.3, (6000, 20))
        >>> data = lfadsx.from_continuous(counts, bin_width=0.01, length=1.0, overlap=0.2)
        >>> data.train.encoder_input.shape[1:], data.train.start_time[:3].tolist()
        ((100, 20), [2.6, 3.4, 4.2])

    Args:
        counts: Counts per bin, or real numbers, (bin, channel). Bins that are NaN or masked in all channels are not
            observed.
        length: Length of a piece in seconds, or in bins if the bin width is unknown. 1 to 2 s are usual. Runs of
            observed bins that are shorter become shorter pieces; below a fifth of `length` they are left out.
        overlap: What a piece shares with the next one, in the unit of `length` and below it; by default a fifth.
        bin_width: Width of a bin in seconds, or None if unknown.
        start_time: Time of the left edge of the first bin in seconds.
        observed: True where the recording ran, shape (bin,), or where an entry was observed, (bin, channel).
        held_out: As in `lfadsx.from_arrays`, like the following arguments; arrays by trial are arrays by bin here.
        behaviour: Behaviour such as hand velocity, any unit, (bin, behaviour).
        behaviour_name: Name of the behaviour in tables and figures.
        behaviour_lag: Delay of behaviour after rates in seconds.
        known_inputs: Known inputs, any unit, (bin, known).
        truth: True rates in `truth_unit`, (bin, channel).
        truth_unit: "counts per bin", "Hz", "data" or "relative" (the default).
        true_inputs: True inputs, any unit, (bin, true_input).
        channel_names: Names of the channels of `counts`, or a dict by target group.
        missing: If True, NaN in single channels means a missing entry.
        other_targets: Further target groups such as EMG by name, (bin, channel of the group).
        kind: Kind of `counts`, "counts" or "real", or a dict by target group.
        unit: Unit of `counts`, or a dict by target group.
        split: Shares of train, valid and test; or "train", "valid", "test" or "" (in no split) for each bin, shape
            (bin,).
        split_by: "block": blocks of up to ten times `length`, spread evenly over the recording. "time": the first
            blocks train, the last ones test.
        session: Name of the session.
        group: Name of the target group of `counts`, such as "emg".
        seed: Seed of the draw of blocks.

    Returns:
        The data set. `Split.first_bin` is the first bin of each piece in `counts`, and trial ids number the pieces.

    Raises:
        DataError: If arrays do not fit each other, the recording is too short for the splits, or `from_arrays` raises.
    """
    bin_width = seconds(bin_width, "`bin_width`")
    if bin_width is not None:
        validation.positive(bin_width, "`bin_width`")
    n_bins, n_shared = bins_of(length, overlap, bin_width)
    values = _by_bin(counts, "counts", None)
    if values.shape[1] > len(values):
        raise DataError(
            f"'counts' must have the axes (bin, channel), got shape {values.shape} with more channels than bins. "
            "Transpose it if its axes are the other way round."
        )
    mask = None if observed is None else _mask(observed, values.shape)
    pieces, in_split, how, notes = _divided(
        _observed_bins(values, mask), n_bins, n_shared, split, split_by, seed, session
    )
    # Splits one after another, so that each is a part of one array and needs no copy.
    order = np.concatenate([np.flatnonzero(in_split == name) for name in ("train", "valid", "test")])
    pieces = Pieces(pieces.stretch[order], pieces.first_bin[order], pieces.n_bins[order])

    def along(array: Any, name: str) -> list[np.ndarray] | None:
        return None if array is None else _cut(_by_bin(array, name, len(values)), pieces)

    data = from_arrays(
        _cut(values, pieces),
        held_out=held_out,
        bin_width=bin_width,
        event=EVENT,
        behaviour=along(behaviour, "behaviour"),
        behaviour_name=behaviour_name,
        behaviour_lag=behaviour_lag,
        known_inputs=along(known_inputs, "known_inputs"),
        truth=along(truth, "truth"),
        truth_unit=truth_unit,
        true_inputs=along(true_inputs, "true_inputs"),
        observed=None if mask is None or mask.shape != values.shape else _cut(mask, pieces),
        start_time=None if bin_width is None else start_time + pieces.first_bin * bin_width,
        trial_id=order,
        channel_names=channel_names,
        missing=missing,
        other_targets={
            name: _cut(_by_bin(other, name, len(values)), pieces) for name, other in (other_targets or {}).items()
        },
        kind=kind,
        unit=unit,
        split=in_split[order],
        session=session,
        group=group,
    )
    source = {session: {"split": how, "pieces": {"length_bins": n_bins, "overlap_bins": n_shared}}}
    data = dataclasses.replace(data, source=source, findings=(*notes, *data.findings))
    return as_pieces(data, np.zeros(len(order), np.int64), pieces.first_bin, order)


def _divided(
    observed: np.ndarray,
    length: int,
    overlap: int,
    split: Sequence[float] | Sequence[str] | np.ndarray,
    by: SplitBlocks,
    seed: int,
    session: str,
) -> tuple[Pieces, np.ndarray, dict[str, Any], list[Finding]]:
    """Returns the pieces in order of time, their splits, how these were drawn, and notes."""
    given = np.asarray(split)
    if given.dtype.kind in "UO":
        stretches, names, notes = given_blocks(observed, given, length, session)
        runs, how = stretches, {"given": True}
    else:
        runs, notes = without_short(runs_of(observed), length, session)
        stretches, names = draw_blocks(runs, length, overlap, given.tolist(), by, seed, session)
        how = {"shares": given.tolist(), "by": by, "seed": seed}
    pieces = lay_pieces(stretches, length, overlap)
    notes.append(about_pieces(pieces, stretches, runs, length, overlap, session))
    return pieces, names[pieces.stretch], how, notes


def _cut(values: np.ndarray, pieces: Pieces) -> list[np.ndarray]:
    """Returns the bins of each piece without a copy."""
    return [
        values[first : first + n] for first, n in zip(pieces.first_bin.tolist(), pieces.n_bins.tolist(), strict=True)
    ]


def _by_bin(values: Any, name: str, n_bins: int | None) -> Any:
    """Returns an array (bin, channel) of small numbers; a vector becomes one column."""
    array = plain(values)
    if np.ndim(array) == 1:
        array = array[:, None]
    if np.ndim(array) != 2 or 0 in np.shape(array):
        raise DataError(f"'{name}' must have the axes (bin, channel) and at least one entry, got {np.shape(array)}.")
    validation.numbers(array, f"'{name}'")
    if n_bins is not None:
        validation.size(len(array), n_bins, "bins", f"'{name}'", "'counts'")
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    return _smallest(array) if array.dtype.kind in "iu" and array.dtype.itemsize > 1 else array


def _mask(observed: Any, shape: tuple[int, int]) -> np.ndarray:
    """Returns the mask of observed bins, (bin, 1), or of observed entries, (bin, channel)."""
    mask = _by_bin(observed, "observed", shape[0])
    if mask.shape[1] not in (1, shape[1]):
        raise DataError(f"'observed' must have the shape {shape[:1]} or {shape}, got {mask.shape}.")
    validation.mask(mask, "'observed'")
    return mask.astype(bool)


def _smallest(values: np.ndarray) -> np.ndarray:
    """Returns integers from 0 in the smallest type that holds them; others, and those with a fill value, stay."""
    highest = int(values.max())
    if values.min() < 0 or highest == np.iinfo(values.dtype).max:
        return values
    return values.astype(np.min_scalar_type(highest), copy=False)


def _observed_bins(values: Any, mask: np.ndarray | None) -> np.ndarray:
    """Returns True for bins in which any channel was observed, shape (bin,)."""
    there = np.ones(len(values), bool)
    if mask is not None:
        there &= mask.any(axis=1)
    if np.ma.isMaskedArray(values):
        there &= ~np.ma.getmaskarray(values).all(axis=1)
    if values.dtype.kind == "f":
        there &= ~np.isnan(np.ma.getdata(values)).all(axis=1)
    return there
