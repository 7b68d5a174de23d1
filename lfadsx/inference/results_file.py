"""Files of results: posterior averages in HDF5, each array with its unit and the names of its axes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lfadsx.data.hdf5_files import attributes_of, open_to_read, open_to_write, read_array, subgroup, write_array
from lfadsx.errors import DataError
from lfadsx.types import INPUT_GROUP, Posterior

if TYPE_CHECKING:
    from lfadsx.inference.bounds import Bounds, Kind

FORMAT_VERSION = 1

LAYOUT = {
    "factors": ("trial time factor", "arbitrary"),
    "initial_condition": ("trial ic", "arbitrary"),
    "ic_mean": ("trial ic", "arbitrary"),
    "ic_std": ("trial ic", "arbitrary"),
    "initial_state": ("trial generator", "arbitrary"),
    "generator_states": ("trial time generator", "arbitrary"),
    "inputs": ("trial time input", "arbitrary"),
    "inputs_std": ("trial time input", "arbitrary"),
    "input_mean": ("trial time input", "arbitrary"),
    "input_std": ("trial time input", "arbitrary"),
    "controller_states": ("trial time controller", "arbitrary"),
    "encoding": ("trial time encoding", "arbitrary"),
    "trial_id": ("trial", "none"),
    "session": ("trial", "index into the file's attribute sessions"),
    "length": ("trial", "bins"),
}
"""Axes and unit of the arrays of a `Posterior` but for the rates and the samples."""

SAMPLES = {
    "rates": "sample trial time target_channel",
    "factors": "sample trial time factor",
    "inputs": "sample trial time input",
}
"""Axes of the single samples."""

NO_TARGETS = ("samples", "bounds")
"""Groups within a split's that are no target groups."""

RATES = "trial time target_channel"
COUNTS = "counts per bin"
DATA = "units of the data"


def write_posterior(
    path: str | Path,
    posteriors: Mapping[str, Posterior],
    *,
    bin_width: float | None,
    sessions: Sequence[str],
    input_group: str = INPUT_GROUP,
    version: str,
    source: Mapping[str, Any],
    count_groups: Collection[str] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
) -> None:
    """Writes posterior averages of some splits to an HDF5 file, one group for each split.

    A split's group holds the fields of `Posterior`. Rates are `rates_counts` (counts per bin), `rates_hz`
    (when the bin width is known), `rates_std` and `log_rates`; for data that are no counts only `rates`,
    `rates_std` and `variance`. Other target groups have a group of their own within the split's, and so have
    bounds of the evidence: `bounds`, with one value for each trial in nats. Each array has the attributes `unit`
    and `dims`; bins after a trial's end hold NaN. The file appears under its name when it is whole.

    Example:
        >>> from lfadsx.inference import write_posterior
        >>> def save(posterior, dataset):
        ...     write_posterior(
        ...         "posterior.h5",
        ...         {"valid": posterior},
        ...         bin_width=dataset.bin_width,
        ...         sessions=[session.name for session in dataset.sessions],
        ...         version="0.1.0",
        ...         source=dataset.source,
        ...     )

    Args:
        path: The file; its folder is made when it does not exist.
        posteriors: The averages by name of the split.
        bin_width: Width of a bin in seconds, or None when unknown.
        sessions: Names of the sessions that `Posterior.session` counts.
        input_group: The target group whose channels the encoder sees.
        version: Version of the program.
        source: Where the data came from, as in `Dataset.source`.
        count_groups: The target groups whose data are counts; only the input group by default.
        bounds: Bounds of the evidence by name of the split, from `lfadsx.bounds`.

    Raises:
        DataError: If the file cannot be written, or a target group is called like a field of `Posterior`.
    """
    counts = (input_group,) if count_groups is None else tuple(count_groups)
    with open_to_write(Path(path)) as file:
        file.attrs.update(
            {
                "format_version": FORMAT_VERSION,
                "lfadsx_version": version,
                "sessions": list(sessions),
                "input_group": input_group,
                "source": json.dumps(dict(source), default=_plain),
            }
        )
        if bin_width is not None:
            file.attrs["bin_width_s"] = bin_width
        for name in ("n_samples", "seed"):
            values = {getattr(posterior, name) for posterior in posteriors.values()}
            if len(values) == 1:
                file.attrs[name] = values.pop()
        for split, posterior in posteriors.items():
            group = file.create_group(split)
            group.attrs["position"] = len(file) - 1
            _write_split(group, posterior, input_group, counts, bin_width)
            if bounds is not None and split in bounds:
                _write_bounds(group.create_group("bounds"), bounds[split])


def read_posterior(path: str | Path) -> dict[str, Posterior]:
    """Reads posterior averages that `write_posterior` wrote.

    Args:
        path: The file.

    Returns:
        The averages by name of the split, in the order they were written.

    Raises:
        DataError: If the file cannot be read or is not of this format.
    """
    path = Path(path)
    with open_to_read(path) as file:
        found = file.attrs.get("format_version")
        if found != FORMAT_VERSION:
            raise DataError(
                f"{path.name!r} has the format version {found} and version {FORMAT_VERSION} is read here. "
                "Name a file that `write_posterior` of this version wrote."
            )
        groups = {name: group for name, group in file.items() if isinstance(group, h5py.Group)}
        names = sorted(groups, key=lambda name: attributes_of(groups[name])["position"])
        return {name: _read_split(groups[name], attributes_of(file)["input_group"]) for name in names}


def _write_split(
    group: h5py.Group,
    posterior: Posterior,
    input_group: str,
    counts: Collection[str],
    bin_width: float | None,
) -> None:
    group.attrs.update({"n_samples": posterior.n_samples, "seed": posterior.seed})
    for name, (dims, unit) in LAYOUT.items():
        values = getattr(posterior, name)
        if values is not None:
            write_array(group, name, np.asarray(values), unit=unit, dims=dims.split())
    for target in posterior.rates:
        if target in LAYOUT or target in NO_TARGETS:
            raise DataError(f"A target group is called {target!r}, like a result. Give it another name.")
        place = group if target == input_group else group.create_group(target)
        _write_rates(place, posterior, target, target in counts, bin_width)
    for name, values in posterior.samples.items():
        unit = "arbitrary" if name != "rates" else COUNTS if input_group in counts else DATA
        write_array(group, f"samples/{name}", np.asarray(values), unit=unit, dims=SAMPLES[name].split())


def _write_rates(
    group: h5py.Group, posterior: Posterior, target: str, are_counts: bool, bin_width: float | None
) -> None:
    rates, std = np.asarray(posterior.rates[target]), np.asarray(posterior.rates_std[target])
    unit = COUNTS if are_counts else DATA
    arrays = {"rates_counts" if are_counts else "rates": (rates, unit), "rates_std": (std, unit)}
    if target in posterior.variance:
        arrays["variance"] = (np.asarray(posterior.variance[target]), f"squared {unit}")
    if are_counts:
        arrays["log_rates"] = (posterior.log_rates(target), f"log {COUNTS}")
    if are_counts and bin_width is not None:
        arrays["rates_hz"] = (rates / bin_width, "Hz")
    for name, (values, own) in arrays.items():
        write_array(group, name, values, unit=own, dims=RATES.split())


def _write_bounds(group: h5py.Group, found: Bounds) -> None:
    kinds: tuple[Kind, ...] = ("elbo", "importance_weighted")
    group.attrs.update({f"{kind}_bits_per_spike": found.bits_per_spike(kind) for kind in kinds})
    group.attrs["n_samples"] = found.n_samples
    arrays = {"elbo": found.elbo, "importance_weighted": found.importance_weighted, "null": found.null} | found.terms
    for name, values in arrays.items():
        unit = "none" if name == "correlation" else "nats"
        write_array(group, name, np.asarray(values), unit=unit, dims=["trial"])
    write_array(group, "n_spikes", np.asarray(found.n_spikes), unit="spikes", dims=["trial"])


def _read_split(group: h5py.Group, input_group: str) -> Posterior:
    places = {name: value for name, value in group.items() if isinstance(value, h5py.Group)}
    places = {input_group: group, **{name: place for name, place in places.items() if name not in NO_TARGETS}}
    facts = attributes_of(group)

    def array(place: h5py.Group, name: str) -> np.ndarray:
        return read_array(place, name, f"{name!r} of {group.name!r}")

    fields: dict[str, Any] = {name: array(group, name) if name in group else None for name in LAYOUT}
    return Posterior(
        **fields,
        rates={name: array(p, "rates_counts" if "rates_counts" in p else "rates") for name, p in places.items()},
        rates_std={name: array(place, "rates_std") for name, place in places.items()},
        variance={name: array(place, "variance") for name, place in places.items() if "variance" in place},
        samples={name: array(group, f"samples/{name}") for name in subgroup(group, "samples")},
        n_samples=int(facts["n_samples"]),
        seed=int(facts["seed"]),
    )


def _plain(value: Any) -> Any:
    """Makes plain numbers and lists of NumPy's, and text of anything else, for JSON."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
