"""The states that a trained generator visits in trials, and roll-outs from any states."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.dynamics.generator_step import StepMap, packing
from lfadsx.errors import LfadsxError
from lfadsx.inference.posterior_inference import has_posterior, infer
from lfadsx.models.lfads import LFADS
from lfadsx.results.posterior import Posterior


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


def visit(
    model: LFADS, data: Dataset, system: StepMap, split: str | None = None, *, posterior: Posterior | None = None
) -> Visited:
    """Returns the states that a model's generator visits in trials, driven by posterior means.

    These are trajectories of the generator. The states of a `Posterior` are not, if they average several samples.

    Args:
        model: The model.
        data: The data set.
        system: Result of `lfadsx.dynamics.step_map` for this model.
        split: As in `lfadsx.infer`.
        posterior: Posterior of this split, whose initial conditions and inputs are taken; by default they are inferred.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split.
    """
    if posterior is None:
        posterior = infer(model, data, split, n_samples=0 if has_posterior(model) else 1)
    _, trials = trials_of(data, split)
    parts, shape = [], posterior.factors.shape[:2]
    if posterior.inputs is not None:
        parts.append(posterior.inputs)
    if model.known_inputs_to == "generator" and trials.known_inputs is not None:
        parts.append(trials.known_inputs)
    if posterior.bias is not None:
        parts.append(np.broadcast_to(posterior.bias[:, None], (*shape, posterior.bias.shape[1])))
    inside = np.arange(shape[1]) < posterior.length[:, None]
    inputs = np.concatenate(parts, axis=2) if parts else np.zeros((*shape, 0))
    inputs = np.where(inside[:, :, None], inputs, 0.0).astype(np.float32)
    generator = model.decoder.generator
    pack, _ = packing(generator, model.ic_prior.dim)
    start = np.asarray(pack(generator.initial_state(jnp.asarray(posterior.initial_condition, jnp.float32))))
    return Visited(start, np.asarray(roll_out(system, start, inputs)), inputs, inside)


@jax.jit
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


def held_inputs(
    system: StepMap, visited: Visited, inputs: Any, n_points: int, biased: Float[np.ndarray, "point bias"] | None = None
) -> Float[np.ndarray, "point input"]:
    """Returns inputs that are held at each of some points.

    Args:
        system: The system.
        visited: The states that it visits.
        inputs: "zero"; "mean" of the visited ones; "bias", which keeps the bias of each point and is zero else; or
            numbers, shape (input,), or (point, input) with the inputs of each point.
        n_points: Number of points.
        biased: Biases of the points; None if they have none, and then `inputs` must not be "bias".

    Raises:
        LfadsxError: If the inputs are none of these.
    """
    if isinstance(inputs, str):
        choices = {"zero": np.zeros(system.n_inputs), "mean": visited.inputs[visited.inside].mean(0)}
        if biased is not None and biased.shape[1]:
            choices["bias"] = np.pad(biased, ((0, 0), (system.n_inputs - biased.shape[1], 0)))
        if inputs not in choices:
            raise LfadsxError(f"`inputs` must be {', '.join(map(repr, choices))} or numbers, got {inputs!r}.")
        inputs = choices[inputs]
    values = np.asarray(inputs, float)
    if values.shape not in ((system.n_inputs,), (n_points, system.n_inputs)):
        raise LfadsxError(
            f"`inputs` must have the shape ({system.n_inputs},), or ({n_points}, {system.n_inputs}) with the inputs of "
            f"each point, got {values.shape}. The inputs are {list(system.input_names)}."
        )
    return np.broadcast_to(values, (n_points, system.n_inputs)).astype(np.float32)
