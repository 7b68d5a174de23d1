"""Joining pieces that overlap: each bin is the weighted mean of all pieces that cover it, in one pass."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lfadsx.errors import LfadsxError
from lfadsx.results.joined import Joined
from lfadsx.results.posterior import Posterior

POWER = 2.0
"""Default power of the weights, as in AutoLFADS: the end of a piece counts more than the beginning of the next."""


def join(*posteriors: Posterior, power: float = POWER) -> dict[str, Joined]:
    """Joins the inferred values of pieces that overlap on the time axis of their recording, or of their trials.

    Where two pieces overlap by n bins, the later one has the weight x^power, with x from 1/n to 1 - 1/n, and the
    earlier one 1 - x^power. Where more pieces overlap, the weights of all are divided by their sum. The first and the
    last piece of a contiguous run are not faded. Memory is that of the result, whatever the overlap.

    Example:
        ```python
        pieces = lfadsx.from_continuous(counts, bin_width=0.01, length=1.0, overlap=0.2)
        post = lfadsx.infer(model, pieces, "all")
        day = lfadsx.join(post)["session"]  # day.time, day.rates_hz(), day.factors
        ```

    Args:
        *posteriors: Posteriors of pieces: that of the split "all", or those of several splits of the same data.
        power: Power of the weights, above 0: 1 for a linear change, higher powers trust the earlier piece longer.

    Returns:
        The joined values by name of the session.

    Raises:
        LfadsxError: If trials are not pieces, posteriors are of other data, or `power` is not above 0.
    """
    _check(posteriors, power)
    first = posteriors[0]
    found = {name: _pieces(posteriors, number) for number, name in enumerate(first.sessions)}
    return {name: _joined(posteriors, pieces, name, power) for name, pieces in found.items() if len(pieces.row)}


def weights(length: int, before: int, after: int, power: float) -> Float[np.ndarray, " bin"]:
    """Returns the weight of each bin of a piece that overlaps the one before and the one after it.

    Args:
        length: Bins of the piece.
        before: Bins that it shares with the piece before, 0 for none.
        after: Bins that it shares with the piece after, 0 for none.
        power: Power of the weights.
    """
    found = np.ones(length)
    rise, fall = min(before, length), min(after, length)
    found[:rise] *= _steps(rise) ** power
    found[length - fall :] *= 1 - _steps(fall) ** power
    return found


def _steps(n: int) -> np.ndarray:
    return np.linspace(1 / n, 1 - 1 / n, n) if n > 1 else np.full(n, 0.5)


class _Pieces(NamedTuple):
    """Pieces of one session in order of their trial and their first bin, shape (piece,) each."""

    posterior: Int[np.ndarray, " piece"]
    row: Int[np.ndarray, " piece"]
    trial: Int[np.ndarray, " piece"]
    first_bin: Int[np.ndarray, " piece"]
    length: Int[np.ndarray, " piece"]


def _check(posteriors: Sequence[Posterior], power: float) -> None:
    if not posteriors:
        raise LfadsxError("`join` needs at least one posterior, got 0. Give that of the split 'all'.")
    if not (np.isfinite(power) and power > 0):
        raise LfadsxError(f"`power` must be a finite number above 0, got {power}. 2 is usual.")
    first = posteriors[0]
    for post in posteriors:
        if post.first_bin is None or post.piece_of is None:
            raise LfadsxError(
                "`join` needs trials that are pieces of longer data, but these are whole trials. Cut the recording "
                "into pieces with `lfadsx.from_continuous` or `chop` (lfadsx prepare --chop)."
            )
        same = post.sessions == first.sessions and post.time == first.time and post.rates.keys() == first.rates.keys()
        if not same:
            raise LfadsxError(
                f"All posteriors of `join` must be of the same data, but the sessions of one are "
                f"{', '.join(post.sessions)} and of another {', '.join(first.sessions)}, or their bins or groups "
                "differ. Join them one by one."
            )


def _pieces(posteriors: Sequence[Posterior], session: int) -> _Pieces:
    parts = []
    for number, post in enumerate(posteriors):
        rows = np.flatnonzero(post.session == session)
        own = [np.asarray(values)[rows] for values in (post.piece_of, post.first_bin, post.length)]
        parts.append((np.full(len(rows), number), rows, *own))
    found = _Pieces(*(np.concatenate(values).astype(np.int64) for values in zip(*parts, strict=True)))
    order = np.lexsort((found.first_bin, found.trial))
    return _Pieces(*(values[order] for values in found))


class _Plan(NamedTuple):
    """Where the pieces of a session lie in its joined bins, and how they are weighed.

    Attributes:
        pieces: The pieces.
        begin: First piece of each trial, shape (trial,).
        n_bins: Joined bins of each trial, shape (trial,).
        place: Joined bin at which each piece begins, shape (piece,).
        faded: Weights of the bins of each piece.
    """

    pieces: _Pieces
    begin: Int[np.ndarray, " trial"]
    n_bins: Int[np.ndarray, " trial"]
    place: Int[np.ndarray, " piece"]
    faded: Sequence[Float[np.ndarray, " bin"]]

    def mean(self, arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Returns the weighted mean in each bin of one array for each posterior; None if one is missing."""
        if any(values is None for values in arrays):
            return None
        return _mean(arrays, self.pieces, self.place, self.faded, int(self.n_bins.sum()))  # pyright: ignore[reportArgumentType]

    def covering(self) -> tuple[Int[np.ndarray, " bin"], Int[np.ndarray, " bin"]]:
        """Returns how many pieces cover each bin, and the row of the last of these in its posterior, -1 for none."""
        number, last = np.zeros(self.n_bins.sum(), np.int32), np.full(self.n_bins.sum(), -1)
        where = (self.place.tolist(), self.pieces.length.tolist(), self.pieces.row.tolist())
        for start, n, row in zip(*where, strict=True):
            number[start : start + n] += 1
            last[start : start + n] = row
        return number, last


def _plan(pieces: _Pieces, power: float) -> _Plan:
    stop = pieces.first_bin + pieces.length
    _, begin, trial = np.unique(pieces.trial, return_index=True, return_inverse=True)
    n_bins = np.maximum.reduceat(stop, begin)
    at = np.cumsum(n_bins) - n_bins
    once = functools.cache(functools.partial(weights, power=power))  # most pieces overlap alike
    faded = [once(*overlaps) for overlaps in _overlaps(pieces, stop, trial)]
    return _Plan(pieces, begin, n_bins, at[trial] + pieces.first_bin, faded)


def join_arrays(
    posterior: Posterior, session: int, arrays: Mapping[str, np.ndarray], power: float = POWER
) -> tuple[Float[np.ndarray, " bin"], Int[np.ndarray, " bin"], dict[str, np.ndarray]]:
    """Joins any arrays of pieces of one session; bins that no piece covers are left out.

    Args:
        posterior: The posterior of the pieces.
        session: Number of the session.
        arrays: Arrays by name, shape (piece, time, column).
        power: Power of the weights.

    Returns:
        The middle of each bin in seconds, the row of the last piece that covers it, and the joined arrays, (bin,
        column).
    """
    plan = _plan(_pieces([posterior], session), power)
    number, last = plan.covering()
    known = number > 0
    joined = {name: _mean([values], plan.pieces, plan.place, plan.faded, len(known)) for name, values in arrays.items()}
    times = _times([posterior], plan.pieces, plan.begin, plan.n_bins)
    return times[known], last[known], {name: values[known] for name, values in joined.items()}


def _joined(posteriors: Sequence[Posterior], pieces: _Pieces, name: str, power: float) -> Joined:
    """Returns the joined values of one session."""
    first, plan = posteriors[0], _plan(pieces, power)

    def by_group(field: str) -> dict[str, np.ndarray]:
        found = {group: plan.mean([getattr(post, field).get(group) for post in posteriors]) for group in first.rates}
        return {group: values for group, values in found.items() if values is not None and values.shape[1]}

    factors = plan.mean([post.factors for post in posteriors])
    number = first.sessions.index(name)
    rates = by_group("rates")
    names = () if first.channel_names is None else tuple(map(str, first.channel_names[number]))
    begins = zip(pieces.posterior[plan.begin], pieces.row[plan.begin], strict=True)
    return Joined(
        session=name,
        time=_times(posteriors, pieces, plan.begin, plan.n_bins),
        rates=rates,
        rates_std=by_group("rates_std"),
        factors=factors if factors is not None else np.zeros((plan.n_bins.sum(), 0), np.float32),
        inputs=plan.mean([post.inputs for post in posteriors]),
        inputs_std=plan.mean([post.inputs_std for post in posteriors]),
        n_pieces=plan.covering()[0],
        trial_id=np.array([posteriors[post].trial_id[row] for post, row in begins]),
        length=plan.n_bins,
        bin_width=first.time.bin_width,
        groups=first.groups,
        input_group=first.input_group,
        channel_names=names[: rates[first.input_group].shape[1]] if any(names) else (),
    )


def _overlaps(pieces: _Pieces, stop: np.ndarray, trial: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yields, for each piece, its bins and those that it shares with the pieces before and the piece after it."""
    first, reach, n = pieces.first_bin.tolist(), 0, len(stop)
    for k in range(n):
        alone = k == 0 or trial[k] != trial[k - 1]
        reach = 0 if alone else reach
        before = 0 if alone else max(0, reach - first[k])
        last = k == n - 1 or trial[k + 1] != trial[k]
        after = 0 if last else max(0, int(stop[k]) - first[k + 1])
        reach = max(reach, int(stop[k]))
        yield int(pieces.length[k]), before, after


def _mean(
    arrays: Sequence[Float[np.ndarray, "piece time column"]],
    pieces: _Pieces,
    place: Int[np.ndarray, " piece"],
    faded: Sequence[Float[np.ndarray, " time"]],
    n_bins: int,
) -> Float[np.ndarray, "bin column"]:
    """Returns the weighted mean in each bin; NaN where no piece knows a value.

    Sums are float32 and as large as the result. A piece may hold NaN in bins that its read-out does not reach.
    """
    width = _columns(arrays[pieces.posterior[0]][pieces.row[0]])
    total, weight = np.zeros((n_bins, width), np.float32), np.zeros(n_bins)
    if not width:
        return total
    where = (pieces.posterior.tolist(), pieces.row.tolist(), place.tolist(), pieces.length.tolist())
    for post, row, start, n, own in zip(*where, faded, strict=True):
        values = arrays[post][row, :n, :width]
        unknown = np.isnan(values[:, 0])
        if unknown.any():
            own, values = np.where(unknown, 0, own), np.where(unknown[:, None], 0, values)
        total[start : start + n] += own[:, None].astype(np.float32) * values
        weight[start : start + n] += own
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: no piece
        np.divide(total, weight[:, None], out=total, casting="same_kind")
    return total


def _columns(piece: Float[np.ndarray, "time column"]) -> int:
    """Returns the columns of a piece without the padding, which is NaN in all bins."""
    known = np.flatnonzero(~np.isnan(piece).all(axis=0))
    return int(known[-1]) + 1 if len(known) else 0


def _times(posteriors: Sequence[Posterior], pieces: _Pieces, begin: np.ndarray, n_bins: np.ndarray) -> np.ndarray:
    """Returns the middle of each bin in seconds, or its number if the width of bins is unknown."""
    width = posteriors[0].time.bin_width
    bins = [np.arange(n) for n in n_bins.tolist()]
    if width is None:
        return np.concatenate(bins)
    known = [np.full(post.n_trials, np.nan) if post.start_time is None else post.start_time for post in posteriors]
    starts = np.array([known[post][row] for post, row in zip(pieces.posterior, pieces.row, strict=True)])
    # When bin 0 began, by each piece: always the same in regular bins. Frames drift, and pause for parts of a frame.
    zero, last = np.nan_to_num(starts - pieces.first_bin * width), pieces.first_bin + pieces.length - 1
    of_trial = zip(bins, *(np.split(values, begin[1:]) for values in (pieces.first_bin, last, zero)), strict=True)
    return np.concatenate([_drift(own, *knots) + (own + 0.5) * width for own, *knots in of_trial])


def _drift(bins: np.ndarray, first: np.ndarray, last: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Returns `zero` of the pieces at each bin, on a line from a piece to the next that touches it; gaps take steps."""
    before_gap = np.flatnonzero(first[1:] > last[:-1] + 1)
    place, value = np.concatenate([first, last[before_gap]]), np.concatenate([zero, zero[before_gap]])
    order = np.argsort(place, kind="stable")
    return np.interp(bins, place[order], value[order])
