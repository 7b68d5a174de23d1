"""Files of generated trials."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfadsx.data.hdf5_files import open_to_write, write_array
from lfadsx.inference.results_file import COUNTS, DATA, RATES
from lfadsx.types import INPUT_GROUP

if TYPE_CHECKING:
    from lfadsx.inference.generation import Generated

LAYOUT = {
    "factors": "trial time factor",
    "initial_condition": "trial ic",
    "initial_state": "trial generator",
    "generator_states": "trial time generator",
    "inputs": "trial time input",
}
"""Axes of the arrays but for rates and data; their unit is arbitrary."""


def write_generated(
    path: str | Path,
    generated: Generated,
    *,
    bin_width: float | None,
    input_group: str = INPUT_GROUP,
    count_groups: Collection[str],
    version: str,
    source: Mapping[str, Any],
) -> None:
    """Writes generated trials to an HDF5 file, each array with its unit and the names of its axes.

    The file holds the fields of `Generated`. Rates are `rates_counts` (counts per bin) and `rates_hz` (when the bin
    width is known), for data that are no counts `rates` and
    `variance`; drawn data are `data`. Other target groups have a group of
    their own.

    Example:
        ```python
        found = lfadsx.prior_sample(model, 50, 100, draw_data=True)
        write_generated("new.h5", found, bin_width=0.01, count_groups=["spikes"], version="0.1.0", source={})
        ```

    Args:
        path: The file; its folder is made when it does not exist.
        generated: The trials.
        bin_width: Width of a bin in seconds, or None when unknown.
        input_group: The target group whose channels the encoder sees.
        count_groups: The target groups whose data are counts.
        version: Version of the program.
        source: Where the model came from.

    Raises:
        DataError: If the file cannot be written.
    """
    with open_to_write(Path(path)) as file:
        facts = {"lfadsx_version": version, "session": generated.session, "seed": generated.seed}
        file.attrs.update(facts | {"input_group": input_group, "source": json.dumps(dict(source), default=str)})
        if bin_width is not None:
            file.attrs["bin_width_s"] = bin_width
        for name, dims in LAYOUT.items():
            values = getattr(generated, name)
            if values is not None:
                write_array(file, name, np.asarray(values), unit="arbitrary", dims=dims.split())
        for group, rates in generated.rates.items():
            place = file if group == input_group else file.create_group(group)
            counts = group in count_groups
            arrays = {"rates_counts" if counts else "rates": (rates, COUNTS if counts else DATA)}
            if counts and bin_width is not None:
                arrays["rates_hz"] = (rates / bin_width, "Hz")
            if group in generated.variance:
                arrays["variance"] = (generated.variance[group], f"squared {DATA}")
            if group in generated.data:
                arrays["data"] = (generated.data[group], COUNTS if counts else DATA)
            for name, (values, unit) in arrays.items():
                write_array(place, name, np.asarray(values), unit=unit, dims=RATES.split())
