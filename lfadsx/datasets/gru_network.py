"""A gated network with latent noise that was trained on a task, for simulations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class GRUNetwork(NamedTuple):
    r"""The weights of a network of gated recurrent units with several inputs and outputs.

    .. math::
        r &= \sigma(W_{in}^r u + b_{in}^r + W_R^r h + b_R^r), \quad
        z = \sigma(W_{in}^z u + b_{in}^z + W_R^z h + b_R^z) \\
        n &= \tanh(W_{in}^n u + b_{in}^n + r \circ (W_R^n h + b_R^n)), \quad h' = (1 - z) \circ n + z \circ h

    This is the cell of PyTorch: the reset gate acts after the recurrent product. Rows of the weights are ordered reset,
    update, new. Every function takes arrays of NumPy or of JAX.

    Example:
        >>> import numpy as np
        >>> from lfadsx.datasets.gru_network import GRUNetwork
        >>> from lfadsx.datasets.task_network import load_network
        >>> network = load_network("nbff", kind=GRUNetwork)
        >>> states = network.run(network.h0, np.zeros((2, 10, 3)))
        >>> states.shape, network.read_out(states).shape
        ((2, 10, 64), (2, 10, 3))
    """

    W_R: Any
    """Recurrent weights, shape (3 unit, unit), from the second axis to the first."""
    W_in: Any
    """Input weights, shape (3 unit, input)."""
    b_R: Any
    """Bias beside the recurrent product, shape (3 unit,)."""
    b_in: Any
    """Bias beside the input, shape (3 unit,)."""
    W_O: Any
    """Read-out weights, shape (output, unit)."""
    b_O: Any
    """Bias of the read-out, shape (output,)."""
    h0: Any
    """Mean of the state before the first bin, shape (unit,)."""

    def step(self, states: Any, inputs: Any) -> Any:
        """Returns the next states, shape (trial, unit), for states (trial, unit) and inputs (trial, input) of a bin."""
        xp, n = states.__array_namespace__(), states.shape[-1]
        given, held = inputs @ self.W_in.T + self.b_in, states @ self.W_R.T + self.b_R
        gates = 0.5 + 0.5 * xp.tanh(0.5 * (given + held)[:, : 2 * n])
        reset, update = gates[:, :n], gates[:, n:]
        new = xp.tanh(given[:, 2 * n :] + reset * held[:, 2 * n :])
        return (1 - update) * new + update * states

    def run(
        self,
        start: np.ndarray,
        inputs: np.ndarray,
        noise_std: float = 0.0,
        random: np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Runs the network on arrays of NumPy.

        Args:
            start: States before the first input, shape (trial, unit) or (unit,).
            inputs: Inputs, shape (trial, time, input).
            noise_std: Standard deviation of the noise that is added to every state after every bin.
            random: Generator of the noise, which is drawn bin by bin; needed if there is noise.

        Returns:
            The states after each input with their noise, shape (trial, time, unit).
        """
        n_trials, n_bins, _ = inputs.shape
        state = np.broadcast_to(start, (n_trials, len(self.h0)))
        states = np.empty((n_trials, n_bins, len(self.h0)))
        for t in range(n_bins):
            state = self.step(state, inputs[:, t])
            if random is not None:
                state = state + noise_std * random.randn(*state.shape)
            states[:, t] = state
        return states

    def read_out(self, states: Any) -> Any:
        """Returns the outputs for states (..., unit), shape (..., output)."""
        return states @ self.W_O.T + self.b_O
