"""Generation: new trials from the prior of a trained model."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from lfadsx import __version__
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.inference.memory import trials_at_once
from lfadsx.models.compatibility import n_known_of
from lfadsx.models.lfads import LFADS, Encoded
from lfadsx.random import derive
from lfadsx.results.generated import Generated
from lfadsx.results.labels import Labels, groups_of_model
from lfadsx.types import TimeAxis


def generate(
    model: LFADS,
    n_trials: int,
    n_bins: int,
    *,
    data: Dataset | None = None,
    session: str | int = 0,
    known_inputs: Float[np.ndarray, "trial time known"] | None = None,
    draw_data: bool = False,
    seed: int = 0,
) -> Generated:
    r"""Generates new trials: draws initial conditions, biases and inputs from their priors and runs the generator.

    .. math:: z \sim p(z), \quad b \sim p(b), \quad u \sim p(u), \quad g_t = generator(g_{t-1}, [v_t, b, u_t])

    A trial depends only on the seed and its own number; asking for more trials does not change the first ones.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.inferred_input(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> lfadsx.generate(model, 5, 30, data=data, draw_data=True).data["spikes"].shape
        (5, 30, 50)

    Args:
        model: The model.
        n_trials: Number of trials.
        n_bins: Number of bins of each trial; training trials may have another number.
        data: The data set that the model was trained on, for the bin width and the units of the target groups.
        session: Name or number of the session whose read-out is used.
        known_inputs: Known inputs of the trials, shape (trial, time, known); required if they drive the generator.
        draw_data: If True, data are drawn from the likelihood, too.
        seed: Seed of the draws.

    Raises:
        LfadsxError: If a number is below 1, the session is unknown, or `known_inputs` are missing, have a wrong
            shape or are not used by the model.
    """
    if n_trials < 1 or n_bins < 1:
        raise LfadsxError(f"`n_trials` and `n_bins` must be at least 1, got {n_trials} trials of {n_bins} bins.")
    number, name, widths = _session(model, session)
    _check_known(model, known_inputs, (n_trials, n_bins))
    graphdef, state = nnx.split(model)
    at_once, found = trials_at_once(model, n_bins, sum(widths.values())), []
    for first in range(0, n_trials, at_once):
        rows = np.arange(first, min(first + at_once, n_trials))
        known = None if known_inputs is None else jnp.asarray(known_inputs[rows], jnp.float32)
        one = _generate(graphdef, state, jax.random.key(seed), jnp.asarray(rows), number, known, n_bins, draw_data)
        found.append(jax.tree.map(np.asarray, one))
    every = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    for kind in ("rates", "variance", "data"):
        every[kind] = {group: values[:, :, : widths.get(group)] for group, values in every[kind].items()}
    own = Labels.of(data) if data else Labels((), TimeAxis(), groups_of_model(model), model.input_group)
    labels = {name: getattr(own, name) for name in ("time", "groups", "input_group", "source")}
    return Generated(**every, **labels, session=name, seed=seed, version=__version__)


@partial(jax.jit, static_argnums=(0, 6, 7))
def _generate(
    graphdef: Any,
    state: Any,
    key: Key[Array, ""],
    numbers: Array,
    session: int,
    known_inputs: Array | None,
    n_bins: int,
    draw_data: bool,
) -> dict[str, Any]:
    model = nnx.merge(graphdef, state)
    n_trials, prior = len(numbers), model.decoder.input_prior
    # Posterior samples have the numbers 0, 1, ...; with -1 the noise differs from theirs.
    keys = derive(derive(derive(key, -1), numbers)[:, None], jnp.arange(4))
    initial_condition = jax.vmap(lambda key: model.ic_prior.draw(key, ()))(keys[:, 0])
    inputs = None if prior is None else jax.vmap(lambda key: prior.draw(key, (n_bins,)), out_axes=1)(keys[:, 1])
    of_bias = model.bias_prior
    bias = None if of_bias is None else jax.vmap(lambda key: of_bias.draw(key, ()))(keys[:, 3])
    known = None if known_inputs is None else jnp.swapaxes(known_inputs, 0, 1)
    trajectory = model.decoder(initial_condition, n_bins, known_inputs=known, bias=bias, inputs=inputs)
    nothing = Encoded(jnp.zeros((n_trials, model.ic_prior.n_params)), None)
    output = model.observe(trajectory, jnp.full(n_trials, session), initial_condition, nothing, bias)
    data = {}
    if draw_data:
        for place, (group, params) in enumerate(output.params.items()):
            data[group] = jax.vmap(model.likelihood[group].sample)(derive(keys[:, 2], place), params)
    return {
        "rates": model.expected(output),
        "variance": model.scatter(output),
        "data": data,
        "factors": output.factors,
        "initial_condition": initial_condition,
        "initial_state": output.initial_state,
        "generator_states": output.generator_states,
        "inputs": output.inputs,
        "bias": bias,
    }


def _session(model: LFADS, session: str | int) -> tuple[int, str, dict[str, int]]:
    """Returns the number and the name of a session, and its channels per target group."""
    readouts = {group: part for group, part in model.readout.items() if part.n_targets}
    names = [name for name, _ in readouts[model.input_group].n_targets] if model.input_group in readouts else ["0"]
    if session not in names and session not in range(len(names)):
        raise LfadsxError(f"`session` must be one of {names} or its number, got {session!r}.")
    number = names.index(session) if isinstance(session, str) else session
    return number, names[number], {group: part.n_targets[number][1] for group, part in readouts.items()}


def _check_known(model: LFADS, known_inputs: np.ndarray | None, shape: tuple[int, int]) -> None:
    needed = model.known_inputs_to == "generator"
    if needed and known_inputs is None:
        raise LfadsxError("`known_inputs` (trial, time, known) must be given: they drive the generator of this model.")
    if known_inputs is not None and not needed:
        raise LfadsxError("`known_inputs` must be left out: the generator of this model does not use them.")
    n_known = n_known_of(model)
    if known_inputs is not None and np.shape(known_inputs) != (*shape, n_known or np.shape(known_inputs)[-1]):
        raise LfadsxError(
            f"`known_inputs` must have the shape (trial, time, known) of {shape[0]} trials of {shape[1]} bins with "
            f"{n_known} known inputs, got {np.shape(known_inputs)}."
        )
