"""Recordings from Neo: blocks in memory, and the NIX files that Neo writes."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import attributes_of, describe, open_to_read
from lfadsx.data.opening import check_is_file, is_hdf5
from lfadsx.errors import DataError, MissingExtraError
from lfadsx.recordings.cutting import CommonCutOptions, cut
from lfadsx.recordings.neo_segments import by_segment, one_segment
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.tidying import tidy_intervals

PICKLE = b"\x80"
"""First byte of a pickle of protocol 2 or later."""


def from_neo(
    block: Any,
    trials: Mapping[str, Any] | str | None = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    unit_id: str | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    events: Collection[str] | None = None,
    session: str | None = None,
    **options: Unpack[CommonCutOptions],
) -> Dataset:
    """Cuts a block of Neo into a data set.

    With one segment, its epochs are the trials and its events belong to the epoch that they lie in. With several
    segments, each segment is a trial. Quantities may have any unit of time.

    Example:
        >>> from types import SimpleNamespace as Part  # stands for the objects of Neo
        >>> import numpy as np
        >>> import lfadsx
        >>> go = np.arange(2.0, 98.0, 2.0)
        >>> segment = Part(
        ...     spiketrains=[np.arange(0.1, 99, 0.03 * unit) for unit in (3, 7)],
        ...     events=[Part(name="go_cue", times=go)],
        ...     epochs=[Part(name="trials", times=go - 0.9, durations=1.8)],
        ... )
        >>> block = Part(name="monday", segments=[segment])
        >>> data = lfadsx.from_neo(block, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.sessions[0].names("spikes")
        ((34, 70, 2), ('0', '1'))

    Args:
        block: A `Block`, a `Segment`, or a NIX file with one block.
        trials: Name of the epochs that are the trials, by default "trials" or the only ones; or the name of an event,
            each of whose times is a trial; or a table with one column for each event, in seconds. A recording that is
            cut into pieces needs none.
        align: The event at time 0, a column of trials; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials, from the event to the stop.
        bin_width: Width of a bin in seconds; by default 0.01.
        unit_id: Annotation of the spike trains that is the id of their unit; by default "unit_id" or a similar one,
            else their names, else their numbers.
        observed: Intervals in which the recording ran in seconds, shape (interval, 2), or a CSV file (start, stop); by
            default from `t_start` to `t_stop` of the spike trains.
        unit_columns: What is known of the units beside their annotations, such as "area", shape (unit,) each.
        events: Columns of a table of trials that hold times; by default they are found by their values.
        session: Name of the session; by default the name of the file or of the block.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour` (the name of an analog
            signal), `behaviour_lag`, `interval`, `areas`, `min_rate`, `held_out`, `split`, `split_by`, `chop`,
            `overlap`, `seed`.

    Returns:
        The data set.

    Raises:
        MissingExtraError: If a file is given and neo or nixio is not installed.
        DataError: If the file is no NIX file, spike trains or trials are missing, or a name is unknown.
    """
    behaviour = options.get("behaviour")
    recording = read_neo(
        block,
        trials,
        unit_id=unit_id,
        observed=observed,
        unit_columns=unit_columns,
        events=events,
        signals=() if behaviour is None else (behaviour,),
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_neo(
    block: Any,
    trials: Mapping[str, Any] | str | None = None,
    *,
    unit_id: str | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    events: Collection[str] | None = None,
    signals: Collection[str] | None = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a block of Neo as a recording; arguments as in `from_neo`.

    `signals` are the names of the analog signals to read; by default all that are not very large.
    """
    source: dict[str, Any] = {"format": "Neo"}
    if isinstance(block, str | Path):
        path = Path(block)
        source |= {"format": "NIX", "files": [describe(path)]} if path.is_file() else {}
        session, block = session or path.stem, read_nix(path)
    segments = [block] if hasattr(block, "spiketrains") and not hasattr(block, "segments") else _segments(block)
    name = session or getattr(block, "name", None) or "session"
    if len(segments) > 1 and trials is not None:
        raise DataError(
            f"`trials` needs a block of one segment, but {name!r} has {len(segments)} segments, which are its trials. "
            "Leave `trials` out, or pass one segment."
        )
    if len(segments) > 1:
        recording = by_segment(segments, name, unit_id, signals)
    else:
        recording = one_segment(segments[0], name, unit_id, signals, trials, events, align)
    if signals:
        for signal in signals:
            validation.one_of(signal, recording.signals, f"An analog signal of {name!r}")
    given = {column: np.asarray(values) for column, values in (unit_columns or {}).items()}
    return dataclasses.replace(
        recording,
        unit_columns=recording.unit_columns | given,
        observed=recording.observed if observed is None else tidy_intervals(observed, None),
        source=source | recording.source,
    )


def is_neo(path: Path) -> bool:
    """Returns whether a path is a NIX file, or a pickle, which may hold a block and is refused in words."""
    if not path.is_file():
        return False
    if not is_hdf5(path):
        return _is_pickle(path) and path.suffix in (".pkl", ".pickle")
    try:
        with open_to_read(path) as file:
            return str(attributes_of(file).get("format")) == "nix"
    except DataError:  # damaged; whoever reads it says so
        return False


def read_nix(path: Path) -> Any:
    """Returns the only block of a NIX file.

    Raises:
        MissingExtraError: If neo or nixio is not installed.
        DataError: If the file is a pickle, is no NIX file, or does not hold one block.
    """
    check_is_file(path)
    if _is_pickle(path):
        raise DataError(
            f"{str(path)!r} must be a NIX file, but is a pickle, which is never opened: it can run code, and blocks "
            "of other versions of Neo cannot be read. Load it where it was written and save it with "
            '`neo.NixIO("day1.nix", "ow").write_block(block)`.'
        )
    if not is_neo(path):
        raise DataError(
            f"{str(path)!r} must be a NIX file, but its content is of another kind. Read it with Neo and pass it on."
        )
    try:
        import neo
        import nixio  # noqa: F401  # neo.NixIO needs it  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError(
            'NIX files need neo and nixio, which are not installed. Install them with `pip install "lfadsx[neo]"`.'
        ) from error
    try:
        with warnings.catch_warnings(), neo.NixIO(str(path), mode="ro") as io:
            warnings.simplefilter("ignore")  # about versions of Neo
            blocks = io.read_all_blocks()
    except Exception as error:  # neo and nixio raise errors of many kinds for damaged files
        raise DataError(
            f"{str(path)!r} cannot be read as a NIX file ({type(error).__name__}: {error}). Write it again with Neo."
        ) from error
    if len(blocks) != 1:
        names = some([repr(block.name or "") for block in blocks])
        raise DataError(
            f"{str(path)!r} must hold one block, found {len(blocks)}{f' ({names})' if blocks else ''}. Read the file "
            "with Neo and pass one block to `lfadsx.from_neo`."
        )
    return blocks[0]


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == PICKLE


def _segments(block: Any) -> list[Any]:
    if not hasattr(block, "segments"):
        raise DataError(
            f"`block` must be a Block or a Segment of Neo or a NIX file, got {type(block).__name__}. Use "
            "`from_spike_times` for lists of spike times."
        )
    if not len(block.segments):
        raise DataError("The block must have at least one segment with spike trains, got 0. Check the block.")
    return list(block.segments)
