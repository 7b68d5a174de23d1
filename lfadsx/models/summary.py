"""Tables of the parts of a model and their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx

from lfadsx.parameters import Frozen

if TYPE_CHECKING:
    from lfadsx.models.lfads import LFADS


def summary(model: LFADS) -> str:
    """Returns a table of the parameters of a model by part, the largest two arrays of each.

    Paths are those of `TrainConfig.train`, such as "decoder/generator/*".

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> model = lfadsx.autonomous(data, factors=4, generator_dim=8)
        >>> lfadsx.summary(model).splitlines()[0].split()
        ['part', 'class', 'arrays', 'trained', 'fixed']

    Args:
        model: The model.
    """
    rows: list[tuple[str, ...]] = [("part", "class", "arrays", "trained", "fixed")]
    for name, part in _parts(model):
        arrays = sorted(nnx.to_flat_state(nnx.state(part)), key=lambda item: -item[1][...].size)
        sizes = [f"{'/'.join(map(str, path))} {'x'.join(map(str, value[...].shape))}" for path, value in arrays]
        shown = ", ".join(sizes[:2]) + (f" and {len(sizes) - 2} more" if len(sizes) > 2 else "")
        rows.append((name, type(part).__name__, shown, *(f"{_size(part, kind):,}" for kind in (nnx.Param, Frozen))))
    rows.append(("total", "", "", *(f"{_size(model, kind):,}" for kind in (nnx.Param, Frozen))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [str.ljust, str.ljust, str.ljust, str.rjust, str.rjust]
    lines = ("  ".join(f(x, w) for f, x, w in zip(aligned, row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def outline_of(model: LFADS) -> str:
    """Returns the parts of a model with classes and numbers of trained parameters, in at most 20 lines."""
    lines = [f"{name}: {type(part).__name__}, {_size(part, nnx.Param):,} parameters" for name, part in _parts(model)]
    if len(lines) > 17:
        lines = [*lines[:16], f"and {len(lines) - 16} more parts"]
    start = "" if model.initialised else ", not initialised from data"
    head = f"LFADS with {_size(model, nnx.Param):,} trained parameters{start}"
    return "\n".join([head, *(f"  {line}" for line in lines), "lfadsx.summary(model) has the arrays."])


def _parts(model: LFADS) -> Iterator[tuple[str, nnx.Module]]:
    decoder = model.decoder
    parts: dict[str, Any] = {name: getattr(model, name) for name in ("standardiser", "readin")}
    parts |= {f"seen_groups/{group}": own for group, own in (model.seen_groups or {}).items()}
    names = ("ic_encoder", "ic_posterior", "ic_prior", "bias_posterior", "bias_prior", "input_encoder")
    parts |= {name: getattr(model, name) for name in names}
    names = ("controller", "input_posterior", "input_prior", "generator", "factor_map")
    parts |= {f"decoder/{name}": getattr(decoder, name) for name in names}
    for group in model.readout:
        parts |= {f"readout/{group}": model.readout[group], f"likelihood/{group}": model.likelihood[group]}
    return ((name, part) for name, part in parts.items() if part is not None)


def _size(part: nnx.Module, kind: type[nnx.Variable]) -> int:
    return sum(int(np.prod(value[...].shape)) for _, value in nnx.to_flat_state(nnx.state(part, kind)))
