"""Test runs of single parts: inputs and expected shapes of outputs for each seam."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from lfadsx.errors import LfadsxError, PartError

Inputs = dict[str, Array]
Outputs = dict[str, Array]
TRIALS, BINS = 3, 5


@dataclasses.dataclass(frozen=True)
class Exercise:
    """Test run of one part.

    Attributes:
        inputs: Input arrays by name.
        trial_axis: Trial axis of each input.
        run: Returns the outputs by name, trial first, for the part and the inputs.
        shapes: Expected shape of each output.
        what: Description of the inputs.
    """

    inputs: Inputs
    trial_axis: Mapping[str, int]
    run: Callable[[Any, Inputs], Outputs]
    shapes: Mapping[str, tuple[int, ...]]
    what: str


def exercise(seam: str, part: Any, widths: Mapping[str, Any]) -> Exercise:
    """Returns the test run of a part of a seam, with inputs of the documented widths."""
    return _EXERCISES[seam](part, widths)


def run_abstractly(seam: str, part: nnx.Module, widths: Mapping[str, Any]) -> None:
    """Runs a part on abstract arrays; `widths` are those of the seam's documented names."""
    one, name = exercise(seam, part, widths), f"{seam} {type(part).__name__}"
    try:
        outputs = jax.eval_shape(lambda inputs: one.run(part, inputs), one.inputs)
    except Exception as error:
        raise PartError(
            f"The {name} raises {type(error).__name__} for {one.what}: {error}. Build it for these widths, or see the "
            "traceback above."
        ) from error
    if wrong := wrong_shapes(one, outputs):
        raise LfadsxError(f"The {name} must return arrays that fit {one.what}. " + " ".join(wrong))


def wrong_shapes(one: Exercise, outputs: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for every output with a wrong shape."""
    return [
        f"`{name}` must have the shape {tuple(shape)}, got {tuple(np.shape(outputs[name]))}."
        for name, shape in one.shapes.items()
        if tuple(np.shape(outputs[name])) != tuple(shape)
    ]


def _normal(*shape: int, seed: int = 0) -> Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.result_type(float))


def _readin(part: Any, widths: Mapping[str, Any]) -> Exercise:
    sizes = widths["n_channels"]
    n, session = max(n for _, n in sizes), jnp.arange(TRIALS) % len(sizes)
    return Exercise(
        {"x": jnp.abs(_normal(TRIALS, BINS, n)), "session": session},
        {"x": 0, "session": 0},
        lambda part, given: {"features": part(given["x"], given["session"])},
        {"features": (TRIALS, BINS, part.n_features)},
        f"{n} channels",
    )


def _encoder(part: Any, widths: Mapping[str, Any]) -> Exercise:
    n_in, length = widths["n_in"], jnp.array([BINS, 2, 4])

    def run(part: Any, given: Inputs) -> Outputs:
        states, ends = part(given["sequence"], given["length"])
        return {"states": states, "ends": ends}

    return Exercise(
        {"sequence": _normal(TRIALS, BINS, n_in), "length": length},
        {"sequence": 0, "length": 0},
        run,
        {"states": (TRIALS, BINS, part.n_states), "ends": (TRIALS, part.n_ends)},
        f"a sequence of width n_in = {n_in}",
    )


def _run_recurrent(part: Any, start: Any, known: Array | None, live: Array | None) -> Outputs:
    """Runs a part bin by bin, as the decoder does."""

    def step(state: Any, now: tuple[Any, Any]) -> tuple[Any, Array]:
        state = part.step(state, *now)
        return state, part.readable(state)

    _, states = jax.lax.scan(step, start, (part.project(known), live), length=BINS)
    return {"initial_state": part.readable(start), "states": jnp.swapaxes(states, 0, 1)}


def _series(**n: int) -> Inputs:
    """Returns a sequence, time first, for each width above 0."""
    named = enumerate(n.items(), start=1)
    return {name: _normal(BINS, TRIALS, width, seed=seed) for seed, (name, width) in named if width}


def _controller(part: Any, widths: Mapping[str, Any]) -> Exercise:
    n_encoding, n_feedback = widths["n_encoding"], widths["n_feedback"]

    def run(part: Any, given: Inputs) -> Outputs:
        start = part.initial_state(given["encoding"].shape[1])
        return _run_recurrent(part, start, given["encoding"], given.get("feedback"))

    inputs = {"encoding": jnp.zeros((BINS, TRIALS, 0))} | _series(encoding=n_encoding, feedback=n_feedback)
    return Exercise(
        inputs,
        dict.fromkeys(inputs, 1),
        run,
        {"initial_state": (TRIALS, part.n_state), "states": (TRIALS, BINS, part.n_state)},
        f"n_encoding = {n_encoding} and n_feedback = {n_feedback}",
    )


def _generator(part: Any, widths: Mapping[str, Any]) -> Exercise:
    n_ic, n_known, n_inferred = (widths[name] for name in ("n_ic", "n_known_inputs", "n_inferred_inputs"))

    def run(part: Any, given: Inputs) -> Outputs:
        start = part.initial_state(given["initial_condition"])
        return _run_recurrent(part, start, given.get("known"), given.get("inferred"))

    series = _series(known=n_known, inferred=n_inferred)
    return Exercise(
        {"initial_condition": _normal(TRIALS, n_ic), **series},
        {"initial_condition": 0, **dict.fromkeys(series, 1)},
        run,
        {"initial_state": (TRIALS, part.n_state), "states": (TRIALS, BINS, part.n_state)},
        f"n_ic = {n_ic}, n_known_inputs = {n_known} and n_inferred_inputs = {n_inferred}",
    )


def _prior(part: Any, widths: Mapping[str, Any]) -> Exercise:
    params = 0.5 * _normal(TRIALS, BINS, part.n_params) - 0.5
    noise = jnp.stack([part.noise(key, (BINS,)) for key in jax.random.split(jax.random.key(0), TRIALS)])

    def run(part: Any, given: Inputs) -> Outputs:
        params = given["params"]
        path = part.sample(params, given["noise"])
        found = {"sample": path, "mean": part.posterior_mean(params), "std": part.posterior_std(params)}
        found |= {"kl": part.kl(params, path), "log_prob": part.log_prob(path)}
        return found | {"posterior_log_prob": part.posterior_log_prob(params, path)}

    shapes: dict[str, tuple[int, ...]] = {name: (TRIALS, BINS, part.dim) for name in ("sample", "mean", "std")}
    shapes |= {name: (TRIALS, BINS) for name in ("kl", "log_prob", "posterior_log_prob")}
    what = f"n_params = {part.n_params} and dim = {part.dim}"
    return Exercise({"params": params, "noise": noise}, {"params": 0, "noise": 0}, run, shapes, what)


def _likelihood(part: Any, widths: Mapping[str, Any]) -> Exercise:
    n_channels = 4
    data = jnp.full((TRIALS, BINS, n_channels), float(part.safe_value)).at[:, :, 0].set(1.0)

    def run(part: Any, given: Inputs) -> Outputs:
        found = {"log_prob": part.log_prob(given["params"], given["data"]), "mean": part.mean(given["params"])}
        variance = part.variance(given["params"])
        return found if variance is None else found | {"variance": variance}

    params = 0.5 * _normal(TRIALS, BINS, n_channels, part.n_params)
    shapes = {name: data.shape for name in ("log_prob", "mean")}
    return Exercise(
        {"params": params, "data": data}, {"params": 0, "data": 0}, run, shapes, f"{part.n_params} parameters"
    )


def _readout(part: Any, widths: Mapping[str, Any]) -> Exercise:
    sizes, n_factors, n_params = widths["n_targets"], widths["n_factors"], widths["n_params"]
    n = max(n for _, n in sizes)
    return Exercise(
        {"factors": _normal(TRIALS, BINS, n_factors), "session": jnp.arange(TRIALS) % len(sizes)},
        {"factors": 0, "session": 0},
        lambda part, given: {"params": part(given["factors"], given["session"])},
        {"params": (TRIALS, BINS, n, n_params)},
        f"n_factors = {n_factors}, {n} channels and n_params = {n_params}",
    )


_EXERCISES: dict[str, Callable[[Any, Mapping[str, Any]], Exercise]] = {
    "readin": _readin,
    "ic_encoder": _encoder,
    "input_encoder": _encoder,
    "controller": _controller,
    "generator": _generator,
    "ic_prior": _prior,
    "bias_prior": _prior,
    "input_prior": _prior,
    "likelihood": _likelihood,
    "readout": _readout,
}
