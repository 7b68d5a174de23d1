"""Parameters of a model in a file for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from flax import nnx

from lfadsx.data.hdf5_files import open_to_write
from lfadsx.interop.tensorflow import to_tensorflow
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import describe


def write_parameters(path: str | Path, model: LFADS, *, keys: Literal["lfadsx", "tf"] = "lfadsx") -> list[str]:
    """Writes all parameters of a model to an HDF5 file.

    Example:
        ```python
        lfadsx.interop.write_parameters("parameters.h5", lfadsx.load("runs/first"))
        ```

    Args:
        path: The file; its folder is made if it does not exist.
        model: The model.
        keys: "lfadsx" for the paths of the parameters, such as `decoder/generator/gru/bias`, with a description of the
            parts as attribute `model`; "tf" for names and shapes of the TensorFlow LFADS.

    Raises:
        DataError: If the file cannot be written.
        LfadsxError: If `keys` is "tf" and the TensorFlow LFADS lacks a part of the model.
    """
    if keys == "tf":
        arrays = to_tensorflow(model)
    else:
        leaves = nnx.to_flat_state(nnx.state(model))
        arrays = {"/".join(map(str, path)): np.asarray(value[...]) for path, value in leaves}
    with open_to_write(Path(path)) as file:
        for name, values in arrays.items():
            file[name] = values
        if keys == "lfadsx":
            file.attrs["model"] = json.dumps(describe(model))
    return list(arrays)
