"""Alignment of several sessions, computed from their data, as the start of a model of all of them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset
from lfadsx.data.trials import inside
from lfadsx.errors import DataError

log = logging.getLogger("lfadsx")

SWEEPS = 500
"""Largest number of sweeps that fill in the gaps of incomplete sessions."""
TOLERANCE = 1e-7
"""Relative change of the filled gaps at which the sweeps stop."""


@dataclasses.dataclass(frozen=True)
class SharedComponents:
    """The shared components of aligned sessions, and how well each session rebuilds them.

    Attributes:
        components: Mean over the sessions, shape (component, condition, time), in the unit of the components.
        rebuilt: By session, (x - b) W of its averages, same shape; NaN where it has no data.
        r2: By session, 1 - SSE / SST of each component against the mean of the other sessions, shape (component,). A
            component that only one session has is not shared, and has 0 or less.
        conditions: The conditions; [None] if the sessions are aligned by the average of all trials.
    """

    components: Float[np.ndarray, "component condition time"]
    rebuilt: dict[str, Float[np.ndarray, "component condition time"]]
    r2: dict[str, Float[np.ndarray, " component"]]
    conditions: list


Matrices = Mapping[str, Any]
"""By session, W of shape (channel, component), or (W, b) with b of shape (channel,); components are (x - b) W."""

Aligner = Callable[[Dataset], Matrices]
"""An alignment of your own: a function, or an object that can be called, from data to the matrices of every session."""


def align(
    data: Dataset, n_components: int | None = None, *, taps: int = 6, aligner: Aligner | Matrices | None = None
) -> Dataset:
    r"""Returns the data with an alignment of their sessions: the same components from the neurons of each session.

    The training trials of each condition are averaged and smoothed, and the averages of all sessions are stacked neuron
    by neuron (X). Their principal components (axes V) are regressed on the neurons of each session:

    .. math:: W_s = \arg\min_W \|X_s^T W - (V^T X)^T\|^2

    A model of these sessions starts its read-ins at W_s and its read-outs at the inverse map (`start_from_alignment`).
    Sessions may lack conditions, bins or neurons: the components themselves fill the gaps of X, repeatedly until
    nothing changes. If a session has no condition labels, all sessions are aligned by the average of all trials, with
    a log message. This assumes that all sessions have the same average.

    Your own alignment takes the place of this one as `aligner`. It gives the matrix of each session by name, and
    everything else stays the same.

    Source: Pandarinath et al. 2018, Nature Methods, stitching of sessions; Grung & Manne 1998, Chemometrics and
    Intelligent Laboratory Systems 42, for principal components of incomplete data.

    Example:
        >>> import lfadsx
        >>> import numpy as np
        >>> days = [lfadsx.datasets.chaotic_rnn(conditions=4, neurons=n, session=f"day{n}") for n in (50, 40)]
        >>> data = lfadsx.align(lfadsx.data.concatenate(*days), n_components=5)
        >>> [session.alignment.shape for session in data.sessions]
        [(50, 5), (40, 5)]
        >>> def first_neurons(data):
        ...     return {session.name: np.eye(session.n_channels, 3) for session in data.sessions}
        >>> [session.n_components for session in lfadsx.align(data, aligner=first_neurons).sessions]
        [3, 3]

    Args:
        data: One or more sessions. An existing alignment is replaced.
        n_components: Number of components that the sessions share reliably, about 4 to 20.
        taps: Bins of the moving average that smooths, running forwards and backwards; 1 for no smoothing.
        aligner: Your own alignment: a function of the data, an object that can be called so, or the matrices
            themselves. By session name W, shape (channel, component), or (W, b) with b of shape (channel,); the
            components are (x - b) W in the unit of the data. The default computes them as above.

    Raises:
        DataError: If there are more components than neurons of a session, sessions share no condition, or the
            matrices of an aligner do not fit the sessions.
    """
    if aligner is not None:
        if n_components is not None:
            raise DataError(f"`n_components` must be left out with an `aligner`, which decides it, got {n_components}.")
        return _with_matrices(data, aligner(data) if callable(aligner) else aligner)
    if n_components is None:
        raise DataError("`n_components` must be given, or your own `aligner`. Try 10 components.")
    if taps < 1:
        raise DataError(f"`taps` must be at least 1, got {taps}. Give 1 for no smoothing.")
    for session in data.sessions:
        if not 1 <= n_components <= session.n_channels:
            raise DataError(
                f"`n_components` must be from 1 to {session.n_channels}, the neurons of session {session.name!r}, got "
                f"{n_components}."
            )
    conditions = _conditions(data)
    _check_shared(data, conditions)
    averages = []
    for number, session in enumerate(data.sessions):
        course = _course(data, number, conditions, taps).reshape(session.n_channels, -1)
        # A channel that was never observed has mean 0 and, below, no weight.
        mean = np.nan_to_num(_nanmean(course.T))
        averages.append((course, mean, np.ones(len(course)) if data.is_counts() else _spread(course)))
    scaled = [(course - mean[:, None]) / unit[:, None] for course, mean, unit in averages]
    together, axes = _fill_in(np.concatenate(scaled), n_components)
    components = axes.T @ together
    filled = np.split(together, np.cumsum([len(course) for course in scaled])[:-1])
    sessions = []
    for session, own, (course, mean, unit) in zip(data.sessions, filled, averages, strict=True):
        there = np.any(np.isfinite(course), axis=0)
        weight = np.linalg.lstsq(own[:, there].T, components[:, there].T, rcond=None)[0]
        observed = np.any(np.isfinite(course), axis=1, keepdims=True)
        weight = np.where(observed, weight, 0.0)
        sessions.append(dataclasses.replace(session, alignment=weight / unit[:, None], alignment_bias=mean))
    return dataclasses.replace(data, sessions=tuple(sessions))


def _with_matrices(data: Dataset, matrices: Matrices) -> Dataset:
    """Returns the data with given matrices as the alignment of their sessions; `aligner` of `align` explains them."""
    names = [session.name for session in data.sessions]
    if not isinstance(matrices, Mapping) or set(matrices) != set(names):
        found = sorted(matrices) if isinstance(matrices, Mapping) else type(matrices).__name__
        raise DataError(f"An alignment must have a matrix for each of the sessions {names}, by name, got {found}.")
    sessions = []
    for session in data.sessions:
        given = matrices[session.name]
        weight, bias = given if isinstance(given, tuple) else (given, None)
        weight = np.asarray(weight, float)
        bias = np.zeros(session.n_channels) if bias is None else np.asarray(bias, float)
        if weight.ndim != 2 or len(weight) != session.n_channels or bias.shape != (session.n_channels,):
            raise DataError(
                f"The alignment of session {session.name!r} must have a matrix ({session.n_channels}, components) and, "
                f"if any, a bias ({session.n_channels},), got {weight.shape} and {bias.shape}."
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise DataError(f"The alignment of session {session.name!r} must be finite, but holds NaN or infinity.")
        sessions.append(dataclasses.replace(session, alignment=weight, alignment_bias=bias))
    validation.agree(
        {f"session {own.name!r}": own.n_components for own in sessions},
        "number of aligned components",
        "Give all sessions matrices with the same components.",
    )
    return dataclasses.replace(data, sessions=tuple(sessions))


def shared_components(data: Dataset, *, taps: int = 6) -> SharedComponents:
    """Returns the components of aligned sessions and how well each session rebuilds them.

    Args:
        data: Sessions with an alignment: from `align`, or from their files.
        taps: Bins of the moving average, as in `align`.

    Raises:
        DataError: If a session has no alignment.
    """
    for session in data.sessions:
        if session.alignment is None:
            raise DataError(f"Session {session.name!r} has no alignment. Compute it: lfadsx.align(data, 10).")
    conditions, rebuilt = _conditions(data), {}
    for number, session in enumerate(data.sessions):
        bias = np.zeros(session.n_channels) if session.alignment_bias is None else session.alignment_bias
        course = _course(data, number, conditions, taps) - np.asarray(bias)[:, None, None]
        observed = np.any(np.isfinite(course), axis=(1, 2))  # the others have no weight
        rebuilt[session.name] = np.einsum("cit,cf->fit", course[observed], np.asarray(session.alignment)[observed])
    components = _nanmean(np.stack(list(rebuilt.values())))
    r2 = {}
    for name, own in rebuilt.items():
        others = [other for session, other in rebuilt.items() if session != name] or [own]
        r2[name] = _explained(own, _nanmean(np.stack(others)))
    return SharedComponents(components, rebuilt, r2, conditions)


def _conditions(data: Dataset) -> list:
    """Returns the conditions of the training trials; [None] unless all sessions have labels."""
    labels = data.train.condition
    own = range(len(data.sessions))
    if labels is None or not all(data.train.labelled[data.train.session == number].any() for number in own):
        return [None]
    return list(np.unique(labels[data.train.labelled]))


def _check_shared(data: Dataset, conditions: list) -> None:
    """Raises `DataError` unless each session shares a condition with another; logs how sessions are aligned."""
    labels = data.train.condition
    if labels is None or conditions == [None]:
        log.info("Not all sessions have condition labels: sessions are aligned by the average of all their trials.")
        return
    own = [set(labels[data.train.labelled & (data.train.session == number)]) for number in range(len(data.sessions))]
    for session, has in zip(data.sessions, own, strict=True):
        others = set().union(*(other for other in own if other is not has)) if len(own) > 1 else has
        if not has & others:
            raise DataError(
                f"Session {session.name!r} must share a condition with another session to be aligned. Give "
                "conditions the same labels in all sessions, or leave the labels out to align by time alone."
            )
    log.info("Sessions are aligned by the averages of %d conditions.", len(conditions))


def _course(data: Dataset, number: int, conditions: list, taps: int) -> Float[np.ndarray, "channel condition time"]:
    """Returns smoothed averages of one session's training trials; NaN where data are missing."""
    train, n_channels = data.train, data.sessions[number].n_channels
    rows = np.flatnonzero(train.session == number)
    labels = None if train.condition is None else train.condition[rows]
    values = train.encoder_input[rows][:, :, :n_channels].astype(float)
    seen = inside(train.encoder_length[rows], values.shape[1])[:, :, None]
    if train.encoder_observed is not None:
        seen = seen & train.encoder_observed[rows][:, :, :n_channels]
    values = np.where(seen, values, np.nan)
    course = np.full((n_channels, len(conditions), values.shape[1]), np.nan)
    for place, condition in enumerate(conditions):
        chosen = values if condition is None else values[labels == condition]
        course[:, place] = _smooth(_nanmean(chosen), taps).T
    return course


def _smooth(course: Float[np.ndarray, "time channel"], taps: int) -> Float[np.ndarray, "time channel"]:
    """Returns a moving average forwards and one backwards, over the bins with data; NaN stays NaN."""
    kernel = np.convolve(np.ones(taps), np.ones(taps))
    there = np.isfinite(course)

    def over(values: np.ndarray) -> np.ndarray:
        whole = [np.convolve(column, kernel) for column in values.T]
        return np.stack(whole, 1)[taps - 1 : taps - 1 + len(values)]

    weight = over(there.astype(float))
    return np.where(there, over(np.where(there, course, 0.0)) / np.maximum(weight, 1e-12), np.nan)


def _fill_in(
    values: Float[np.ndarray, "channel sample"], n_components: int
) -> tuple[Float[np.ndarray, "channel sample"], Float[np.ndarray, "channel component"]]:
    """Returns values with gaps filled in from the components, and the principal axes."""
    gaps = np.isnan(values)
    filled = np.where(gaps, 0.0, values)  # the mean
    for _ in range(SWEEPS):
        _, axes = np.linalg.eigh(filled @ filled.T)  # eigenvalues ascend
        axes = axes[:, ::-1][:, :n_components]
        before = filled[gaps]
        filled[gaps] = (axes @ (axes.T @ filled))[gaps]
        if np.linalg.norm(filled[gaps] - before) <= TOLERANCE * np.linalg.norm(filled):
            break
    return filled, axes


def _spread(course: Float[np.ndarray, "channel sample"]) -> Float[np.ndarray, " channel"]:
    """Returns the standard deviation of each channel, 1 for a constant channel: real values may have any unit."""
    std = np.nanstd(course, axis=1)
    return np.where(std > 0, std, 1.0)


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the finite values over the first axis, NaN without any (`numpy.nanmean` warns then)."""
    there = np.isfinite(values)
    count = there.sum(0)
    return np.where(count > 0, np.where(there, values, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def _explained(own: np.ndarray, components: np.ndarray) -> Float[np.ndarray, " component"]:
    """Returns the share of the variance of each component that a session rebuilds, over the bins with data."""
    there = np.isfinite(own) & np.isfinite(components)
    found = []
    for place in range(len(components)):
        truth, values = components[place][there[place]], own[place][there[place]]
        if not len(truth):
            found.append(np.nan)
            continue
        found.append(1 - np.sum((values - truth) ** 2) / max(np.sum((truth - truth.mean()) ** 2), 1e-12))
    return np.array(found)
