"""The seams of a model, and the construction of parts from users' classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from flax import nnx

from lfadsx import distributions, modules
from lfadsx.errors import LfadsxError, PartError, nearest

ENCODER = ("n_in", "n_units", "lag", "rngs")
SEAMS: dict[str, tuple[type[nnx.Module], tuple[str, ...]]] = {
    "readin": (modules.AbstractReadin, ("n_channels", "n_features", "rngs")),
    "ic_encoder": (modules.AbstractEncoder, ENCODER),
    "input_encoder": (modules.AbstractEncoder, ENCODER),
    "controller": (modules.AbstractController, ("n_encoding", "n_feedback", "n_units", "rngs")),
    "generator": (modules.AbstractGenerator, ("n_ic", "n_known_inputs", "n_inferred_inputs", "n_units", "rngs")),
    "ic_prior": (distributions.AbstractPrior, ("dim", "rngs")),
    "bias_prior": (distributions.AbstractPrior, ("dim", "rngs")),
    "input_prior": (distributions.AbstractPrior, ("dim", "rngs")),
    "likelihood": (distributions.AbstractLikelihood, ("variance_min", "noise_variance", "rngs")),
    "readout": (modules.AbstractReadout, ("n_factors", "n_targets", "n_params", "n_constant", "rngs")),
}
"""Seams by name: the abstract class, and the arguments that a constructor may have; the class documents them."""

Part = nnx.Module | Callable[..., Any]
"""An instance of a seam's abstract class, or a class (or another function) that returns one."""


def make(seam: str, part: Part, **known: Any) -> Any:
    """Returns an instance unchanged, or calls a class with those known values that its constructor has.

    Example:
        >>> from flax import nnx
        >>> from lfadsx.models.seams import make
        >>> from lfadsx.modules import GRUController
        >>> make("controller", GRUController, n_encoding=4, n_feedback=3, n_units=5, rngs=nnx.Rngs(0)).n_state
        5

    Raises:
        LfadsxError: If the constructor needs another argument, or the result is not a part of this seam.
        PartError: If the constructor raises an exception of another kind.
    """
    abstract, names = SEAMS[seam]
    if isinstance(part, abstract):
        return part
    if isinstance(part, nnx.Module) or not callable(part):
        raise LfadsxError(
            f"`{seam}` must be an instance of {abstract.__name__} or a class that returns one, got {part!r:.60}."
        )
    given = arguments(seam, part, known)
    try:
        made = part(**given)
    except LfadsxError:
        raise
    except Exception as error:
        raise PartError(f"The {seam} {_name(part)} cannot be built: {type(error).__name__}: {error}") from error
    if not isinstance(made, abstract):
        raise LfadsxError(
            f"`{seam}` must be an instance of {abstract.__name__}, but {_name(part)} returns a {type(made).__name__}. "
            f"Derive it from {abstract.__name__}."
        )
    return made


def arguments(seam: str, part: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    """Returns those known values that are arguments of a constructor; all if it has `**kwargs`."""
    names, bound = SEAMS[seam][1], part.keywords if isinstance(part, partial) else {}
    parameters = [p for p in _parameters(part) if p.name not in bound]
    for p in parameters:
        is_needed = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if is_needed and (p.name not in names or p.kind is p.POSITIONAL_ONLY):
            raise LfadsxError(
                f"The arguments of a {seam} class must be among {', '.join(names)}, but {_name(part)} needs {p.name!r}"
                f"{nearest(p.name, names)}. Rename the argument, give it a default, or give an instance."
            )
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    asked = set(names) if takes_all else {p.name for p in parameters}
    return {name: value for name, value in known.items() if name in asked - set(bound)}


def _parameters(part: Callable[..., Any]) -> list[inspect.Parameter]:
    """Returns the parameters of a function or constructor without those that `partial` has bound by position."""
    if isinstance(part, partial):
        rest = inspect.signature(partial(_function(part.func), *part.args)).parameters
    else:
        rest = inspect.signature(_function(part)).parameters
    return list(rest.values())


def _function(part: Callable[..., Any]) -> Callable[..., Any]:
    # The signature of an nnx.Module class is that of its metaclass, which accepts all arguments.
    return partial(part.__init__, None) if isinstance(part, type) else part


def _name(part: Any) -> str:
    part = part.func if isinstance(part, partial) else part
    return getattr(part, "__name__", type(part).__name__)
