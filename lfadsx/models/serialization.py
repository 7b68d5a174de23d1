"""The table of built-in parts, and the descriptions from which saved models are rebuilt."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from flax import nnx

from lfadsx import distributions, modules
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS

PARTS: dict[str, type[nnx.Module]] = {
    part.__name__: part
    for part in (
        LFADS,
        modules.Decoder,
        modules.IdentityReadin,
        modules.LinearReadin,
        modules.LinearReadout,
        modules.SelectiveReadout,
        modules.Standardiser,
        modules.SeenGroup,
        modules.BidirectionalGRU,
        modules.CausalGRU,
        modules.NoEncoder,
        modules.GRUController,
        modules.GRUGenerator,
        modules.LinearGenerator,
        modules.RNNGenerator,
        modules.LowRankGenerator,
        modules.NeuralODEGenerator,
        distributions.GaussianPrior,
        distributions.MixturePrior,
        distributions.AutoregressivePrior,
        distributions.SmoothPrior,
        distributions.StudentTPrior,
        distributions.PointPrior,
        *distributions.LIKELIHOODS.values(),
    )
}
"""The built-in parts by name. Saved models refer to these names; loading imports no other code."""


def is_built_in(part: object) -> bool:
    """Returns whether a part is built in; derived classes are not."""
    return PARTS.get(type(part).__name__) is type(part)


def describe(part: nnx.Module) -> dict[str, Any]:
    """Returns the class name and the constructor arguments of a part; `rebuild` builds the part from them.

    Parts must keep every constructor argument as an attribute of the same name.
    """
    name = type(part).__name__
    parameters = inspect.signature(type(part).__init__).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [p.name for p in parameters if p.name not in ("self", "rngs") and p.kind not in variadic]
    for argument in names:
        if not hasattr(part, argument):
            raise LfadsxError(
                f"The part {name} must keep its constructor argument {argument!r} as an attribute of the same name: "
                "saved models are described by these attributes."
            )
    return {"part": name, "arguments": {n: _describe(getattr(part, n), f"{name}.{n}") for n in names}}


def rebuild(description: Mapping[str, Any], *, rngs: nnx.Rngs, parts: Iterable[type[nnx.Module]] = ()) -> Any:
    """Builds a part with new weights from the result of `describe`, directly or read back from JSON.

    Args:
        description: Result of `describe`.
        rngs: Source of the weights.
        parts: Your own classes that the description may name.

    Raises:
        LfadsxError: If a part of the description is not built in and not in `parts`.
    """
    return _rebuild(description, rngs, PARTS | {part.__name__: part for part in parts})


def _describe(value: Any, name: str) -> Any:
    if isinstance(value, nnx.Dict):
        return {"group": {key: _describe(item, name) for key, item in value.items()}}
    if isinstance(value, nnx.Module):
        return describe(value)
    if isinstance(value, tuple):
        return tuple(_describe(item, name) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise LfadsxError(
        f"The argument {name} of a part must be a number, string, bool, part, None or a tuple of these, so that the "
        f"model can be saved, got a {type(value).__name__}."
    )


def _rebuild(value: Any, rngs: nnx.Rngs, parts: Mapping[str, type[nnx.Module]]) -> Any:
    if isinstance(value, Mapping) and "part" in value:
        name = value["part"]
        if name not in parts:
            raise LfadsxError(
                f"The parts of a saved model must be built in or given, but {name!r} is missing. Use "
                f"load(run, parts=[{name}]), or --parts FILE on the command line."
            )
        arguments = {key: _rebuild(item, rngs, parts) for key, item in value["arguments"].items()}
        if "rngs" in inspect.signature(parts[name].__init__).parameters:
            arguments["rngs"] = rngs
        return parts[name](**arguments)
    if isinstance(value, dict) and "group" in value:
        return {key: _rebuild(item, rngs, parts) for key, item in value["group"].items()}
    if isinstance(value, list):  # JSON has no tuples
        return tuple(_rebuild(item, rngs, parts) for item in value)
    return value
