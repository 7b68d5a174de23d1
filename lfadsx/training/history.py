"""From the figures of steps to those of epochs, on the host."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.config import HyperParams

log = logging.getLogger("lfadsx")

Row = dict[str, float]
"""Figures of an epoch by name."""


def columns(history: Sequence[Row]) -> dict[str, np.ndarray]:
    """Returns the history by figure: arrays of shape (epoch,)."""
    return {name: np.array([row[name] for row in history]) for name in (history[0] if history else ())}


def rows_of(history: Mapping[str, np.ndarray]) -> list[Row]:
    """Returns the rows that `columns` was given."""
    return [dict(zip(history, map(float, values), strict=True)) for values in zip(*history.values(), strict=True)]


def valid_loss(row: Row, hyper: HyperParams) -> float:
    """Returns the loss of validation trials with the weights that the epoch ended with, in nats per trial.

    The penalty on correlated inputs is that of the training trials.
    """
    kl_ic = row["kl_ic_weight"] * float(hyper.kl_ic_scale) * row["valid_kl_ic"]
    kl_inputs = row["kl_co_weight"] * float(hyper.kl_co_scale) * row["valid_kl_inputs"]
    penalties = row["l2_weight"] * row["l2"] + float(hyper.co_corr_scale) * row["correlation"]
    return row["valid_reconstruction"] + kl_ic + kl_inputs + penalties


def report_skipped(sums: Mapping[str, Sequence[float]], epoch: int, who: str = "") -> None:
    """Logs the steps of a block that were skipped, and the terms that broke.

    Args:
        sums: The block's `StepReport`, by name.
        epoch: Number of the epoch.
        who: Name of the member of a population, to begin with.
    """
    for step in np.flatnonzero(sums["skipped"]).tolist():
        terms = ("reconstruction", "kl_ic", "kl_inputs", "correlation", "l2")
        broken = [name for name in terms if not np.isfinite(sums[name][step])] or ["gradient"]
        log.warning(
            "%sA step of epoch %d was skipped because %s was not finite. If this goes on, lower learning_rate or "
            "look for extreme values in the data.",
            who,
            epoch,
            " and ".join(broken),
        )


def summarise(pending: Sequence[Mapping[str, Sequence[float]]]) -> Row:
    """Averages the steps of an epoch's blocks: parts in nats per trial, skipped steps left out."""
    steps = {name: np.concatenate([block[name] for block in pending]) for name in pending[0]}
    used = (steps["n_trials"] > 0) & (steps["skipped"] == 0)
    if not used.any():
        used = ~(steps["n_trials"] == 0)  # a member that rests has NaN there, and everywhere
    n = steps["n_trials"][used]
    penalty = steps["l2_weight"][used] * steps["l2"][used]
    # The loss of a short batch is divided by the full batch's size already, the penalty is not.
    row: dict[str, Any] = {"loss": np.sum(steps["loss"][used] - penalty) * n.max() / n.sum() + penalty.mean()}
    per_trial = ("reconstruction", "kl_ic", "kl_inputs", "correlation")
    row |= {name: steps[name][used].sum() / n.sum() for name in per_trial}
    row |= {name: steps[name][used].mean() for name in ("l2", "grad_norm")}
    row |= {name: steps[name][used][-1] for name in ("kl_ic_weight", "kl_co_weight", "l2_weight", "learning_rate")}
    row["skipped"] = steps["skipped"].sum()
    return {name: float(value) for name, value in row.items()}
