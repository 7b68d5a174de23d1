"""Linearised dynamics: Jacobians, and their eigenvalues as time constants and frequencies."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Complex, Float, Num

from lfadsx.dynamics.generator_step import StepMap

MEMORY = 2**26
"""Largest number of entries of Jacobians that are computed at a time."""


def jacobians(
    system: StepMap, states: Float[np.ndarray, "*point state"], inputs: Float[np.ndarray, "*point input"]
) -> tuple[Float[np.ndarray, "*point state state"], Float[np.ndarray, "*point state input"]]:
    r"""Returns how the next state depends on the state and on the inputs.

    .. math:: A = \partial F / \partial x, \qquad B = \partial F / \partial u

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from lfadsx.dynamics import StepMap, jacobians
        >>> system = StepMap(lambda x, u: 0.5 * x + jnp.tanh(u), n_states=1, n_inputs=1)
        >>> A, B = jacobians(system, np.zeros((3, 1)), np.zeros((3, 1)))
        >>> A.ravel().tolist(), B.ravel().tolist()
        ([0.5, 0.5, 0.5], [1.0, 1.0, 1.0])

    Args:
        system: The system.
        states: States before the step, with any leading axes.
        inputs: Inputs of the step, with the same leading axes.
    """
    leading, size = states.shape[:-1], system.n_states * (system.n_states + system.n_inputs)
    n_points = int(np.prod(leading))
    flat = states.reshape(n_points, system.n_states), inputs.reshape(n_points, system.n_inputs)
    of_states, of_inputs = _jacobians(system, *flat, max(1, MEMORY // size))
    return (
        np.asarray(of_states).reshape(*leading, system.n_states, system.n_states),
        np.asarray(of_inputs).reshape(*leading, system.n_states, system.n_inputs),
    )


@partial(jax.jit, static_argnums=3)
def _jacobians(system: StepMap, states: Array, inputs: Array, at_once: int) -> tuple[Array, Array]:
    def one(point: tuple[Array, Array]) -> tuple[Array, Array]:
        return jax.jacfwd(lambda x, u: system.step(x[None], u[None])[0], argnums=(0, 1))(*point)

    return jax.lax.map(one, (states, inputs), batch_size=at_once)


@dataclasses.dataclass(frozen=True, repr=False)
class Modes:
    r"""Eigenvalues and eigenvectors of Jacobians, the slowest mode of each point first.

    .. math:: A R = R \, \mathrm{diag}(\lambda), \qquad L = R^{-1}

    A small deviation from a fixed point is a sum of modes, each of which is multiplied by its eigenvalue in every bin.

    Attributes:
        eigenvalues: Shape (point, mode), by falling magnitude.
        right: Right eigenvectors of unit length, the patterns of the modes, shape (point, state, mode).
        left: Left eigenvectors, what excites a mode, shape (point, mode, state).
        bin_width: Width of a bin in seconds, or None: times are then in bins, frequencies in cycles per bin.
    """

    eigenvalues: Complex[np.ndarray, "point mode"]
    right: Complex[np.ndarray, "point state mode"]
    left: Complex[np.ndarray, "point mode state"]
    bin_width: float | None = None

    @classmethod
    def of(cls, jacobian: Float[np.ndarray, "point state state"], bin_width: float | None = None) -> Modes:
        """Returns the modes of Jacobians.

        Example:
            A rotation that takes 20 bins, and whose amplitude halves in as many:

            >>> import numpy as np
            >>> from lfadsx.dynamics import Modes
            >>> angle, kept = 2 * np.pi / 20, 0.5 ** (1 / 20)
            >>> turn = kept * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            >>> modes = Modes.of(turn[None], bin_width=0.01)
            >>> modes.frequencies.round(3).tolist(), (modes.time_constants * np.log(2)).round(3).tolist()
            ([[5.0, 5.0]], [[0.2, 0.2]])
        """
        values, right = np.linalg.eig(np.asarray(jacobian, float))
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1).astype(complex)
        right = np.take_along_axis(right, order[:, None], axis=2).astype(complex)
        # Defective matrices have no inverse of R; the pseudo-inverse then stands for it.
        return cls(values, right, np.linalg.pinv(right), bin_width)

    @property
    def time_constants(self) -> Float[np.ndarray, "point mode"]:
        r"""Time in seconds after which a mode is left to 1/e; negative for modes that grow.

        .. math:: \tau = -\Delta / \ln |\lambda|
        """
        return time_constants(self.eigenvalues, self.bin_width)

    @property
    def frequencies(self) -> Float[np.ndarray, "point mode"]:
        r"""Frequency in Hz at which a mode rotates; 0 for modes that do not.

        .. math:: f = |\arg \lambda| / (2 \pi \Delta)

        A negative real eigenvalue gives half of the bin rate, which usually means nothing.
        """
        return frequencies(self.eigenvalues, self.bin_width)


def time_constants(eigenvalues: Num[np.ndarray, "..."], bin_width: float | None = None) -> Float[np.ndarray, "..."]:
    """Returns time constants in seconds (bins without `bin_width`), negative for growth, infinite for |λ| = 1."""
    with np.errstate(divide="ignore"):
        return -(bin_width or 1.0) / np.log(np.abs(eigenvalues))


def frequencies(eigenvalues: Num[np.ndarray, "..."], bin_width: float | None = None) -> Float[np.ndarray, "..."]:
    """Returns frequencies in Hz (cycles per bin without `bin_width`)."""
    return np.abs(np.angle(eigenvalues)) / (2 * np.pi * (bin_width or 1.0))
