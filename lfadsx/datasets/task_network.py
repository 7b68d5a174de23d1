"""A small recurrent network that was trained on a task, for simulations."""

from __future__ import annotations

import contextlib
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lfadsx.data.hdf5_files import open_npz
from lfadsx.errors import DataError


class TaskNetwork(NamedTuple):
    r"""The weights of a recurrent network of tanh units with one input and one output.

    .. math:: h_t = \tanh(W_R h_{t-1} + W_{in} u_t + b_R), \quad o_t = W_O h_t + b_O

    Example:
        >>> import numpy as np
        >>> from lfadsx.datasets.task_network import load_network
        >>> network = load_network("integrator_rnn")
        >>> hiddens = network.run(network.h0, np.full((1, 25), 0.02))
        >>> network.read_out(hiddens).shape
        (1, 25)
    """

    W_R: np.ndarray
    """Recurrent weights, shape (unit, unit), from the second axis to the first."""
    W_in: np.ndarray
    """Input weights, shape (unit,)."""
    b_R: np.ndarray
    """Bias of the units, shape (unit,)."""
    W_O: np.ndarray
    """Read-out weights, shape (unit,)."""
    b_O: np.ndarray
    """Bias of the read-out, shape ()."""
    h0: np.ndarray
    """State before the first bin, shape (unit,), between -1 and 1."""

    def run(self, start: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Runs the network.

        Args:
            start: States before the first input, shape (trial, unit) or (unit,), between -1 and 1.
            inputs: Inputs u, shape (trial, time), in units of the output.

        Returns:
            The states after each input, shape (trial, time, unit), between -1 and 1.
        """
        hiddens = np.empty((*inputs.shape, len(self.b_R)))
        state = np.broadcast_to(start, (len(inputs), len(self.b_R)))
        for t, u in enumerate(inputs.T):
            state = np.tanh(state @ self.W_R.T + u[:, None] * self.W_in + self.b_R)
            hiddens[:, t] = state
        return hiddens

    def read_out(self, hiddens: np.ndarray) -> np.ndarray:
        """Returns the output o for states (..., unit), shape (...)."""
        return hiddens @ self.W_O + self.b_O


def load_network(name: str, file: str = "", kind: type[Any] = TaskNetwork) -> Any:
    """Returns the weights in float64 of a network of the library or of a file.

    Args:
        name: "integrator_rnn", "itb_rnn" or "nbff".
        file: npz file of `examples/example_tools/train_networks.py` to read instead.
        kind: Class of the network, whose fields are the weights.

    Raises:
        DataError: If the file does not hold the weights of such a network.
    """
    advice = "Give an npz file of `examples/example_tools/train_networks.py`."
    stored, fields = files("lfadsx.datasets") / "weights" / f"{name}.npz", kind._fields
    try:
        with contextlib.nullcontext(file) if file else as_file(stored) as path, open_npz(Path(path)) as found:
            arrays = {key: array.read() for key, array in found.items()}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file!r} cannot be read as weights of a network: {error}. {advice}") from error
    missing = [key for key in fields if key not in arrays]
    if missing:
        raise DataError(f"{file!r} must hold all weights of a network, but lacks {', '.join(missing)}. {advice}")
    return kind(**{key: arrays[key].astype(np.float64) for key in fields})
