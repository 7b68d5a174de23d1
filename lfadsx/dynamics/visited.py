"""The states that a trained generator visits in trials, and roll-outs from any states."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.dynamics.generator_step import StepMap, packing
from lfadsx.inference.posterior_inference import has_posterior, infer
from lfadsx.models.lfads import LFADS


@dataclasses.dataclass(frozen=True, repr=False)
class Visited:
    """Trajectories of a system through trials, with the inputs that drove it.

    Attributes:
        start: State before the first bin, shape (trial, state).
        states: State after each bin, shape (trial, time, state).
        inputs: Inputs of each bin, shape (trial, time, input).
        inside: True for bins of the trial, shape (trial, time).
    """

    start: Float[np.ndarray, "trial state"]
    states: Float[np.ndarray, "trial time state"]
    inputs: Float[np.ndarray, "trial time input"]
    inside: Bool[np.ndarray, "trial time"]

    def __repr__(self) -> str:
        """Returns the sizes in one line."""
        trials, time, states = self.states.shape
        return f"Visited: {trials} trials of {time} bins, {states} states, {self.inputs.shape[2]} inputs"

    @property
    def before(self) -> Float[np.ndarray, "trial time state"]:
        """State before each bin."""
        return np.concatenate([self.start[:, None], self.states[:, :-1]], axis=1)

    @property
    def points(self) -> Float[np.ndarray, "point state"]:
        """States after all bins of all trials."""
        return self.states[self.inside]

    @property
    def centre(self) -> Float[np.ndarray, " state"]:
        """Mean of the visited states."""
        return self.points.mean(0)

    @property
    def scale(self) -> float:
        """Root mean squared distance of the visited states from their mean."""
        return float(np.sqrt(((self.points - self.centre) ** 2).sum(1).mean()))

    @property
    def speed(self) -> float:
        """Median distance that the state moves in a bin."""
        return float(np.median(np.linalg.norm(self.states - self.before, axis=2)[self.inside]))


def visit(model: LFADS, data: Dataset, system: StepMap, split: str | None = None) -> Visited:
    """Returns the states that a model's generator visits in trials, driven by posterior means.

    These are trajectories of the generator. The states of a `Posterior` are not, if they average several samples.

    Args:
        model: The model.
        data: The data set.
        system: Result of `lfadsx.dynamics.step_map` for this model.
        split: As in `lfadsx.infer`.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split.
    """
    post = infer(model, data, split, n_samples=0 if has_posterior(model) else 1)
    _, trials = trials_of(data, split)
    parts, shape = [], post.factors.shape[:2]
    if post.inputs is not None:
        parts.append(post.inputs)
    if model.known_inputs_to == "generator" and trials.known_inputs is not None:
        parts.append(trials.known_inputs)
    if post.bias is not None:
        parts.append(np.broadcast_to(post.bias[:, None], (*shape, post.bias.shape[1])))
    inside = np.arange(shape[1]) < post.length[:, None]
    inputs = np.concatenate(parts, axis=2) if parts else np.zeros((*shape, 0))
    inputs = np.where(inside[:, :, None], inputs, 0.0).astype(np.float32)
    generator = model.decoder.generator
    pack, _ = packing(generator, model.ic_prior.dim)
    start = np.asarray(pack(generator.initial_state(jnp.asarray(post.initial_condition, jnp.float32))))
    return Visited(start, np.asarray(roll_out(system, start, inputs)), inputs, inside)


@partial(jax.jit, static_argnums=0)
def roll_out(
    system: StepMap, start: Float[Array, "trial state"], inputs: Float[Array, "trial time input"]
) -> Float[Array, "trial time state"]:
    """Returns the states after each bin, from given states and with given inputs.

    Example:
        What the generator does alone, from the 50th bin of each trial on:

        >>> import lfadsx, numpy as np
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=1.0)
        >>> model = lfadsx.inferred_input(data, generator_dim=8, inferred_inputs=2, rngs=nnx.Rngs(0))
        >>> system = lfadsx.dynamics.step_map(model, data)
        >>> seen = lfadsx.dynamics.visit(model, data, system)
        >>> alone = lfadsx.dynamics.roll_out(system, seen.states[:, 49], np.zeros_like(seen.inputs[:, 50:]))
        >>> alone.shape
        (4, 50, 8)

    Args:
        system: The system.
        start: State before the first bin, shape (trial, state).
        inputs: Inputs of each bin, shape (trial, time, input).
    """

    def step(states: Array, now: Array) -> tuple[Array, Array]:
        states = system.step(states, now)
        return states, states

    _, states = jax.lax.scan(step, start, jnp.swapaxes(inputs, 0, 1))
    return jnp.swapaxes(states, 0, 1)
