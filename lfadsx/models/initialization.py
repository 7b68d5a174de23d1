"""Where a model starts, as far as the data say: mean rates, and the alignment of several sessions."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lfadsx import distributions, modules
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS

ENCODER_STD = 0.2
"""Standard deviation of a real-valued channel as the encoders see it. Small inputs keep them near linear at the start,
so that they average noise away; see docs/accuracy.md."""


def start_at_mean_rates(model: LFADS, data: Dataset) -> None:
    """Starts every read-out's bias where the training data's mean (and variance) lie, in the likelihood's units.

    Args:
        model: Changed in place.
        data: Its training trials are counted; missing entries and padding are not.
    """
    for group, readout in model.readout.items():
        likelihood = model.likelihood[group]
        for index, session in enumerate(data.sessions):
            sums = _target_sums(data.train, group, index, session.n_targets[group])
            readout.set_units(index, likelihood.units(*sums))
            readout.set_bias(index, likelihood.initial_params(*sums))


def standardise(model: LFADS, data: Dataset) -> None:
    """Makes the encoders see channels of mean 0 and standard deviation `ENCODER_STD` over the training data.

    Args:
        model: Changed in place; without a standardiser it stays as it is.
        data: Its training trials are counted; missing entries and padding are not.
    """
    if model.standardiser is None:
        return
    for index, session in enumerate(data.sessions):
        sums = _encoder_sums(data.train, index, session.n_channels)
        mean, std = distributions.mean_and_std(*sums)
        model.standardiser.set_units(index, mean, std / ENCODER_STD)


def smallest_variance(data: Dataset) -> float:
    """Returns the smallest variance of a channel that is to be reconstructed; channels that do not vary have 1."""
    group = data.input_group
    stds = [
        distributions.mean_and_std(*_target_sums(data.train, group, index, session.n_targets[group]))[1]
        for index, session in enumerate(data.sessions)
    ]
    return float(np.concatenate(stds).min() ** 2)


def start_from_alignment(model: LFADS, data: Dataset) -> None:
    r"""Starts a linear read-in, and the read-out of the same neurons, at the alignment of the data's sessions.

    The read-in's first features are the aligned components (x - b) W of each session, for real-valued data times one
    gain for all sessions, which makes them as large as a standardised channel. The read-out goes back the same
    way: the first factors move the expected data along the rows of the pseudo-inverse of W, at the mean rates m_c of
    the read-out's bias,

    .. math::
        A_{fc} = k \, W^+_{fc} \, / \, \frac{d m_c}{d \theta_c}, \quad
        \frac{d m_c}{d \theta_c} = m_c \text{ for Poisson (log rates), } 1 \text{ for Gaussian.}

    Factors are of order 1 whatever the unit of the components, so only directions and relative sizes are taken
    from the alignment: one gain k for all sessions gives the weights the size of a random start, root mean square
    scale / sqrt(factors). Further features and factors keep their random start: an alignment has as many components as
    the sessions share reliably, and a model of several sessions needs more, for each has neurons of its own. With
    fewer factors than components the read-out stays as it is; so do held-out neurons, other target groups and other
    likelihood parameters, which no alignment knows.

    Source: the alignment matrices of the TensorFlow program and of lfads-torch, which use the transpose or the
    pseudo-inverse as it is, and the mean count as bias of the log rate; here the unit of both is minded.

    Example:
        >>> import dataclasses, lfadsx, numpy as np
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.2, input_magnitude=0.0)
        >>> session = dataclasses.replace(data.sessions[0], alignment=np.eye(50, 8))
        >>> data = dataclasses.replace(data, sessions=(session,))
        >>> model = lfadsx.autonomous(data, factors=8, readin="linear", rngs=nnx.Rngs(0))
        >>> bool((model.readin.weight["chaotic_rnn"][...] == session.alignment).all())
        True

    Args:
        model: Changed in place, after `start_at_mean_rates`; its read-in and the read-out of the input group are
            linear, a part of another kind stays as it is.
        data: Its sessions carry the alignment.

    Raises:
        LfadsxError: If not all sessions have an alignment, or there are fewer features than components.
    """
    n_components = n_components_of(data.sessions)
    if isinstance(model.readin, modules.LinearReadin):
        check_features(model.readin.n_features, n_components)
        gain = 1.0 if model.standardiser is None else 1.0 / _size_of_components(model.standardiser, data.sessions)
        for index, session in enumerate(data.sessions):
            weight, bias = _alignment(session)
            if model.standardiser is None:
                model.readin.set_map(index, weight, -bias @ weight)
            else:
                mean, unit = model.standardiser.units(index)
                model.readin.set_map(index, gain * unit[:, None] * weight, gain * (mean - bias) @ weight)
    readout, likelihood = model.readout[data.input_group], model.likelihood[data.input_group]
    if isinstance(readout, modules.LinearReadout) and readout.n_factors >= n_components:
        _start_readout(readout, likelihood, data.sessions)


def _size_of_components(standardiser: modules.Standardiser, sessions: tuple[Session, ...]) -> float:
    """Root mean square, in units of a standardised channel, of components of channels that vary independently."""
    sizes = [standardiser.units(i)[1][:, None] * _alignment(s)[0] for i, s in enumerate(sessions)]
    size = np.sqrt(np.mean([np.mean(np.sum(np.square(each), axis=0)) for each in sizes]))
    return float(size) or 1.0


def _start_readout(
    readout: modules.LinearReadout, likelihood: distributions.AbstractLikelihood, sessions: tuple[Session, ...]
) -> None:
    directions = []
    for index, session in enumerate(sessions):
        seen, unit = session.target_index >= 0, readout.unit_of(index)
        params = unit * readout.bias[session.name][...]

        def total_mean(first: Array, params: Array = params) -> Array:
            return likelihood.mean(params.at[:, 0].set(first)).sum()

        slope = (unit[:, 0] * jax.grad(total_mean)(params[:, 0]))[session.target_index[seen]]
        directions.append(np.linalg.pinv(_alignment(session)[0])[:, seen] / slope)
    size = jnp.sqrt(jnp.mean(jnp.concatenate(directions, axis=1) ** 2))
    # An alignment of zeros has no directions: its read-out weights start at 0, not at NaN.
    gain = readout.scale / math.sqrt(readout.n_factors) / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
    for index, (session, direction) in enumerate(zip(sessions, directions, strict=True)):
        targets = session.target_index[session.target_index >= 0]
        weight = readout.weight[session.name][...]
        readout.set_weight(index, weight.at[: len(direction), targets, 0].set(gain * direction))


def _alignment(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Returns W (channel, component) and b (channel,) of a session."""
    weight, bias = np.asarray(session.alignment), session.alignment_bias
    return weight, np.zeros(len(weight)) if bias is None else np.asarray(bias)


def n_components_of(sessions: tuple[Session, ...]) -> int:
    """Returns the number of aligned components of all sessions, 0 for none; raises LfadsxError unless they agree."""
    first = sessions[0]
    for session in sessions:
        if session.n_components != first.n_components:
            raise LfadsxError(
                f"Session {first.name!r} has {first.n_components} aligned components and session {session.name!r} "
                f"has {session.n_components}. Give all sessions an alignment with the same components, or none."
            )
        if session.n_components and len(_alignment(session)[0]) != session.n_channels:
            raise LfadsxError(
                f"The alignment of session {session.name!r} has {len(_alignment(session)[0])} channels and its encoder "
                f"sees {session.n_channels}. Give the matrix one row for each of these."
            )
    return first.n_components


def check_features(n_features: int, n_components: int) -> None:
    """Raises LfadsxError unless a read-in is at least as wide as the alignment."""
    if n_features < n_components:
        raise LfadsxError(
            f"The read-in has {n_features} features and the data's alignment has {n_components} components. Leave "
            "readin_dim out, give at least as many, or give the data an alignment with fewer components."
        )


def _target_sums(split: Split, group: str, session: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of what a session is to reconstruct, of the squares, and the number of entries, per channel."""
    rows = np.flatnonzero(split.session == session)
    return _sums(split.targets[group], split.target_length, split.target_observed.get(group), rows, n)


def _encoder_sums(split: Split, session: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of what the encoders see."""
    rows = np.flatnonzero(split.session == session)
    return _sums(split.encoder_input, split.encoder_length, split.encoder_observed, rows, n)


def _sums(
    values: np.ndarray, length: np.ndarray, observed: np.ndarray | None, rows: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = values[rows][:, :, :n].astype(np.float64)
    mask = np.arange(data.shape[1])[None, :, None] < length[rows][:, None, None]
    mask = np.broadcast_to(mask, data.shape)
    if observed is not None:
        mask = mask & observed[rows][:, :, :n]
    data = np.where(mask, data, 0.0)
    return data.sum((0, 1)), (data**2).sum((0, 1)), mask.sum((0, 1)).astype(np.float64)
