"""Files of joined pieces in HDF5: a group for each session, each array with its description and its unit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lfadsx import __version__
from lfadsx.data.hdf5_files import open_to_write
from lfadsx.results.described_arrays import TARGETS, Described
from lfadsx.results.joined import Joined
from lfadsx.results.joining import join
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_arrays


def write_joined(path: str | Path, joined: Mapping[str, Joined]) -> Path:
    """Writes joined pieces to an HDF5 file, one group for each session, and returns the file."""
    with open_to_write(Path(path)) as file:
        file.attrs.update({"lfadsx_version": __version__})
        for session, values in joined.items():
            group = file.create_group(session)
            groups = {name: dataclasses.asdict(known) for name, known in values.groups.items()}
            group.attrs.update({"input_group": values.input_group, "groups": json.dumps(groups)})
            if values.bin_width is not None:
                group.attrs["bin_width_s"] = values.bin_width
            write_arrays(group, _described(values))
    return Path(path)


def write_pieces(beside: str | Path, posteriors: Mapping[str, Posterior]) -> list[Path]:
    """Joins posteriors of pieces into NAME_joined.h5, beside their own file NAME.h5; whole trials are not joined."""
    if any(post.first_bin is None for post in posteriors.values()):
        return []
    path = Path(beside)
    return [write_joined(path.with_name(f"{path.stem}_joined.h5"), join(*posteriors.values()))]


def _described(joined: Joined) -> dict[str, Described]:
    unit = "bins" if joined.bin_width is None else "s"
    found = {
        "time": Described(joined.time, "bin", unit, "Middle of each bin on the clock of the session"),
        "n_pieces": Described(joined.n_pieces, "bin", "none", "Number of pieces that cover each bin; NaN where 0"),
        "factors": Described(joined.factors, "bin factor", "arbitrary", "Factors"),
        "trial_id": Described(joined.trial_id, "trial", "none", "Ids of the joined trials; 0 for a whole recording"),
        "length": Described(joined.length, "trial", "bins", "Bins of each joined trial, which follow each other"),
    }
    for name, values in {"inputs": joined.inputs, "inputs_std": joined.inputs_std}.items():
        if values is not None:
            spread = " (standard deviation over posterior samples)" * (name == "inputs_std")
            found[name] = Described(values, "bin input", "arbitrary", f"Inferred inputs{spread}")
    if joined.channel_names:
        names = np.array(joined.channel_names)
        found["channel_names"] = Described(names, "channel", "none", "Names of the channels")
    for group in joined.rates:
        place = "" if group == joined.input_group else f"{TARGETS}/{group}/"
        found |= {place + name: array for name, array in _of_group(joined, group).items()}
    return found


def _of_group(joined: Joined, group: str) -> dict[str, Described]:
    known, dims = joined.groups[group], "bin channel" if group == joined.input_group else f"bin {group}_channel"
    counts = known.kind == "counts"
    unit = known.unit or ("counts per bin" if counts else "units of the data")
    if counts and joined.bin_width is not None:
        found = {"rates_hz": Described(joined.rates_hz(group), dims, "Hz", "Expected data per second")}
    else:
        found = {"rates_counts" if counts else "rates": Described(joined.rates[group], dims, unit, "Expected data")}
    if group in joined.rates_std:
        text = "Standard deviation of the rates over posterior samples, averaged over pieces"
        found["rates_std"] = Described(joined.rates_std[group], dims, unit, text)
    return found
