"""Initial values of a model from the data: units, mean rates, and the alignment of several sessions."""

from __future__ import annotations

import functools
import logging

import numpy as np
from flax import nnx
from jaxtyping import Float

from lfadsx import modules
from lfadsx.data.dataset import Dataset, Session
from lfadsx.distributions.likelihood import mean_and_std
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS

log = logging.getLogger("lfadsx")

ENCODER_STD = 0.2
"""Standard deviation of standardised channels. Encoders are nearly linear for small inputs, so they average noise; see
benchmarks/results/accuracy_log.md."""

Sums = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Sum of the data, of their squares, and number of observed entries, each of shape (channel,)."""


class TrainingSums:
    """Sums over the training trials by session and channel, without missing entries; each is computed once."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    @functools.cached_property
    def targets(self) -> dict[str, list[Sums]]:
        """Sums of the targets by target group, one entry for each session."""
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
        """Sums of the encoders' data, one entry for each session."""
        split = self.data.train
        return [
            _sums(split.encoder_input, split.encoder_length, split.encoder_observed, split.session == i, s.n_channels)
            for i, s in enumerate(self.data.sessions)
        ]

    def variances(self, group: str) -> Float[np.ndarray, " channel"]:
        """Returns the variances of the target channels of all sessions; constant channels count as 1."""
        return np.concatenate([mean_and_std(*sums)[1] for sums in self.targets[group]]) ** 2


def initialise(model: LFADS, data: Dataset) -> None:
    """Initialises a model from the training data, in place: units of real-valued data, mean rates, alignment.

    The builders call this function. Call it for a model that you compose from its parts; otherwise `fit` does.

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
        data: The data set; its training trials are used, without missing entries and padding.

    Raises:
        LfadsxError: If the alignments of sessions differ in size, or are wider than the read-in.
    """
    initialise_from(model, TrainingSums(data))


def initialise_if_needed(model: LFADS, data: Dataset) -> LFADS:
    """Returns the model if it is initialised, else an initialised copy; see `initialise`."""
    if model.initialised:
        return model
    log.info(
        "The model was not initialised from the data, so it is initialised now. Call lfadsx.initialise(model, data) to "
        "do this yourself."
    )
    copy = nnx.clone(model)
    initialise(copy, data)
    return copy


def initialise_from(model: LFADS, sums: TrainingSums, *, align: bool | None = None) -> None:
    """Initialises a model in place, see `initialise`; by default with an alignment if a session has one."""
    sessions = sums.data.sessions
    if model.standardiser is not None:
        for index, of_session in enumerate(sums.encoder):
            mean, std = mean_and_std(*of_session)
            model.standardiser.set_units(index, mean, std / ENCODER_STD)
    for group, own in (model.seen_groups or {}).items():
        for index, of_session in enumerate(sums.targets[group]):
            if own.standardiser is not None:
                mean, std = mean_and_std(*of_session)
                own.standardiser.set_units(index, mean, std / ENCODER_STD)
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
    r"""Initialises a linear read-in, and the read-out of the same neurons, with the alignment of the sessions.

    The first features of the read-in are the aligned components (x - b) W of each session. For real-valued data they
    are multiplied by one gain for all sessions, so that they have the size of a standardised channel. The read-out
    reverses this map: the first factors move the expected data along the rows of the pseudo-inverse of W, at the mean
    rates m_c of the read-out's bias,

    .. math::
        A_{fc} = k \, W^+_{fc} \, / \, \frac{d m_c}{d \theta_c}, \quad
        \frac{d m_c}{d \theta_c} = m_c \text{ for Poisson (log rates), } 1 \text{ for Gaussian.}

    Factors are of order 1 for any unit of the components, so only directions and relative sizes come from the
    alignment. One gain k for all sessions gives the weights the root mean square of random weights, scale /
    sqrt(factors). Further features and factors keep their random weights: sessions share only the components of the
    alignment, and a model of several sessions needs more. Not changed are held-out neurons, other target groups, other
    likelihood parameters, and the whole read-out if there are fewer factors than components.

    Source: the alignment matrices of the TensorFlow program and of lfads-torch, which use the transpose or the
    pseudo-inverse unchanged, and the mean count as bias of the log rate; here both are converted to the unit of the
    data.
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
    """Returns the root mean square of components of independent channels, in units of a standardised channel."""
    sizes = [standardiser.units(i)[1][:, None] * _alignment(s)[0] for i, s in enumerate(sessions)]
    size = np.sqrt(np.mean([np.mean(np.sum(np.square(each), axis=0)) for each in sizes]))
    return float(size) or 1.0


def _alignment(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Returns W (channel, component) and b (channel,) of a session."""
    weight, bias = np.asarray(session.alignment), session.alignment_bias
    return weight, np.zeros(len(weight)) if bias is None else np.asarray(bias)


def n_components_of(sessions: tuple[Session, ...]) -> int:
    """Returns the number of aligned components, 0 without alignment. Raises LfadsxError if sessions differ."""
    first = sessions[0]
    for session in sessions:
        if session.n_components != first.n_components:
            raise LfadsxError(
                f"All sessions must have the same number of aligned components, got {first.n_components} in session "
                f"{first.name!r} and {session.n_components} in session {session.name!r}."
            )
        if session.n_components and len(_alignment(session)[0]) != session.n_channels:
            raise LfadsxError(
                f"The alignment of session {session.name!r} must have one row for each of the {session.n_channels} "
                f"channels that the encoder sees, got {len(_alignment(session)[0])} rows."
            )
    return first.n_components


def check_features(n_features: int, n_components: int) -> None:
    """Raises LfadsxError if a read-in is narrower than the alignment."""
    if n_features < n_components:
        raise LfadsxError(
            f"`readin_dim` must be at least {n_components}, the number of components of the alignment, got "
            f"{n_features}. Raise it or leave it out, or align the data with fewer components."
        )


def _sums(values: np.ndarray, length: np.ndarray, observed: np.ndarray | None, rows: np.ndarray, n: int) -> Sums:
    data = values[rows][:, :, :n].astype(np.float64)
    mask = np.arange(data.shape[1])[None, :, None] < length[rows][:, None, None]
    mask = np.broadcast_to(mask, data.shape)
    if observed is not None:
        mask = mask & observed[rows][:, :, :n]
    data = np.where(mask, data, 0.0)
    return data.sum((0, 1)), (data**2).sum((0, 1)), mask.sum((0, 1)).astype(np.float64)
