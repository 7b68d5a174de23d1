"""Where a model starts, as far as the data say: units, mean rates, and the alignment of several sessions."""

from __future__ import annotations

import functools
import logging

import numpy as np
from flax import nnx

from lfadsx import modules
from lfadsx.data.dataset import Dataset, Session
from lfadsx.distributions.likelihoods import mean_and_std
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS

log = logging.getLogger("lfadsx")

ENCODER_STD = 0.2
"""Standard deviation of a real-valued channel as the encoders see it. Small inputs keep them near linear at the start,
so that they average noise away; see docs/accuracy.md."""

Sums = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Sum of the data, of their squares, and number of observed entries, each of shape (channel,)."""


class TrainingSums:
    """Sums over the training trials, per session and channel, each computed once; missing entries do not count."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    @functools.cached_property
    def targets(self) -> dict[str, list[Sums]]:
        """Of what is to be reconstructed, by target group, one entry for each session."""
        split = self.data.train
        return {
            group: [
                _sums(
                    values,
                    split.target_length,
                    split.target_observed.get(group),
                    split.session == i,
                    s.n_targets[group],
                )
                for i, s in enumerate(self.data.sessions)
            ]
            for group, values in split.targets.items()
        }

    @functools.cached_property
    def encoder(self) -> list[Sums]:
        """Of what the encoders see, one entry for each session."""
        split = self.data.train
        return [
            _sums(split.encoder_input, split.encoder_length, split.encoder_observed, split.session == i, s.n_channels)
            for i, s in enumerate(self.data.sessions)
        ]

    def smallest_variance(self, group: str) -> float:
        """Returns the smallest variance of a target channel; channels that do not vary have 1."""
        stds = [mean_and_std(*sums)[1] for sums in self.targets[group]]
        return float(np.concatenate(stds).min() ** 2)


def initialise(model: LFADS, data: Dataset) -> None:
    """Starts a model where the training data say, in place: units of real-valued data, mean rates, alignment.

    The builders do this; a model that you compose from its parts needs the call. `fit` makes up for it if it was
    forgotten.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8)
        >>> model.readout["spikes"].bias["chaotic_rnn"][...] *= 0
        >>> lfadsx.initialise(model, data)
        >>> bool((model.readout["spikes"].bias["chaotic_rnn"][...] < 0).all())  # log counts per bin
        True

    Args:
        model: Changed in place.
        data: Its training trials are counted; missing entries and padding are not.

    Raises:
        LfadsxError: If sessions disagree about their alignment, or a read-in is narrower than it.
    """
    initialise_from(model, TrainingSums(data))


def initialise_if_needed(model: LFADS, data: Dataset) -> LFADS:
    """Returns the model itself if it was initialised, else a copy that is; `initialise` says how."""
    if model.initialised:
        return model
    log.info(
        "The model was not initialised from the data. It now starts at their mean rates; call "
        "lfadsx.initialise(model, data) to do this yourself."
    )
    copy = nnx.clone(model)
    initialise(copy, data)
    return copy


def initialise_from(model: LFADS, sums: TrainingSums, *, align: bool | None = None) -> None:
    """Does what `initialise` says.

    Args:
        model: Changed in place.
        sums: Sums over the training data.
        align: If True, start from the sessions' alignment; None: if a session has one.
    """
    sessions = sums.data.sessions
    if model.standardiser is not None:
        for index, of_session in enumerate(sums.encoder):
            mean, std = mean_and_std(*of_session)
            model.standardiser.set_units(index, mean, std / ENCODER_STD)
    for group, readout in model.readout.items():
        likelihood = model.likelihood[group]
        for index, of_session in enumerate(sums.targets[group]):
            readout.set_units(index, likelihood.units(*of_session))
            readout.set_bias(index, likelihood.initial_params(*of_session))
    if align is None:
        align = any(session.n_components for session in sessions)
    if align and model.readin.takes_alignment:
        _start_from_alignment(model, sums.data)
    model.initialised = True


def _start_from_alignment(model: LFADS, data: Dataset) -> None:
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
    pseudo-inverse as it is, and the mean count as bias of the log rate; here both are converted to
    the unit of the data.
    """
    n_components = n_components_of(data.sessions)
    check_features(model.readin.n_features, n_components)
    gain = 1.0 if model.standardiser is None else 1.0 / _size_of_components(model.standardiser, data.sessions)
    directions = []
    for index, session in enumerate(data.sessions):
        weight, bias = _alignment(session)
        seen = session.target_index >= 0
        directions.append((session.target_index[seen], np.linalg.pinv(weight)[:, seen]))
        if model.standardiser is None:
            model.readin.set_map(index, weight, -bias @ weight)
        else:
            mean, unit = model.standardiser.units(index)
            model.readin.set_map(index, gain * unit[:, None] * weight, gain * (mean - bias) @ weight)
    model.readout[data.input_group].start_along(directions, model.likelihood[data.input_group].mean)


def _size_of_components(standardiser: modules.Standardiser, sessions: tuple[Session, ...]) -> float:
    """Root mean square, in units of a standardised channel, of components of channels that vary independently."""
    sizes = [standardiser.units(i)[1][:, None] * _alignment(s)[0] for i, s in enumerate(sessions)]
    size = np.sqrt(np.mean([np.mean(np.sum(np.square(each), axis=0)) for each in sizes]))
    return float(size) or 1.0


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


def _sums(values: np.ndarray, length: np.ndarray, observed: np.ndarray | None, rows: np.ndarray, n: int) -> Sums:
    data = values[rows][:, :, :n].astype(np.float64)
    mask = np.arange(data.shape[1])[None, :, None] < length[rows][:, None, None]
    mask = np.broadcast_to(mask, data.shape)
    if observed is not None:
        mask = mask & observed[rows][:, :, :n]
    data = np.where(mask, data, 0.0)
    return data.sum((0, 1)), (data**2).sum((0, 1)), mask.sum((0, 1)).astype(np.float64)
