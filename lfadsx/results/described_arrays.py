"""The arrays of a result, each with its dimensions, its unit and a description: for files and for xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lfadsx.results.generated import Generated
    from lfadsx.results.posterior import Posterior

TARGETS = "targets"
"""Where the arrays of target groups other than the input group are."""

FIELDS = {
    "factors": ("trial time factor", "arbitrary", "Factors"),
    "initial_condition": ("trial ic", "arbitrary", "Initial condition"),
    "ic_mean": ("trial ic", "arbitrary", "Mean of the posterior of the initial condition"),
    "ic_std": ("trial ic", "arbitrary", "Standard deviation of the posterior of the initial condition"),
    "initial_state": ("trial generator", "arbitrary", "State of the generator before the first bin"),
    "generator_states": ("trial time generator", "arbitrary", "States of the generator"),
    "inputs": ("trial time input", "arbitrary", "Inferred inputs"),
    "inputs_std": ("trial time input", "arbitrary", "Standard deviation of the inferred inputs over posterior samples"),
    "input_mean": ("trial time input", "arbitrary", "Mean of the posterior of the inputs, given the path before"),
    "input_std": ("trial time input", "arbitrary", "Standard deviation of the posterior of the inputs"),
    "controller_states": ("trial time controller", "arbitrary", "States of the controller"),
    "encoding": ("trial time encoding", "arbitrary", "What the controller saw of the data"),
    "trial_id": ("trial", "none", "The user's ids of the trials"),
    "session": ("trial", "none", "Session of each trial, as an index into the attribute `sessions`"),
    "length": ("trial", "bins", "Number of bins of each trial; later bins hold NaN"),
    "row": ("trial", "none", "Position of each trial in the input"),
    "condition": ("trial", "none", "Condition of each trial"),
    "behaviour": ("trial time behaviour", "units of the data", "Recorded behaviour"),
    "channel_names": ("session channel", "none", "Names of channels; empty where a session has no channel or no name"),
    "held_out": ("session channel", "none", "True for channels that the encoder did not see"),
}
"""Dimensions, unit and description of the fields that are one array."""

SAMPLES = {
    "rates": "sample trial time channel",
    "factors": "sample trial time factor",
    "inputs": "sample trial time input",
}
"""Dimensions of the single samples."""


class Described(NamedTuple):
    """An array with the names of its dimensions (separated by blanks), its unit and a description."""

    values: np.ndarray
    dims: str
    unit: str
    description: str


def described_arrays(result: Posterior | Generated) -> dict[str, Described]:
    """Returns all arrays of a result by name; `targets/GROUP/` begins the names of other target groups."""
    unit = "bins" if result.time.bin_width is None else "s"
    found = {"time": Described(result.times, "time", unit, f"Middle of each bin, counted from: {result.time.event}")}
    for name, layout in FIELDS.items():
        values = getattr(result, name, None)
        if isinstance(values, np.ndarray):
            found[name] = Described(values, *layout)
    for group in result.rates:
        place = "" if group == result.input_group else f"{TARGETS}/{group}/"
        found |= {place + name: array for name, array in _of_group(result, group).items()}
    for name, values in getattr(result, "samples", {}).items():
        unit = _unit(result, result.input_group) if name == "rates" else "arbitrary"
        found[f"samples/{name}"] = Described(values, SAMPLES[name], unit, f"Single posterior samples of the {name}")
    return found


def _of_group(result: Posterior | Generated, group: str) -> dict[str, Described]:
    """Rates, what is derived from them, and their spreads."""
    dims = "trial time channel" if group == result.input_group else f"trial time {group}_channel"
    counts, unit, rates = result.groups[group].kind == "counts", _unit(result, group), result.rates[group]
    width = result.time.bin_width
    found = {"rates_counts" if counts else "rates": (rates, unit, "Expected data")}
    if counts and width is not None:
        found["rates_hz"] = (rates / width, "Hz", "Expected data per second")
    if counts:
        log_rates = np.log(np.maximum(rates, np.finfo(np.float32).tiny))
        found["log_rates"] = (log_rates, f"log {unit}", "Logarithm of the expected data")
    others = {
        "rates_std": (unit, "Standard deviation of the rates over posterior samples"),
        "variance": (f"squared {unit}", "Variance of the data about the rates"),
        "data": (unit, "Data drawn from the likelihood"),
    }
    for name, about in others.items():
        if group in (values := getattr(result, name, {})):
            found[name] = (values[group], *about)
    return {name: Described(values, dims, own, text) for name, (values, own, text) in found.items()}


def _unit(result: Posterior | Generated, group: str) -> str:
    known = result.groups[group]
    return known.unit or ("counts per bin" if known.kind == "counts" else "units of the data")
