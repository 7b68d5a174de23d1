"""Recorded behaviour as a target group, which the decoder explains beside the spikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.trials import inside
from lfadsx.errors import DataError
from lfadsx.types import TargetGroup


def with_behaviour_target(data: Dataset, widths: Mapping[str, int] | None = None) -> Dataset:
    """Returns the data with their behaviour as one more target group; see `Dataset.with_behaviour_target`.

    Args:
        data: The data.
        widths: Channels of the group by session, for a model that exists already: behaviour that the data lack is
            missing then. By default those of the behaviour, and none for sessions without any.
    """
    name = data.behaviour_name
    if data.behaviour_target:
        return data
    if name in data.train.targets:
        raise DataError(
            f"The behaviour must not have the name of another target group, got {name!r}. Rename it (`behaviour_name`)."
        )
    if widths is None:
        if data.train.behaviour is None:
            raise DataError(
                "The training trials must have behaviour to make a target group of it, but have none. Give `behaviour` "
                "(trial, time, dimension), or the key train_velocity of a data file."
            )
        width = data.train.behaviour.shape[2]
        shown = {number for split in data.splits.values() for number in _sessions_with(split)}
        widths = {session.name: width for number, session in enumerate(data.sessions) if number in shown}
    sessions = tuple(_with_group(session, name, widths.get(session.name, 0)) for session in data.sessions)
    splits = {kind: _with_target(split, name, max(widths.values())) for kind, split in data.splits.items()}
    return dataclasses.replace(data, **splits, sessions=sessions, groups=data.groups | {name: TargetGroup("real")})


def _sessions_with(split: Split) -> np.ndarray:
    """Returns the numbers of the sessions that have any behaviour in a split."""
    if split.behaviour is None:
        return np.zeros(0, int)
    return np.unique(split.session[~np.isnan(split.behaviour).all((1, 2))])


def _with_group(session: Session, name: str, width: int) -> Session:
    return dataclasses.replace(session, n_targets=session.n_targets | {name: width})


def _with_target(split: Split, name: str, width: int) -> Split:
    """Returns a split with the behaviour as a target; NaN, and bins after the end of a trial, are missing."""
    values = split.behaviour
    if values is not None:
        validation.size(values.shape[2], width, "dimensions", f"The behaviour {name!r}", "the model's")
    else:
        values = np.full((split.n_trials, split.n_bins, width), np.nan, np.float32)
    observed = ~np.isnan(values) & inside(split.target_length, split.n_bins)[:, :, None]
    target = np.where(observed, values, 0.0).astype(np.float32)
    return dataclasses.replace(
        split,
        targets=split.targets | {name: target},
        target_observed=split.target_observed | {name: observed},
    )
