"""A small recurrent network that was trained on a task, as the simulations use it."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np

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


def load_network(name: str, file: str = "") -> TaskNetwork:
    """Returns the weights in float64 of a network that comes with the library, or of one's own.

    Args:
        name: "integrator_rnn" or "itb_rnn".
        file: npz file of `lfadsx.datasets.train_networks` to read instead.

    Raises:
        DataError: If the file is none that `train_networks` wrote.
    """
    arrays = _read(file) if file else _stored(name)
    return TaskNetwork(**{key: arrays[key].astype(np.float64) for key in TaskNetwork._fields})


def training_facts(name: str) -> dict[str, float]:
    """Returns the seed, number of steps and final mean squared error of the training of a shipped network."""
    return {key: values.item() for key, values in _stored(name).items() if key not in TaskNetwork._fields}


def _read(file: str) -> dict[str, np.ndarray]:
    advice = "Give an npz file of `python -m lfadsx.datasets.train_networks`."
    try:
        with np.load(file) as found:
            arrays = dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file!r} cannot be read as weights of a network: {error}. {advice}") from error
    missing = [key for key in TaskNetwork._fields if key not in arrays]
    if missing:
        raise DataError(f"{file!r} lacks the weights {', '.join(missing)}. {advice}")
    return arrays


def _stored(name: str) -> dict[str, np.ndarray]:
    with as_file(files("lfadsx.datasets") / "weights" / f"{name}.npz") as path, np.load(path) as arrays:
        return dict(arrays)
