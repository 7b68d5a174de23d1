"""Alignment of several sessions, computed from their data: where a model of all of them starts."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import DataError

log = logging.getLogger("lfadsx")

SWEEPS = 500
"""Most sweeps in which what some sessions have not recorded is filled in."""
TOLERANCE = 1e-7
"""Relative change of what is filled in, below which no further sweep is made."""


@dataclasses.dataclass(frozen=True)
class SharedComponents:
    """How well each session rebuilds the components that all share.

    Attributes:
        components: Mean over the sessions, shape (component, condition, time), in the unit of the components.
        rebuilt: By session, (x - b) W of its averages, same shape; NaN where it has no data.
        r2: By session, how well it rebuilds each component as the others have it: 1 - SSE / SST against their mean,
            shape (component,). A component that only one session has is not shared, and has 0 or less.
        conditions: The conditions; only `None` when the sessions are aligned by the average of all trials.
    """

    components: Float[np.ndarray, "component condition time"]
    rebuilt: dict[str, Float[np.ndarray, "component condition time"]]
    r2: dict[str, Float[np.ndarray, " component"]]
    conditions: list


def align(data: Dataset, n_components: int, *, taps: int = 6) -> Dataset:
    r"""Returns the data with an alignment of their sessions: the same components, from the neurons of each.

    The training trials of each condition are averaged and smoothed, the averages of all sessions stacked neuron by
    neuron, and their principal components regressed on the neurons of each session:

    .. math:: W_s = \arg\min_W \|X_s^T W - (V^T X)^T\|^2

    A model of these sessions starts its read-ins at W_s and its read-outs at the way back (`start_from_alignment`). A
    session need not have all conditions, bins or neurons: what is missing of X is filled in by the components
    themselves, again and again until nothing changes, so that a session with few trials is lost neither for the
    components nor for itself. Where a session has no condition labels, all are aligned by the average of all trials,
    and a message says so: this takes for granted that all sessions do the same on average.

    Source: Pandarinath et al. 2018, Nature Methods, stitching of sessions; Grung & Manne 1998, Chemometrics and
    Intelligent Laboratory Systems 42, for principal components of incomplete data.

    Example:
        >>> import lfadsx
        >>> days = [lfadsx.datasets.chaotic_rnn(conditions=4, neurons=n, session=f"day{n}") for n in (50, 40)]
        >>> data = lfadsx.align(lfadsx.data.concatenate(*days), n_components=5)
        >>> [session.alignment.shape for session in data.sessions]
        [(50, 5), (40, 5)]

    Args:
        data: Several sessions (one works, too). An alignment that they have already is replaced.
        n_components: Number of components: how many the sessions share reliably, some 4 to 20.
        taps: Bins of the moving average that smooths, running forwards and backwards; 1 for none.

    Raises:
        DataError: If there are more components than neurons of a session, or sessions share no condition.
    """
    if taps < 1:
        raise DataError(f"taps = {taps} is no number of bins to average over. Give 1, which smooths nothing, or more.")
    for session in data.sessions:
        if not 1 <= n_components <= session.n_channels:
            raise DataError(
                f"{n_components} components were asked for and session {session.name!r} has {session.n_channels} "
                "neurons. Give from 1 to that number."
            )
    conditions = _conditions(data)
    _say_how(data, conditions)
    courses = [
        _course(data, number, conditions, taps).reshape(s.n_channels, -1) for number, s in enumerate(data.sessions)
    ]
    # A channel that was never observed has mean 0 and, below, no weight.
    means = [_nanmean(course.T) for course in courses]
    means = [np.nan_to_num(mean) for mean in means]
    units = [np.ones(len(course)) if data.is_counts() else _spread(course) for course in courses]
    scaled = [
        (course - mean[:, None]) / unit[:, None] for course, mean, unit in zip(courses, means, units, strict=True)
    ]
    together, axes = _fill_in(np.concatenate(scaled), n_components)
    components = axes.T @ together
    sessions, first = [], 0
    for session, course, mean, unit in zip(data.sessions, courses, means, units, strict=True):
        own = together[first : first + len(course)]
        first += len(course)
        there = np.any(np.isfinite(course), axis=0)
        weight = np.linalg.lstsq(own[:, there].T, components[:, there].T, rcond=None)[0]
        observed = np.any(np.isfinite(course), axis=1, keepdims=True)
        weight = np.where(observed, weight, 0.0)
        sessions.append(dataclasses.replace(session, alignment=weight / unit[:, None], alignment_bias=mean))
    return dataclasses.replace(data, sessions=tuple(sessions))


def shared_components(data: Dataset, *, taps: int = 6) -> SharedComponents:
    """Returns the components of aligned sessions and how well each of them rebuilds these.

    Args:
        data: Sessions with an alignment: from `align`, or from their files.
        taps: Bins of the moving average, as in `align`.

    Raises:
        DataError: If a session has no alignment.
    """
    for session in data.sessions:
        if session.alignment is None:
            raise DataError(f"Session {session.name!r} has no alignment. Compute one: lfadsx.align(data, 10).")
    conditions, rebuilt = _conditions(data), {}
    for number, session in enumerate(data.sessions):
        bias = np.zeros(session.n_channels) if session.alignment_bias is None else session.alignment_bias
        course = _course(data, number, conditions, taps) - np.asarray(bias)[:, None, None]
        observed = np.any(np.isfinite(course), axis=(1, 2))  # a channel that never was has no weight
        rebuilt[session.name] = np.einsum("cit,cf->fit", course[observed], np.asarray(session.alignment)[observed])
    components = _nanmean(np.stack(list(rebuilt.values())))
    r2 = {}
    for name, own in rebuilt.items():
        others = [other for session, other in rebuilt.items() if session != name] or [own]
        r2[name] = _explained(own, _nanmean(np.stack(others)))
    return SharedComponents(components, rebuilt, r2, conditions)


def _conditions(data: Dataset) -> list:
    """The conditions of the training trials; only `None` unless all sessions have labels."""
    labels = data.train.condition
    own = range(len(data.sessions))
    if labels is None or not all(data.train.labelled[data.train.session == number].any() for number in own):
        return [None]
    return list(np.unique(labels[data.train.labelled]))


def _say_how(data: Dataset, conditions: list) -> None:
    labels = data.train.condition
    if labels is None or conditions == [None]:
        log.info("Not all sessions have condition labels: sessions are aligned by the average of all their trials.")
        return
    own = [set(labels[data.train.labelled & (data.train.session == number)]) for number in range(len(data.sessions))]
    for session, has in zip(data.sessions, own, strict=True):
        others = set().union(*(other for other in own if other is not has)) if len(own) > 1 else has
        if not has & others:
            raise DataError(
                f"Session {session.name!r} shares no condition with another one, so that nothing can align it. Give "
                "conditions the same labels in all sessions, or leave the labels out to align by time alone."
            )
    log.info("Sessions are aligned by the averages of %d conditions.", len(conditions))


def _course(data: Dataset, number: int, conditions: list, taps: int) -> Float[np.ndarray, "channel condition time"]:
    """Smoothed averages of one session's training trials; NaN where there are no data."""
    train, session = data.train, data.sessions[number]
    rows = np.flatnonzero(train.session == number)
    values = train.encoder_input[rows][:, :, : session.n_channels].astype(float)
    seen = _seen(train, rows, session.n_channels)
    labels = None if train.condition is None else train.condition[rows]
    course = np.full((session.n_channels, len(conditions), values.shape[1]), np.nan)
    for place, condition in enumerate(conditions):
        chosen = np.ones(len(rows), bool) if condition is None else labels == condition
        count = seen[chosen].sum(0)
        total = np.where(seen[chosen], values[chosen], 0.0).sum(0)
        average = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        course[:, place] = _smooth(average, taps).T
    return course


def _seen(train: Split, rows: np.ndarray, n_channels: int) -> Bool[np.ndarray, "trial time channel"]:
    """True for entries of the session that the encoders may see."""
    n_bins = train.encoder_input.shape[1]
    inside = np.arange(n_bins) < train.encoder_length[rows][:, None]
    seen = np.broadcast_to(inside[:, :, None], (len(rows), n_bins, n_channels))
    return seen if train.encoder_observed is None else seen & train.encoder_observed[rows][:, :, :n_channels]


def _smooth(course: Float[np.ndarray, "time channel"], taps: int) -> Float[np.ndarray, "time channel"]:
    """A moving average forwards and one backwards, over the bins that have data; NaN stays NaN."""
    kernel = np.convolve(np.ones(taps), np.ones(taps))
    there = np.isfinite(course)
    over = lambda x: np.stack([np.convolve(column, kernel)[taps - 1 : taps - 1 + len(column)] for column in x.T], 1)  # noqa: E731
    weight = over(there.astype(float))
    return np.where(there, over(np.where(there, course, 0.0)) / np.maximum(weight, 1e-12), np.nan)


def _fill_in(
    values: Float[np.ndarray, "channel sample"], n_components: int
) -> tuple[Float[np.ndarray, "channel sample"], Float[np.ndarray, "channel component"]]:
    """Returns values without gaps, each gap holding what the components say of it, and the principal axes."""
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
    """The standard deviation of each channel, 1 for one that does not vary: real values may have any unit."""
    std = np.nanstd(course, axis=1)
    return np.where(std > 0, std, 1.0)


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is there, NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(0)
    return np.where(count > 0, np.where(there, values, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def _explained(own: np.ndarray, components: np.ndarray) -> Float[np.ndarray, " component"]:
    """Share of the variance of each component that a session rebuilds, over the bins that are there."""
    there = np.isfinite(own) & np.isfinite(components)
    found = []
    for place in range(len(components)):
        truth, values = components[place][there[place]], own[place][there[place]]
        if not len(truth):
            found.append(np.nan)
            continue
        found.append(1 - np.sum((values - truth) ** 2) / max(np.sum((truth - truth.mean()) ** 2), 1e-12))
    return np.array(found)
