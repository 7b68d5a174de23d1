"""Files of results in HDF5: each array with its description, its unit and the names of its dimensions."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lfadsx.damaged_files import readable
from lfadsx.data.hdf5_files import (
    as_text,
    attributes_of,
    items_of,
    open_to_read,
    open_to_write,
    read_array,
    subgroup,
    write_array,
)
from lfadsx.data.split_names import split_name
from lfadsx.errors import DataError
from lfadsx.files import plain
from lfadsx.results.described_arrays import FIELDS, TARGETS, Described, described_arrays
from lfadsx.results.posterior import Posterior, join_posteriors
from lfadsx.types import TargetGroup, TimeAxis

if TYPE_CHECKING:
    from lfadsx.inference.bounds import Bounds, Kind
    from lfadsx.results.generated import Generated

FORMAT_VERSION = 2


def write_posteriors(
    path: str | Path,
    posteriors: Mapping[str, Posterior],
    *,
    bounds: Mapping[str, Bounds] | None = None,
    compression: str | None = "gzip",
) -> Path:
    """Writes posteriors of some splits to an HDF5 file, one group for each split, and returns the file.

    A split's group holds the fields of `Posterior`. Rates are `rates_counts` (counts per bin), `rates_hz` (if the bin
    width is known), `rates_std` and `log_rates`; for real numbers `rates`, `rates_std` and `variance`. Other target
    groups are in `targets`, single samples in `samples`, bounds of the evidence (nats, one for each trial) in `bounds`.
    Each array has the attributes `description`, `unit` and `dims`; bins after a trial's end hold NaN. Facts that all
    splits share, such as the bin width, are attributes of the file.

    Args:
        path: The file; its folder is created if needed.
        posteriors: The posteriors by name of the split.
        bounds: Bounds of the evidence by name of the split, from `lfadsx.bounds`.
        compression: "gzip", "lzf", or None for no compression.
    """
    facts = {name: _facts(posterior) for name, posterior in posteriors.items()}
    first, *others = facts.values()
    shared = {fact: value for fact, value in first.items() if all(other.get(fact) == value for other in others)}
    with open_to_write(Path(path)) as file:
        file.attrs.update(shared | {"format_version": FORMAT_VERSION})
        for position, (name, posterior) in enumerate(posteriors.items()):
            group = file.create_group(name)
            own = {fact: value for fact, value in facts[name].items() if fact not in shared}
            group.attrs.update(own | {"position": position})
            write_arrays(group, described_arrays(posterior), compression)
            if bounds is not None and name in bounds:
                _write_bounds(group.create_group("bounds"), bounds[name])
    return Path(path)


def write_generated(path: str | Path, generated: Generated, *, compression: str | None = "gzip") -> Path:
    """Writes generated trials to an HDF5 file and returns it: the arrays as in `write_posteriors`, and drawn `data`."""
    with open_to_write(Path(path)) as file:
        file.attrs.update(_facts(generated) | {"session": generated.session})
        write_arrays(file, described_arrays(generated), compression)
    return Path(path)


def read_posterior(path: str | Path, split: str | None = None) -> Posterior:
    """Returns the posterior of a split from a file of `Posterior.save` or of a run.

    Example:
        ```python
        post = lfadsx.read_posterior("runs/first/posterior.h5")
        ```

    Args:
        path: The file.
        split: As in `lfadsx.infer`.

    Raises:
        DataError: If the file cannot be read or is not of this format.
        LfadsxError: If it has no such split.
    """
    with _open(Path(path)) as splits:
        name = split_name(splits, split)
        if name in splits:
            return _read(splits[name])
        return join_posteriors([_read(group) for group in splits.values()])


def read_posteriors(path: str | Path) -> dict[str, Posterior]:
    """Returns the posteriors of all splits by name, in the order of writing; errors as in `read_posterior`."""
    with _open(Path(path)) as splits:
        return {name: _read(group) for name, group in splits.items()}


@contextlib.contextmanager
def _open(path: Path) -> Iterator[dict[str, h5py.Group]]:
    """Opens a file of posteriors and yields the groups of its splits in the order of writing."""
    with open_to_read(path) as file:
        found = file.attrs.get("format_version")
        groups = {name: group for name, group in items_of(file).items() if isinstance(group, h5py.Group)}
        if found not in (1, FORMAT_VERSION) or not groups:
            raise DataError(
                f"{path.name!r} must be a file of posteriors of format version 1 or {FORMAT_VERSION}, got version "
                f"{found} with {len(groups)} splits. Name a file that `Posterior.save` or a run of lfadsx wrote."
            )
        with _content(path):
            position = {name: int(attributes_of(group)["position"]) for name, group in groups.items()}
        yield {name: groups[name] for name in sorted(groups, key=position.__getitem__)}


def _content(file: str | Path) -> contextlib.AbstractContextManager[None]:
    """Turns the errors of facts that are missing or of another type into a `DataError`."""
    return readable(f"The posterior in {str(file)!r} is damaged", "Copy the file again, or infer again.")


def _facts(result: Posterior | Generated) -> dict[str, Any]:
    """Returns the facts of a result besides its arrays, as attributes of a file."""
    facts = {
        "lfadsx_version": result.version,
        "seed": result.seed,
        "input_group": result.input_group,
        "groups": json.dumps({name: dataclasses.asdict(group) for name, group in result.groups.items()}),
        "start_s": result.time.start,
        "event": result.time.event,
        "source": json.dumps(plain(result.source)),
    }
    for name in ("n_samples", "split", "sessions", "behaviour_name", "behaviour_lag", "kappa"):
        if (value := getattr(result, name, None)) is not None:
            facts[name] = value
    facts |= {"encoder_groups": groups} if (groups := getattr(result, "encoder_groups", ())) else {}
    facts |= {"without_inputs": True} if getattr(result, "without_inputs", False) else {}
    return facts | ({} if result.time.bin_width is None else {"bin_width_s": result.time.bin_width})


def write_arrays(place: h5py.Group, arrays: Mapping[str, Described], compression: str | None = "gzip") -> None:
    """Writes arrays into a group, each with its description, its unit and the names of its dimensions."""
    for name, (values, dims, unit, description) in arrays.items():
        about = {"description": description, "unit": unit, "dims": dims.split()}
        write_array(place, name, np.asarray(values), compression=compression, **about)


def _write_bounds(group: h5py.Group, found: Bounds) -> None:
    kinds: tuple[Kind, ...] = ("elbo", "importance_weighted")
    group.attrs.update({f"{kind}_bits_per_spike": found.bits_per_spike(kind) for kind in kinds})
    group.attrs["n_samples"] = found.n_samples
    described = {
        "elbo": "Evidence lower bound",
        "importance_weighted": "Importance-weighted bound of the log evidence",
        "null": "Log likelihood under the mean rate of each neuron",
        "reconstruction": "Negative log likelihood, mean over samples",
        "kl_ic": "Divergence of the initial condition's posterior from its prior",
        "kl_inputs": "Divergence of the inputs' posterior from their prior",
        "kl_bias": "Divergence of the posterior of the bias from its prior",
        "correlation": "Correlation of the inputs, a penalty of training",
    }
    arrays = {
        name: Described(values, "trial", "none" if name == "correlation" else "nats", description)
        for name, description in described.items()
        if (values := getattr(found, name, found.terms.get(name))) is not None
    }
    arrays["n_spikes"] = Described(found.n_spikes, "trial", "spikes", "Number of spikes of each trial")
    write_arrays(group, arrays)


def _read(group: h5py.Group) -> Posterior:
    """Returns the posterior in the group of a split."""
    with _content(group.file.filename):
        return _posterior(group)


def _posterior(group: h5py.Group) -> Posterior:
    facts = attributes_of(group.file) | attributes_of(group)
    groups, places = _target_groups(group, facts)

    def array(place: h5py.Group, name: str) -> np.ndarray:
        return read_array(place, name, f"{name!r} of {group.name!r}")

    fields: dict[str, Any] = {name: array(group, name) if name in group else None for name in FIELDS}
    width = facts.get("bin_width_s")
    return Posterior(
        **fields,
        rates={n: array(p, "rates" if groups[n].kind == "real" else "rates_counts") for n, p in places.items()},
        rates_std={name: array(place, "rates_std") for name, place in places.items() if "rates_std" in place},
        variance={name: array(place, "variance") for name, place in places.items() if "variance" in place},
        samples={name: array(group, f"samples/{name}") for name in subgroup(group, "samples")},
        n_samples=int(facts["n_samples"]),
        seed=int(facts["seed"]),
        kappa=facts.get("kappa"),
        without_inputs=bool(facts.get("without_inputs", False)),
        split=facts.get("split", str(group.name).strip("/")),
        sessions=tuple(as_text(name) for name in facts["sessions"]),
        time=TimeAxis(
            None if width is None else float(width),
            float(facts.get("start_s", 0.0)),
            facts.get("event", TimeAxis.event),
        ),
        groups=groups,
        input_group=facts["input_group"],
        encoder_groups=tuple(as_text(name) for name in facts.get("encoder_groups", ())),
        behaviour_name=facts.get("behaviour_name", Posterior.behaviour_name),
        behaviour_lag=float(facts.get("behaviour_lag", 0.0)),
        version=facts["lfadsx_version"],
        source=json.loads(facts["source"]),
    )


def _target_groups(group: h5py.Group, facts: dict[str, Any]) -> tuple[dict[str, TargetGroup], dict[str, h5py.Group]]:
    """Returns kinds and units of the target groups of a split, and the HDF5 groups of their arrays."""
    first = facts["input_group"]
    if facts["format_version"] == FORMAT_VERSION:
        groups = {name: TargetGroup(**known) for name, known in json.loads(facts["groups"]).items()}
        others = subgroup(group, TARGETS)
        return groups, {name: group if name == first else others[name] for name in groups}
    # In version 1 other target groups are beside the arrays, and the names of the rates tell their kinds.
    others = {name: place for name, place in items_of(group).items() if isinstance(place, h5py.Group)}
    places = {first: group} | {name: place for name, place in others.items() if name not in ("samples", "bounds")}
    counts, real = TargetGroup("counts", "counts per bin"), TargetGroup("real")
    return {name: counts if "rates_counts" in place else real for name, place in places.items()}, places
