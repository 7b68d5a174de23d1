"""Results as time series and tables of NWB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lfadsx.results.by_session import SessionResults
from lfadsx.results.described_arrays import Described
from lfadsx.results.session_clock import OnClock, on_clock

PREFIX = "lfads_"
"""How the names of all results begin."""
UNITS = {"arbitrary": "a.u.", "none": "n.a."}
"""Units as NWB files call them."""
EQUAL = 1e-9
"""Seconds by which steps between bins may differ if the series has a rate."""
COLUMNS = {
    "trial_id": "Id of the trial",
    "split": "Part of the data that the trial belongs to",
    "condition": "Condition of the trial",
    "n_bins": "Number of bins",
}
"""Columns of the table of windows, from the table of trials."""


def nwb_objects(session: SessionResults, units: Any) -> Iterator[Any]:
    """Yields the time series and tables of a session that has a clock.

    Args:
        session: The results of the session.
        units: The table of units of the NWB file, or None.
    """
    clock = on_clock(session)
    for name, array in clock.arrays.items():
        columns = f"columns=[{','.join(session.columns(name))}]"
        yield _series(name, clock, array, f"{array.description}. {_how(session)}", columns)
    row = f"Row in {PREFIX}windows (column trial) of the trial that each bin belongs to"
    yield _series("trial", clock, Described(clock.trial, "time", "none", row), row, "no comments")
    yield _windows(session, clock)
    yield _channels(session, units)


def _how(session: SessionResults) -> str:
    posterior, width = session.posterior, session.posterior.time.bin_width
    averaged = f"averages over {posterior.n_samples} posterior samples" if posterior.n_samples else "posterior means"
    return (
        f"Times are the middles of bins of {width:g} s. Made by LFADS (lfadsx {posterior.version}), {averaged}, seed "
        f"{posterior.seed}."
    )


def _series(name: str, clock: OnClock, array: Described, description: str, comments: str) -> Any:
    import pynwb

    steps = np.diff(clock.times)
    if len(steps) > 1 and np.ptp(steps) < EQUAL:
        axis = {"starting_time": float(clock.times[0]), "rate": float(1 / np.mean(steps))}
    else:
        axis = {"timestamps": pynwb.H5DataIO(data=clock.times, compression="gzip")}
    values = pynwb.H5DataIO(data=np.asarray(array.values), compression="gzip")
    about = {"unit": UNITS.get(array.unit, array.unit), "description": description, "comments": comments}
    return pynwb.TimeSeries(name=f"{PREFIX}{name}", data=values, **about, **axis)


def _windows(session: SessionResults, clock: OnClock) -> Any:
    """Returns the table of the trials that were inferred, in the order of time."""
    from pynwb.epoch import TimeIntervals

    start, stop = clock.windows.T
    columns = {"start_time": (start, "Start of the first bin in seconds"), "stop_time": (stop, "End of the last bin")}
    columns["trial"] = clock.rows, "Row of the trial in the input of LFADS"
    table = session.trials()
    columns |= {name: (table[name][clock.rows], text) for name, text in COLUMNS.items() if name in table}
    for name, array in session.arrays.items():
        if len(array.dims.split()) == 2:
            columns[name] = array.values[clock.rows], f"{array.description} ({array.unit})"
    return TimeIntervals(name=f"{PREFIX}windows", description="Trials with results of LFADS", columns=_vectors(columns))


def _channels(session: SessionResults, units: Any) -> Any:
    """Returns the table of the columns of rates, with references to the table of units if the names are its ids."""
    from hdmf.common import DynamicTable, DynamicTableRegion

    table = session.units()
    columns = {"channel": (table.pop("unit"), "Name of the column of rates")}
    columns |= {name: (values, "Whether the encoder did not see the unit") for name, values in table.items()}
    vectors = _vectors(columns)
    rows = {str(unit): row for row, unit in enumerate([] if units is None else units.id[:])}
    names = columns["channel"][0].tolist()
    if set(names) <= set(rows):
        own = [rows[name] for name in names]
        vectors.append(DynamicTableRegion(name="unit", data=own, table=units, description="Row in the table of units"))
    return DynamicTable(name=f"{PREFIX}channels", description="Columns of the rates of LFADS", columns=vectors)


def _vectors(columns: dict[str, tuple[np.ndarray, str]]) -> list[Any]:
    from hdmf.common import VectorData

    return [VectorData(name=name, description=text, data=_plain(values)) for name, (values, text) in columns.items()]


def _plain(values: np.ndarray) -> Any:
    """Returns numbers as they are, and text as a list, as HDMF takes it."""
    return values.tolist() if values.dtype.kind in "OSU" else values
