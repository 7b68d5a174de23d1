"""The splits of the pieces of a recording: blocks that share no bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

from lfadsx.data import validation
from lfadsx.data.pieces import Pieces, runs_of, without_short
from lfadsx.data.splits import checked_shares, random_names
from lfadsx.errors import DataError
from lfadsx.findings import Finding

SplitBlocks = Literal["block", "time"]
"""How blocks of pieces are drawn: spread evenly over the recording, or the first ones train and the last ones test."""

FEWEST_BLOCKS, LONGEST_BLOCK = 20, 10
"""A recording is drawn in at least so many blocks if it is long enough, each at most so many pieces long: short enough
that every split sees all parts of the recording, long enough that few pieces stand at the edge of a block."""

NAMES = ("train", "valid", "test")


def draw_blocks(
    runs: Int[np.ndarray, "run 2"],
    length: int,
    overlap: int,
    split: Sequence[float],
    by: SplitBlocks,
    seed: int,
    name: str,
) -> tuple[Int[np.ndarray, "stretch 2"], np.ndarray]:
    """Divides runs into stretches of one split each, which share no bin; returns them and their splits.

    Runs are cut into blocks, blocks are drawn into splits, and neighbouring blocks of one split are put together again.
    Pieces are cut inside a stretch, so that no bin is left out where splits meet and no bin is in two splits.

    Args:
        runs: First bin of each run of observed bins, and the bin after its last.
        length: Bins of a piece.
        overlap: Bins that two pieces share.
        split: Shares of train, valid and test.
        by: "block" or "time".
        seed: Seed of the draw.
        name: Name of the session, for messages.
    """
    shares = checked_shares(split)
    validation.one_of(by, get_args(SplitBlocks), "`split_by`")
    hop, n_bins = length - overlap, int((runs[:, 1] - runs[:, 0]).sum())
    wanted = min(n_bins // FEWEST_BLOCKS, LONGEST_BLOCK * length)
    # Whole pieces fit into a block of this size, so that only the last block of a run has a piece that overlaps more.
    size = length + max(0, wanted - length) // hop * hop
    number = np.maximum((runs[:, 1] - runs[:, 0]) // size, 1)
    run = np.repeat(np.arange(len(runs)), number)
    first = runs[run, 0] + size * (np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number))
    stop = np.where(np.append(run[1:] != run[:-1], True), runs[run, 1], first + size)
    n_splits = sum(share > 0 for share in shares)
    if len(first) < n_splits:
        raise DataError(
            f"{name!r} must be long enough for {n_splits} splits that share no bin, but its {n_bins} "
            f"observed bins give {len(first)} blocks of {length} bins. Give shorter pieces, or fewer splits."
        )
    if by == "time":
        n_valid, n_test = (max(1, round(share * len(first))) if share else 0 for share in shares[1:])
        names = np.repeat(NAMES, [len(first) - n_valid - n_test, n_valid, n_test])
    else:  # neighbours as one condition each: every split is spread evenly over the recording
        names = random_names(np.arange(len(first)), len(first), *shares[1:], seed, f"blocks of {name!r}")
    new = np.append(True, (run[1:] != run[:-1]) | (names[1:] != names[:-1]))
    last = np.append(np.flatnonzero(new)[1:] - 1, len(first) - 1)
    return np.stack([first[new], stop[last]], axis=1), names[new]


def given_blocks(
    observed: Bool[np.ndarray, " bin"], split: np.ndarray, length: int, name: str
) -> tuple[Int[np.ndarray, "stretch 2"], np.ndarray, list[Finding]]:
    """Returns the stretches of observed bins of one split each, their splits, and notes about what is left out.

    Args:
        observed: True where the recording ran.
        split: "train", "valid", "test" or "" (in no split) for each bin.
        length: Bins of a piece.
        name: Name of the session, for messages.
    """
    validation.size(len(split), len(observed), "bins", "'split'", "the recording")
    for one in np.unique(split):
        validation.one_of(str(one), (*NAMES, ""), "An entry of 'split'")
    notes, parts = [], {}
    for one in NAMES:
        found = runs_of(observed & (split == one))
        if len(found):
            parts[one], note = without_short(found, length, name)
            notes += note
        elif one != "test":
            raise DataError(f"'split' must name observed bins of 'train' and 'valid', but none is {one!r}.")
    stretches = np.concatenate(list(parts.values()))
    order = np.argsort(stretches[:, 0])
    return stretches[order], np.repeat(list(parts), [len(part) for part in parts.values()])[order], notes


def about_pieces(
    pieces: Pieces,
    stretches: Int[np.ndarray, "stretch 2"],
    runs: Int[np.ndarray, "run 2"],
    length: int,
    overlap: int,
    name: str,
) -> Finding:
    """Returns a note that says how a recording is cut, and what the plain grid of pieces would have left out."""
    n_pieces, n_bins = len(pieces.first_bin), int((runs[:, 1] - runs[:, 0]).sum())
    whole = np.maximum(runs[:, 1] - runs[:, 0] - length, -1)
    grid = np.where(whole >= 0, whole // (length - overlap) + 1, 0)
    lost = n_bins - int(np.where(grid > 0, length + (grid - 1) * (length - overlap), 0).sum())
    meet = len(stretches) - len(runs)
    sentence = (
        f"{n_bins} observed bins in {_number(len(runs), 'run')} are cut into {_number(n_pieces, 'piece')} of {length} "
        f"bins that overlap by {overlap}. A plain grid would give {grid.sum()} pieces and leave out {lost} bins at the "
        f"ends of runs. Pieces of different splits share no bin: at {_number(meet, 'place')} where splits meet, pieces "
        "abut and 0 bins are left out."
    )
    return Finding("note", "pieces", n_pieces, None, name, sentence)


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
