"""The arrays of a result with dimensions, units and descriptions, for files and for xarray."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lfadsx.errors import MissingExtraError
from lfadsx.files import plain

if TYPE_CHECKING:
    import xarray

    from lfadsx.results.generated import Generated
    from lfadsx.results.posterior import Posterior

TARGETS = "targets"
"""Group of the arrays of target groups other than the input group."""

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
    "kl_ic": ("trial ic", "nats", "KL of the initial condition's posterior from its prior"),
    "kl_inputs": ("trial time input", "nats", "KL of the inputs' posterior from their prior"),
    "bias": ("trial constant_input", "arbitrary", "Bias of the trial: constant inputs of the generator"),
    "bias_std": ("trial constant_input", "arbitrary", "Standard deviation of the posterior of the bias"),
    "kl_bias": ("trial constant_input", "nats", "KL of the posterior of the bias from its prior"),
    "controller_states": ("trial time controller", "arbitrary", "States of the controller"),
    "encoding": ("trial time encoding", "arbitrary", "Encoding of the data that the controller receives"),
    "trial_id": ("trial", "none", "The user's ids of the trials"),
    "session": ("trial", "none", "Session of each trial, as an index into the attribute `sessions`"),
    "length": ("trial", "bins", "Number of bins of each trial; later bins hold NaN"),
    "row": ("trial", "none", "Position of each trial in the input"),
    "condition": ("trial", "none", "Condition of each trial"),
    "start_time": ("trial", "s", "Time of the left edge of each trial's first bin on the clock of its session"),
    "piece_of": ("trial", "none", "Number of the trial that each piece was chopped from, 0 for a whole recording"),
    "first_bin": ("trial", "bins", "Number of each piece's first bin in that trial or recording"),
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

COORDINATES = {"channel_names": "channel_name"} | {
    name: name
    for name in (
        *("time", "trial_id", "session", "length", "row", "condition", "start_time", "piece_of", "first_bin"),
        "held_out",
    )
}
"""Arrays that are coordinates in xarray, and their names there."""


class Described(NamedTuple):
    """An array with the names of its dimensions (separated by blanks), its unit and a description."""

    values: np.ndarray
    dims: str
    unit: str
    description: str


def described_arrays(result: Posterior | Generated) -> dict[str, Described]:
    """Returns all arrays of a result by name; names of other target groups begin with `targets/GROUP/`."""
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
    """Returns the rates of a group, arrays derived from them, and their spreads."""
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
        "rates_std": (unit, "Standard deviation of the rates over posterior samples; calibrated if `kappa` is given"),
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
            # No session dimension: each trial has the channels of its session.
            one = len(posterior.sessions) == 1
            values, dims = (values[0], "channel") if one else (values[posterior.session], "trial channel")
        place = coordinates if name in COORDINATES else variables
        place[COORDINATES.get(name, name)] = (dims.split(), values, attributes)
    time, names = posterior.time, ("split", "input_group", "n_samples", "seed", "behaviour_name", "behaviour_lag")
    facts = {name: getattr(posterior, name) for name in names} | {
        "encoder_groups": list(posterior.encoder_groups),
        "event": time.event,
        "lfadsx_version": posterior.version,
        "source": json.dumps(plain(posterior.source)),
    }
    width = {} if time.bin_width is None else {"bin_width_s": time.bin_width, "start_s": time.start}
    return xarray.Dataset(variables, coordinates, facts | width)
