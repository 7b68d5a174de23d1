"""The conformance test of every seam, for built-in parts and for parts of users."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from lfadsx.errors import LfadsxError
from lfadsx.models.exercises import Exercise, Outputs, exercise, wrong_shapes
from lfadsx.models.seams import SEAMS, arguments, make
from lfadsx.models.serialization import describe
from lfadsx.modules import AbstractAugmentation
from lfadsx.testing.augmentation_checks import failures_of_augmentation
from lfadsx.training import checkpoint

WIDTHS: dict[str, Any] = {
    "n_channels": (("session", 5),),
    "n_features": 4,
    "n_in": 3,
    "n_units": 5,
    "lag": 1,
    "n_encoding": 6,
    "n_feedback": 3,
    "n_ic": 4,
    "n_known_inputs": 2,
    "n_inferred_inputs": 3,
    "dim": 3,
    "n_factors": 3,
    "n_targets": (("session", 5),),
    "n_params": 1,
    "n_constant": 0,
    "variance_min": 1e-6,
    "noise_variance": 0.5,
}
"""Widths for making a class."""

NONE = {"n_known_inputs": 0, "n_inferred_inputs": 0, "n_feedback": 0, "n_params": 1, "n_constant": 0}
"""Widths of a part without such a name."""


class _Case(NamedTuple):
    """A part under test: its seam, widths and exercise, and the compiled run from its state and inputs."""

    seam: str
    part: Any
    widths: dict[str, Any]
    one: Exercise
    run: Callable[..., Outputs]


def check(part: Any, **widths: Any) -> None:
    """Runs the conformance test of a part's seam, which takes a few seconds.

    The test checks shapes, finite outputs and gradients, float64, saving and loading. It compares a trial alone with
    the same trial padded in a batch, and a member of a population with the part alone.

    Example:
        >>> import lfadsx.testing
        >>> from lfadsx.modules import GRUController
        >>> lfadsx.testing.check(GRUController)

    Args:
        part: A read-in, read-out, encoder, controller, generator, prior, likelihood or augmentation: an instance, or a
            class whose constructor requires only the documented names of its seam.
        **widths: Widths by the documented names of the seam, such as n_in; required if an instance does not keep them
            as attributes.

    Raises:
        LfadsxError: If the part fails; the message lists the failures.
    """
    kind = part if isinstance(part, type) else type(part)
    if issubclass(kind, AbstractAugmentation):
        made = part() if isinstance(part, type) else part
        failures = [*_guarded("It cannot be run", failures_of_augmentation, made), *_guarded("Saving", _saved, made)]
    else:
        failures = _failures(part, kind, widths)
    if failures:
        raise LfadsxError(
            f"{kind.__name__} must do what its seam promises, but does not:\n" + "\n".join(f"* {f}" for f in failures)
        )


def _failures(part: Any, kind: type, given: dict[str, Any]) -> list[str]:
    seam = next((seam for seam, (abstract, _) in SEAMS.items() if issubclass(kind, abstract)), None)
    if seam is None:
        names = ", ".join(dict.fromkeys(abstract.__name__ for abstract, _ in SEAMS.values()))
        raise LfadsxError(
            f"A part must derive from one of {names} or AbstractAugmentation, but {kind.__name__} does not."
        )
    widths = _widths(seam, part, given)
    if isinstance(part, type):
        made = make(seam, part, **widths, rngs=nnx.Rngs(0))
        widths |= {name: getattr(made, name, widths[name]) for name in widths}
    else:
        made = nnx.clone(part)
    _stir(made)
    structure = nnx.graphdef(made)
    try:
        one = exercise(seam, made, widths)
    except Exception as error:
        return [_in_words("It cannot be run", error)]
    run = jax.jit(lambda state, inputs: one.run(nnx.merge(structure, state), inputs))
    case = _Case(seam, made, widths, one, run)
    found = _guarded("It cannot be run", _shapes, case)
    if found:  # the other steps would repeat these failures
        return found
    steps: tuple[tuple[str, Callable[..., Iterator[str]]], ...] = (
        ("A trial alone", _alone),
        ("Gradients", _gradients),
        ("float64", _double),
        ("A member of a population", _member),
        ("The seam", _of_seam),
    )
    for what, step in steps:
        found += _guarded(what, step, case)
    return found + _guarded("Saving", _saved, made)


def _guarded(what: str, step: Callable[..., Iterator[str]], *given: Any) -> list[str]:
    """Returns the failures of a step; an exception is a failure, too."""
    try:
        return list(step(*given))
    except Exception as error:
        return [_in_words(what, error)]


def _in_words(what: str, error: Exception) -> str:
    text = str(error).strip().split("\n\n")[0]
    return f"{what}: {type(error).__name__}: {text}"


def _widths(seam: str, part: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the seam's documented widths: as given, as attributes of the part, or the defaults for making a class."""
    names = [name for name in SEAMS[seam][1] if name != "rngs"]
    if isinstance(part, type):
        defaults = NONE | {name: WIDTHS[name] for name in arguments(seam, part, WIDTHS)}
        return {name: given.get(name, defaults.get(name, WIDTHS[name])) for name in names}
    outputs = {"n_features", "n_units", "lag", "dim", "variance_min", "noise_variance"}  # not widths of inputs
    found = {}
    for name in names:
        if name in given or getattr(part, name, ()) != ():
            found[name] = given.get(name, getattr(part, name, None))
        elif name == "n_targets":
            found[name] = (("session", part.n_channels),)
        elif name in NONE:
            found[name] = NONE[name]
        elif name not in outputs:
            raise LfadsxError(
                f"The test must know `{name}`, but this {type(part).__name__} does not keep it as an attribute. Give "
                f"it as in lfadsx.testing.check(part, {name}={WIDTHS[name]})."
            )
    return found


def _stir(part: nnx.Module, seed: int = 0) -> None:
    """Moves every parameter away from special values such as 0, in place."""
    rng = np.random.default_rng(seed)
    state = nnx.state(part, nnx.Param)
    nnx.update(part, jax.tree.map(lambda x: x + jnp.asarray(0.2 * rng.standard_normal(x.shape), x.dtype), state))


def _shapes(case: _Case) -> Iterator[str]:
    outputs = case.run(nnx.state(case.part), case.one.inputs)
    yield from wrong_shapes(case.one, outputs)
    for name, values in outputs.items():
        if not np.all(np.isfinite(np.asarray(values))):
            yield f"`{name}` must be finite, but holds NaN or infinity for inputs of size 1."


def _alone(case: _Case) -> Iterator[str]:
    """Compares a trial in a batch, with large numbers in its padding, with the same trial alone."""
    one, run, state, trial = case.one, case.run, nnx.state(case.part), 1
    inputs, n = dict(one.inputs), None
    if "sequence" in inputs:
        n = int(inputs["length"][trial])
        padding = jnp.arange(inputs["sequence"].shape[1]) >= inputs["length"][:, None]
        inputs["sequence"] = jnp.where(padding[:, :, None], 1e3, inputs["sequence"])
        states = run(state, inputs)["states"]
        if np.any(np.asarray(states)[np.asarray(padding)] != 0):
            yield "`states` must be zero in the padding, from each trial's `length` on, but are not."
    sizes = case.widths.get("n_channels", ())
    if "x" in inputs and len(sizes) > 1:
        n_own = np.array([n for _, n in sizes])[np.asarray(inputs["session"])]
        padding = np.arange(inputs["x"].shape[2]) >= n_own[:, None]
        inputs["x"] = jnp.where(padding[:, None], 1e3, inputs["x"])
    lone = {name: jnp.take(x, jnp.array([trial]), axis=one.trial_axis[name]) for name, x in inputs.items()}
    if n is not None:
        lone["sequence"] = lone["sequence"][:, :n]
    elif "x" in inputs and len(sizes) > 1:
        lone["x"] = jnp.where(padding[trial], 0.0, lone["x"])
    together, own = run(state, inputs), run(state, lone)
    for name, values in own.items():
        expected = together[name][trial]
        expected = expected[:n] if name == "states" and n is not None else expected
        if not _close(values[0], expected):
            yield (
                f"A trial must give the same numbers alone as padded and in a batch, but `{name}` differs by "
                f"{_distance(values[0], expected):.2g}. Use each trial's own bins and channels only."
            )


def _gradients(case: _Case) -> Iterator[str]:
    one = case.one
    structure, weights, fixed = nnx.split(case.part, nnx.Param, ...)
    real = {name: x for name, x in one.inputs.items() if jnp.issubdtype(x.dtype, jnp.floating)}

    def total(weights: nnx.State, real: dict[str, Array]) -> Array:
        outputs = one.run(nnx.merge(structure, weights, fixed), one.inputs | real)
        return sum((jnp.sum(jnp.sin(x) + x**2) for x in outputs.values()), jnp.zeros(()))

    for_weights, for_inputs = jax.jit(jax.grad(total, argnums=(0, 1)))(weights, real)
    flat = {"/".join(map(str, path)): value[...] for path, value in nnx.to_flat_state(for_weights)}
    for name, values in {**flat, **{f"input {name}": x for name, x in for_inputs.items()}}.items():
        if not np.all(np.isfinite(np.asarray(values))):
            yield f"The gradient of `{name}` must be finite, but holds NaN or infinity."
        elif name in flat and values.size and not np.any(np.asarray(values)):
            yield f"The parameter `{name}` must matter, but its gradient is 0 everywhere."


def _double(case: _Case) -> Iterator[str]:
    """Traces the part with parameters of 64 bits and searches for arrays of 32 bits."""
    with jax.enable_x64(True):
        structure, state = nnx.split(case.part)
        double = nnx.merge(structure, jax.tree.map(_widened, state))
        one = exercise(case.seam, double, case.widths)
        narrow = [name for name, x in one.inputs.items() if x.dtype == jnp.float32]
        traced = jax.make_jaxpr(lambda inputs: one.run(double, inputs))(one.inputs)
        if narrow or _has_float32(traced.jaxpr):
            where = f"`{narrow[0]}` is float32" if narrow else "some arrays are float32"
            yield (
                f"With parameters of float64 everything must be float64, but {where}. Take the dtype from a parameter "
                "or an input, and plain Python numbers for constants."
            )


def _widened(x: Array) -> Array:
    return jnp.asarray(np.asarray(x), jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _has_float32(jaxpr: Any) -> bool:
    values = [*jaxpr.invars, *jaxpr.constvars, *(v for eqn in jaxpr.eqns for v in (*eqn.invars, *eqn.outvars))]
    if any(getattr(v.aval, "dtype", None) == jnp.float32 or _was_float32(getattr(v, "val", None)) for v in values):
        return True
    inner = (
        p for eqn in jaxpr.eqns for value in eqn.params.values() for p in jax.tree.leaves(value, is_leaf=_is_jaxpr)
    )
    return any(_has_float32(getattr(p, "jaxpr", p)) for p in inner if _is_jaxpr(p))


def _was_float32(value: Any) -> bool:
    """Returns True for a constant that was rounded to float32: JAX converts scalars while it traces."""
    if np.ndim(value) or not isinstance(value, float | np.floating) and getattr(value, "dtype", None) != np.float64:
        return False
    number = float(value)
    few_digits = number.is_integer() or (2.0**16 * float(np.frexp(number)[0])).is_integer()
    return np.isfinite(number) and not few_digits and float(np.float32(number)) == number


def _is_jaxpr(value: Any) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def _member(case: _Case) -> Iterator[str]:
    """Compares two members of a population with each member alone."""
    one, run, other = case.one, case.run, nnx.clone(case.part)
    _stir(other, seed=1)
    states = [nnx.state(case.part), nnx.state(other)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
    if not jax.tree.leaves(stacked):  # all members are the same
        return
    together = jax.jit(lambda stacked: jax.lax.map(lambda s: run(s, one.inputs), stacked, batch_size=2))(stacked)
    for number, state in enumerate(states):
        for name, values in run(state, one.inputs).items():
            if not _close(together[name][number], values):
                yield (
                    f"A member of a population must compute the same as alone, but `{name}` differs by "
                    f"{_distance(together[name][number], values):.2g}. Keep all arrays in nnx.Param or Frozen."
                )
                return


def _of_seam(case: _Case) -> Iterator[str]:
    part = case.part
    if case.seam.endswith("prior"):
        draw = part.draw(jax.random.key(1), (2, 5))
        if draw.shape != (2, 5, part.dim):
            yield f"`draw(key, (2, 5))` must have the shape {(2, 5, part.dim)}, got {draw.shape}."
    if case.seam == "likelihood":
        yield from _of_likelihood(part)


def _of_likelihood(part: Any) -> Iterator[str]:
    n = part.n_params
    far = jnp.tile(jnp.array([-100.0, -1.0, 0.5, 100.0])[:, None], (1, n))
    safe = jnp.full(4, float(part.safe_value))
    value, gradient = jax.value_and_grad(lambda params: part.log_prob(params, safe).sum())(far)
    if not (jnp.isfinite(value) and jnp.all(jnp.isfinite(gradient))):
        yield (
            "`log_prob` of `safe_value` and its gradient must be finite for parameters from -100 to 100, but are not. "
            "Bound exponents with lfadsx.distributions.soft_clip."
        )
    if (shape := np.shape(part.sample(jax.random.key(0), far))) != (4,):
        yield f"`sample` must return one value for each entry, the shape (4,), got {shape}."
    sums = (jnp.array([12.0, 0.0]), jnp.array([40.0, 0.0]), jnp.array([10.0, 10.0]))
    for name, start in {"initial_params": part.initial_params(*sums), "units": part.units(*sums)}.items():
        if np.shape(start) != (2, n):
            yield f"`{name}` must have the shape (channel, n_params) = {(2, n)}, got {np.shape(start)}."
        elif not np.all(np.isfinite(np.asarray(start))):
            yield f"`{name}` must be finite, also for a channel of zeros."


def _saved(part: nnx.Module) -> Iterator[str]:
    """Describes a part, builds it again from its arguments, and takes its values through a checkpoint."""
    names = describe(part)["arguments"]
    given = {name: getattr(part, name) for name in names}
    rngs = {"rngs": nnx.Rngs(0)} if "rngs" in inspect.signature(type(part).__init__).parameters else {}
    again = type(part)(**given, **rngs)
    if nnx.graphdef(again) != nnx.graphdef(part):
        yield (
            "Built again from its recorded arguments, the part must be the same, but its settings or arrays differ. "
            "Keep each argument of the constructor, as it was given, as an attribute of the same name."
        )
        return
    if not jax.tree.leaves(nnx.state(part)):
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "part", {"part": nnx.state(part)}, {})
        restored, _ = checkpoint.restore(Path(folder) / "part", {"part": nnx.state(again)})
    pairs = zip(jax.tree.leaves(restored["part"]), jax.tree.leaves(nnx.state(part)), strict=True)
    if not all(np.array_equal(a, b) for a, b in pairs):
        yield "The arrays of the part must survive a checkpoint, but differ after it."


def _close(a: Array, b: Array) -> bool:
    return bool(_distance(a, b) <= 1e-4 * (1.0 + float(np.max(np.abs(np.asarray(b)), initial=0.0))))


def _distance(a: Array, b: Array) -> float:
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0.0))
