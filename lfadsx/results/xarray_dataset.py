"""A posterior as an `xarray.Dataset`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from lfadsx.errors import MissingExtraError
from lfadsx.files import plain
from lfadsx.results.described_arrays import TARGETS, described_arrays
from lfadsx.results.posterior import Posterior

if TYPE_CHECKING:
    import xarray

COORDINATES = {"channel_names": "channel_name"} | {
    name: name for name in ("time", "trial_id", "session", "length", "row", "condition", "held_out")
}
"""Arrays that are coordinates, and their names."""


def to_xarray(posterior: Posterior) -> xarray.Dataset:
    """Returns all arrays of a posterior; see `Posterior.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError(
            '`to_xarray` needs xarray, which is not installed. Install it with `pip install "lfadsx[xarray]"`.'
        ) from error
    variables, coordinates = {}, {}
    for path, (values, dims, unit, description) in described_arrays(posterior).items():
        name, attributes = path.removeprefix(f"{TARGETS}/").replace("/", "_"), {"description": description}
        attributes |= {"unit": unit} if unit != "none" else {}
        if name == "session":
            values = np.array(posterior.sessions)[posterior.session]
            attributes["description"] = "Name of the session of each trial"
        if dims == "session channel":
            # Sessions are no dimension here: each trial has the channels of its own.
            one = len(posterior.sessions) == 1
            values, dims = (values[0], "channel") if one else (values[posterior.session], "trial channel")
        place = coordinates if name in COORDINATES else variables
        place[COORDINATES.get(name, name)] = (dims.split(), values, attributes)
    time = posterior.time
    facts = {
        "split": posterior.split,
        "input_group": posterior.input_group,
        "event": time.event,
        "n_samples": posterior.n_samples,
        "seed": posterior.seed,
        "behaviour_name": posterior.behaviour_name,
        "behaviour_lag": posterior.behaviour_lag,
        "lfadsx_version": posterior.version,
        "source": json.dumps(plain(posterior.source)),
    } | ({} if time.bin_width is None else {"bin_width_s": time.bin_width, "start_s": time.start})
    return xarray.Dataset(variables, coordinates, facts)
