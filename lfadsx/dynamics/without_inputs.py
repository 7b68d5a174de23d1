"""What a generator does without its inputs: how far roll-outs get, and who moves the state in each bin."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lfadsx.dynamics.generator_step import StepMap
from lfadsx.dynamics.visited import Visited, roll_out

STARTS = 8
"""Most bins of a trial from which roll-outs start."""


@dataclasses.dataclass(frozen=True)
class Autonomy:
    """Share of what is observed that roll-outs predict, by the number of bins after their start.

    Attributes:
        bins: Number of bins after the start, 1, 2, ..., shape (bin,).
        alone: R2 of roll-outs without inputs, over all trials, starts and observed values; negative if their mean would
            be better, shape (bin,).
        held: R2 of what is observed at the start, as if nothing moved, shape (bin,).
        bin_width: Width of a bin in seconds, or None.
    """

    bins: Float[np.ndarray, " bin"]
    alone: Float[np.ndarray, " bin"]
    held: Float[np.ndarray, " bin"]
    bin_width: float | None = None

    @property
    def lasts(self) -> float:
        """Time in seconds (bins without a width) up to which roll-outs predict at least half; 0 if never."""
        below = np.flatnonzero(~(self.alone >= 0.5))
        n = len(self.bins) if not len(below) else below[0]
        return float(n * (self.bin_width or 1.0))


def autonomy(system: StepMap, visited: Visited, n_bins: int | None = None) -> Autonomy:
    r"""Measures what the generator does by itself, without any input, after up to `n_bins` bins.

    .. math:: R^2_h = 1 - \sum (f_{t+h} - \hat f_{t+h})^2 / \sum (f_{t+h} - \bar f)^2

    with the observed f of the trials (factors), the roll-outs from the states at up to 8 bins t of each trial, and the
    mean of f over trials and bins. An input that the model needs makes the roll-outs leave the trajectories soon. Known
    inputs and the bias of a trial count as inputs, too.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.5)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> system = lfadsx.dynamics.step_map(model, data)
        >>> found = lfadsx.dynamics.autonomy(system, lfadsx.dynamics.visit(model, data, system), 10)
        >>> bool((found.alone > 0.999).all())  # a model without inputs
        True

    Args:
        system: The system.
        visited: The states that it visits.
        n_bins: Number of bins of a roll-out; by default half of a trial.
    """
    n_time = visited.states.shape[1]
    n_bins = max(1, n_time // 2) if n_bins is None else min(n_bins, n_time - 1)
    starts = np.unique(np.linspace(0, n_time - n_bins - 1, STARTS).astype(int))
    observed = np.asarray(system.observed(visited.states))  # pyright: ignore[reportArgumentType]
    mean = observed[visited.inside].mean(0)
    errors, still, total = np.zeros((3, n_bins))
    for start in starts:
        none = np.zeros((len(visited.states), n_bins, system.n_inputs), np.float32)
        alone = np.asarray(system.observed(roll_out(system, visited.states[:, start], none)))
        later = slice(start + 1, start + 1 + n_bins)
        true, there = observed[:, later], visited.inside[:, later][:, :, None]
        errors += np.where(there, (true - alone) ** 2, 0.0).sum((0, 2))
        still += np.where(there, (true - observed[:, start : start + 1]) ** 2, 0.0).sum((0, 2))
        total += np.where(there, (true - mean) ** 2, 0.0).sum((0, 2))
    total = np.maximum(total, np.finfo(float).tiny)
    return Autonomy(np.arange(1.0, n_bins + 1), 1 - errors / total, 1 - still / total, system.bin_width)


@dataclasses.dataclass(frozen=True)
class Influence:
    """Who moves what is observed in each bin: the dynamics or the inputs; root mean squares over trials.

    Attributes:
        own: Movement without inputs, in units of the spread of the observed values, shape (time,).
        inputs: What the inputs of the bin add to it, in the same unit, shape (time,).
        bin_width: Width of a bin in seconds, or None.
    """

    own: Float[np.ndarray, " time"]
    inputs: Float[np.ndarray, " time"]
    bin_width: float | None = None


def influence(system: StepMap, visited: Visited) -> Influence:
    r"""Measures how much dynamics and inputs move what is observed (factors) in each bin of the trials.

    .. math:: f(F(x_{t-1}, 0)) - f(x_{t-1}) \quad\text{and}\quad f(F(x_{t-1}, u_t)) - f(F(x_{t-1}, 0))

    Example:
        Everything decays by a tenth, and one input of 1 comes in the fourth bin:

        >>> import numpy as np
        >>> from lfadsx.dynamics import StepMap, Visited, influence, roll_out
        >>> system = StepMap(lambda x, u: 0.9 * x + u, n_states=1, n_inputs=1)
        >>> start, inputs = np.ones((5, 1), np.float32), np.zeros((5, 8, 1), np.float32)
        >>> inputs[:, 3] = 1.0
        >>> seen = Visited(start, np.asarray(roll_out(system, start, inputs)), inputs, np.ones((5, 8), bool))
        >>> (influence(system, seen).inputs > 0).tolist()
        [False, False, False, True, False, False, False, False]

    Args:
        system: The system.
        visited: The states that it visits.
    """
    before, n_states = visited.before, system.n_states
    free = system.step(
        jnp.asarray(before.reshape(-1, n_states)), jnp.zeros((before[..., 0].size, system.n_inputs), jnp.float32)
    )
    was, alone, now = (
        np.asarray(system.observed(jnp.asarray(states)))
        for states in (before, free.reshape(before.shape), visited.states)
    )
    spread = np.maximum(now[visited.inside].std(0), np.finfo(np.float32).tiny)
    count = np.maximum(visited.inside.sum(0), 1)

    def size(change: Float[np.ndarray, "trial time observed"]) -> Float[np.ndarray, " time"]:
        squares = np.where(visited.inside, ((change / spread) ** 2).mean(2), 0.0)
        return np.where(visited.inside.any(0), np.sqrt(squares.sum(0) / count), np.nan)

    return Influence(size(alone - was), size(now - alone), system.bin_width)
