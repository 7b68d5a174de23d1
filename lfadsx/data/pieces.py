"""Pieces of a recording that was never cut into trials: which bins each holds."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import DataError
from lfadsx.findings import Finding

EVENT = "piece start"
"""Event at time 0 of pieces: their first bin."""

USUAL_OVERLAP = 0.2
"""Share of a piece that it has in common with the next one by default."""

SHORTEST = 0.2
"""Share of a piece below which a stretch between gaps is left out. Padded to a whole piece, many short stretches would
take far more memory than the recording."""


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Bins of the pieces, in order of time.

    Attributes:
        stretch: Number of the stretch that each piece is cut from, shape (piece,). Pieces of different stretches share
            no bin.
        first_bin: Number of its first bin, shape (piece,).
        n_bins: Its bins, shape (piece,).
    """

    stretch: Int[np.ndarray, " piece"]
    first_bin: Int[np.ndarray, " piece"]
    n_bins: Int[np.ndarray, " piece"]


def lay_pieces(stretches: Int[np.ndarray, "stretch 2"], length: int, overlap: int) -> Pieces:
    """Cuts stretches of bins into pieces that overlap; every bin is in a piece.

    The last piece of a stretch ends where the stretch ends, so it overlaps more with the one before. A stretch that is
    shorter than a piece is one short piece.

    Example:
        >>> import numpy as np
        >>> from lfadsx.data.pieces import lay_pieces
        >>> pieces = lay_pieces(np.array([[0, 25], [30, 36]]), length=10, overlap=2)
        >>> pieces.first_bin.tolist(), pieces.n_bins.tolist()
        ([0, 8, 15, 30], [10, 10, 10, 6])

    Args:
        stretches: First bin of each stretch, and the bin after its last.
        length: Bins of a piece.
        overlap: Bins that a piece shares with the next one, below `length`.
    """
    first, stop = stretches.T
    beyond = np.maximum(stop - first - length, 0)
    number = -(-beyond // (length - overlap)) + 1
    stretch = np.repeat(np.arange(len(stretches)), number)
    place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    since = np.minimum(place * (length - overlap), beyond[stretch])
    return Pieces(stretch, first[stretch] + since, np.minimum(stop - first, length)[stretch])


def runs_of(observed: Bool[np.ndarray, " bin"]) -> Int[np.ndarray, "run 2"]:
    """Returns first bin and bin after the last of each run of observed bins."""
    edges = np.diff(np.concatenate([[0], observed.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def bins_of(length: float, overlap: float | None, bin_width: float | None) -> tuple[int, int]:
    """Returns the bins of a piece and of the overlap of two; arguments as in `from_continuous`.

    Raises:
        DataError: If a piece would have fewer than two bins, or the overlap is not shorter than the piece.
    """
    unit, width = ("bins", 1.0) if bin_width is None else ("s", bin_width)
    for name, value in {"length": length, "overlap": overlap}.items():
        if value is not None and not (isinstance(value, int | float | np.number) and np.isfinite(value)):
            raise DataError(f"The {name} of pieces must be a finite number of {unit}, got {value!r}.")
    n_bins = int(np.floor(length / width + 1e-6))
    shared = int(n_bins * USUAL_OVERLAP) if overlap is None else int(np.floor(overlap / width + 1e-6))
    if n_bins < 2:
        raise DataError(
            f"A piece must have at least two bins, got {length:g} {unit} with bins of {width:g} {unit}. Give longer "
            "pieces; 1 to 2 s are usual."
        )
    if not 0 <= shared < n_bins:
        raise DataError(
            f"The overlap of pieces must be at least 0 and shorter than a piece of {length:g} {unit}, got {overlap} "
            f"{unit}. A fifth of a piece is usual."
        )
    return n_bins, shared


def without_short(
    runs: Int[np.ndarray, "run 2"], length: int, name: str
) -> tuple[Int[np.ndarray, "run 2"], list[Finding]]:
    """Returns the runs that are long enough for a piece, and a note about the others; see `SHORTEST`."""
    n_bins = runs[:, 1] - runs[:, 0]
    short = n_bins < SHORTEST * length
    if short.all():
        raise DataError(
            f"{name!r} must have observed bins in a row for a piece of {length} bins, but its longest run of observed "
            f"bins has {n_bins.max(initial=0)}. Give shorter pieces, or check which bins are observed."
        )
    if not short.any():
        return runs, []
    sentence = (
        f"{n_bins[short].sum()} of {n_bins.sum()} observed bins are left out, because they are in runs shorter than "
        f"{SHORTEST:g} of a piece."
    )
    return runs[~short], [Finding("note", "short runs", int(n_bins[short].sum()), 0, name, sentence)]


def as_pieces(
    data: Dataset, piece_of: np.ndarray | None, first_bin: np.ndarray | None, row: np.ndarray | None = None
) -> Dataset:
    """Returns a data set whose trials are pieces; arguments by the row of the trials, shape (trial,).

    Args:
        data: The data set.
        piece_of: Number of the trial in the input that each piece was chopped from, 0 for a whole recording; None if
            trials are whole, then the data stay as they are.
        first_bin: Number of each piece's first bin there.
        row: New rows of the pieces, by which all trials together are ordered; by default they stay.
    """
    if piece_of is None or first_bin is None:
        return data

    def piece(split: Split) -> Split:
        new = split.row if row is None else row[split.row]
        return dataclasses.replace(split, piece_of=piece_of[split.row], first_bin=first_bin[split.row], row=new)

    return dataclasses.replace(data, **{name: piece(split) for name, split in data.splits.items()})


def groups_of(split: Split) -> Int[np.ndarray, " trial"]:
    """Returns the number of the group of pieces that each trial belongs to; pieces that share a bin are in one group.

    A whole trial is a group by itself. Folds and splits must keep groups together. Otherwise a model is tested on bins
    that it was trained on.
    """
    if split.first_bin is None or split.piece_of is None:
        return np.arange(split.n_trials)
    order = np.lexsort((split.first_bin, split.piece_of, split.session))
    first, length = split.first_bin[order], split.target_length[order]
    group, number, reach, parent = np.empty(split.n_trials, int), -1, 0, (-1, -1)
    for row, begin, n_bins in zip(order.tolist(), first.tolist(), length.tolist(), strict=True):
        own = (int(split.session[row]), int(split.piece_of[row]))
        if own != parent or begin >= reach:
            number, reach, parent = number + 1, 0, own
        group[row], reach = number, max(reach, begin + n_bins)
    return group
