"""New sessions on a trained model: read-ins and read-outs of their own, everything between as it was."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models.adjoint import set_adjoint
from lfadsx.models.initialization import standardise, start_at_mean_rates, start_from_alignment
from lfadsx.models.lfads import LFADS
from lfadsx.modules import IdentityReadin, LinearReadin, LinearReadout, Standardiser


def with_sessions(model: LFADS, data: Dataset, *, rngs: nnx.Rngs) -> LFADS:
    """Returns a trained model for other sessions: those that it knows keep their maps, new ones get some.

    A new session's read-out starts at the mean rates of its neurons and its read-in at random, or both at its alignment
    if all sessions have one. Everything between stays, so that few trials are enough to add a session: train its maps
    alone, with the patterns of `session_patterns`. Sessions that the data lack are left out of the new model.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> monday, tuesday = (lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1, neurons=n, session=day)
        ...     for n, day in ((50, "monday"), (30, "tuesday")))
        >>> trained = lfadsx.autonomous(monday, generator_dim=8, rngs=nnx.Rngs(0))
        >>> model = lfadsx.with_sessions(trained, tuesday, rngs=nnx.Rngs(1))
        >>> config = lfadsx.TrainConfig(epochs=1, train=lfadsx.session_patterns(["tuesday"]))
        >>> lfadsx.fit(model, tuesday, config=config).reason
        'epochs'

    Args:
        model: The trained model; left as it is.
        data: The sessions of the new model, new and known ones.
        rngs: Source of the new weights.

    Raises:
        LfadsxError: If a read-in or read-out is a part of your own, which cannot be extended, or a session that the
            model knows has another number of neurons now.
    """
    _check_feedback(model, data)
    new: Any = nnx.clone(model)
    new.readin = _new_readin(model, data, rngs)
    new.readout = nnx.Dict({group: _new_readout(model, group, data, rngs) for group in model.readout})
    if model.standardiser is not None:
        new.standardiser = Standardiser(_channels(data))
        standardise(new, data)
    start_at_mean_rates(new, data)
    if all(session.n_components for session in data.sessions):
        start_from_alignment(new, data)
    _keep_known(model, new)
    set_adjoint(new, model.adjoint)
    return new


def session_patterns(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Returns patterns for `TrainConfig.train` with which only the read-ins and read-outs of some sessions train.

    Example:
        >>> from lfadsx import session_patterns
        >>> session_patterns(["tuesday"])
        ('readin/*/tuesday', 'readout/*/tuesday')

    Args:
        names: Names of the sessions.
    """
    return tuple(f"{part}/*/{glob.escape(name)}" for part in ("readin", "readout") for name in names)


def _channels(data: Dataset) -> tuple[tuple[str, int], ...]:
    return tuple((session.name, session.n_channels) for session in data.sessions)


def _check_feedback(model: LFADS, data: Dataset) -> None:
    decoder, widths = model.decoder, [session.n_targets[model.input_group] for session in data.sessions]
    if decoder.controller is not None and decoder.feedback == "rates" and widths != [decoder.n_rates]:
        raise LfadsxError(
            f"The controller of this model sees the rates of {decoder.n_rates} channels of one session, and the "
            f"sessions have {widths}. Only a model with feedback = 'factors' or 'none' can be given other sessions."
        )


def _new_readin(model: LFADS, data: Dataset, rngs: nnx.Rngs) -> LinearReadin:
    if not isinstance(model.readin, LinearReadin | IdentityReadin):
        raise LfadsxError(
            f"The read-in of this model is a {type(model.readin).__name__}, which cannot be extended by sessions. "
            "Compose the new model from its parts."
        )
    return LinearReadin(_channels(data), model.readin.n_features, rngs=rngs)


def _new_readout(model: LFADS, group: str, data: Dataset, rngs: nnx.Rngs) -> LinearReadout:
    old = model.readout[group]
    if not isinstance(old, LinearReadout):
        raise LfadsxError(
            f"The read-out of {group!r} is a {type(old).__name__}, which cannot be extended by sessions. Compose the "
            "new model from its parts."
        )
    targets = tuple((session.name, session.n_targets[group]) for session in data.sessions)
    return LinearReadout(old.n_factors, targets, n_params=old.n_params, scale=old.scale, units=old.units, rngs=rngs)


def _keep_known(model: LFADS, new: Any) -> None:
    """Gives the sessions that the old model knows their old values."""
    _copy(_readin_values(model), {"weight": new.readin.weight, "bias": new.readin.bias})
    for group, readout in model.readout.items():
        names = ("weight", "bias", "unit")
        _copy(_values(readout, names), {name: getattr(new.readout[group], name) for name in names})
    if model.standardiser is not None:
        _copy(_values(model.standardiser, ("mean", "unit")), vars(new.standardiser))


def _readin_values(model: Any) -> dict[str, dict[str, Array]]:
    """Weights and biases by session; of a session that is passed on as it is, those of the identity."""
    if isinstance(model.readin, LinearReadin):
        return _values(model.readin, ("weight", "bias"))
    n = model.readin.n_features
    (name, _), *_ = model.readout[model.input_group].n_targets  # a read-in without weights knows no name
    return {"weight": {name: jnp.eye(n)}, "bias": {name: jnp.zeros(n)}}


def _values(part: nnx.Module, names: tuple[str, ...]) -> dict[str, dict[str, Array]]:
    return {name: {session: v[...] for session, v in getattr(part, name).items()} for name in names}


def _copy(old: Mapping[str, Mapping[str, Array]], new: Mapping[str, Mapping[str, nnx.Variable]]) -> None:
    for part, values in old.items():
        for session in set(values) & set(new[part]):
            value, place = values[session], new[part][session]
            if value.shape != place[...].shape:
                raise LfadsxError(
                    f"The model knows session {session!r} with arrays of shape {value.shape}, and the data ask for "
                    f"{place[...].shape}. Give the data of a new session a name of their own."
                )
            place[...] = value
