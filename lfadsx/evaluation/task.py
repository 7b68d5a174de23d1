"""What is scored: the trials of one split, what was inferred for them, and the entries of each measure."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Mapping

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import held_out_channels, scored_mask
from lfadsx.inference.posterior import Posterior

BITS = ("bits_per_spike", "co_bps", "masked_bps", "fp_bps")
"""Measures in bits per spike; they exist for spike counts only."""

MEASURES = (*BITS, "velocity_r2", "psth_r2", "rates_r2", "inputs_r2")
"""All measures, in the order of the table and of the closing line."""

PSTH_KERNEL_SECONDS = 0.05
"""Standard deviation of the Gaussian that smooths PSTHs of counts when the bin width is known."""

PSTH_KERNEL_BINS = 2.0
"""The same, in bins, when the bin width is unknown."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One split to score, and everything that the scores of model and baselines share.

    Attributes:
        dataset: The data set.
        split_name: The scored split.
        posteriors: What inference returned, by split.
        masked: Rates inferred while entries were hidden from the encoder and True for these entries, or None.
        spikes: Whether the data are spike counts.
        kernel_bins: Standard deviation of the Gaussian that smooths PSTHs of counts.
        seed: Seed of resamples, random halves and shuffles.
    """

    dataset: Dataset
    split_name: str
    posteriors: Mapping[str, Posterior]
    masked: tuple[np.ndarray, np.ndarray] | None
    spikes: bool
    kernel_bins: float
    seed: int

    @property
    def split(self) -> Split:
        """The scored trials."""
        return self.dataset.splits[self.split_name]

    @property
    def posterior(self) -> Posterior:
        """What was inferred for the scored trials."""
        return self.posteriors[self.split_name]

    @property
    def counts(self) -> np.ndarray:
        """Data of the group that the encoder sees."""
        return self.split.targets[self.dataset.input_group]

    @functools.cached_property
    def scored(self) -> np.ndarray:
        """True for the entries of `counts` that exist."""
        return scored_mask(self.split, self.dataset)

    @functools.cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """True for the entries that each measure in bits per spike is about."""
        held_out = held_out_channels(self.dataset)[self.split.session][:, None, :]
        seen = seen_bins(self.split)
        hidden = np.zeros_like(self.scored) if self.masked is None else self.masked[1]
        return {
            "bits_per_spike": self.scored & seen & ~held_out,
            "co_bps": self.scored & seen & held_out,
            "masked_bps": self.scored & seen & hidden,
            "fp_bps": self.scored & ~seen,
        }

    def sessions(self, only: np.ndarray | None = None) -> Iterator[tuple[Session, np.ndarray, int]]:
        """Each session with scored trials, its trials (of those that `only` marks), and its number of neurons."""
        for index, session in enumerate(self.dataset.sessions):
            own = self.split.session == index
            trials = np.flatnonzero(own if only is None else own & only)
            if len(trials):
                yield session, trials, session.n_targets[self.dataset.input_group]


def check_task(task: Task) -> None:
    """Checks that there are data and rates to score and that they belong together.

    Raises:
        LfadsxError: The split or its posterior is missing, the two have different trials, or a scored rate is
            NaN or infinite.
    """
    dataset, posteriors = task.dataset, task.posteriors
    if task.split_name not in dataset.splits or task.split_name not in posteriors:
        raise LfadsxError(
            f"Scoring the split {task.split_name!r} needs its data and its posterior, but there are data of "
            f"{sorted(dataset.splits)} and posteriors of {sorted(posteriors)}. Name a split that is in both."
        )
    for name in sorted({task.split_name, "train"} & set(posteriors)):
        _check_posterior(dataset, name, posteriors[name])
    if task.masked is None:
        return
    rates, hidden = task.masked
    if rates.shape != task.scored.shape or hidden.shape != task.scored.shape:
        raise LfadsxError(
            f"masked has rates of shape {rates.shape} and a mask of shape {hidden.shape}, but the "
            f"targets have shape {task.scored.shape}. Give both in the coordinates of the targets."
        )
    check_finite(rates, task.scored & hidden, "rates of hidden entries")


def _check_posterior(dataset: Dataset, name: str, posterior: Posterior) -> None:
    split = dataset.splits[name]
    rates, counts = posterior.rates[dataset.input_group], split.targets[dataset.input_group]
    agree = np.array_equal(posterior.trial_id, split.trial_id)
    if rates.shape != counts.shape or not agree:
        raise LfadsxError(
            f"The posterior of {name!r} has rates of shape {rates.shape} and the data have shape "
            f"{counts.shape}; their trial ids {'agree' if agree else 'differ'}. Infer the rates of this "
            "very split and keep its order."
        )
    check_finite(rates, scored_mask(split, dataset), f"rates of {name!r}")


def check_finite(values: np.ndarray, scored: np.ndarray, what: str) -> None:
    """Checks that no scored value is NaN or infinite.

    Raises:
        LfadsxError: At least one is.
    """
    n_bad = np.count_nonzero(scored & ~np.isfinite(values))
    if n_bad:
        raise LfadsxError(
            f"{n_bad} of {np.count_nonzero(scored)} {what} are NaN or infinite where the data exist. "
            "Check that training stayed finite and that the rates belong to these data."
        )


def seen_bins(split: Split) -> np.ndarray:
    """True for bins that the encoder sees, shape (trial, time, 1)."""
    return (np.arange(split.n_bins) < split.encoder_length[:, None])[:, :, None]


def has_sklearn() -> bool:
    """Whether scikit-learn, which decoding and Poisson regression need, is installed."""
    return importlib.util.find_spec("sklearn") is not None
