"""What is scored: the trials of one split, and the entries that each measure is about."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Mapping

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.scored_entries import held_out_channels, scored_mask
from lfadsx.results.posterior import Posterior as Posterior

BITS = ("bits_per_spike", "co_bps", "masked_bps", "fp_bps")
"""Measures of counts in bits per spike: entries that the encoder sees (reconstruction), held-out channels, entries
hidden from the encoder, forward-predicted bins."""

R2 = ("r2", "co_r2", "masked_r2", "fp_r2")
"""Measures of real data, about the same entries."""

MEASURES = (*BITS, "velocity_r2", "psth_r2", "rates_r2", "inputs_r2")
"""All measures of counts, in the order of the closing line; for real data those of `R2` follow."""

PSTH_KERNEL_SECONDS = 0.05
"""Standard deviation of the Gaussian that smooths PSTHs of the data when the bin width is known."""

PSTH_KERNEL_BINS = 2.0
"""The same, in bins, when the bin width is unknown."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One split to score, and what the scores of model and baselines share.

    Attributes:
        dataset: The data set.
        split_name: The scored split.
        hidden: True for the entries that masked rates were inferred without, (trial, time, target_channel), or None.
        spikes: True for bits per spike, False for R2 of the data.
        psth_kernel_bins: Standard deviation of the Gaussian that smooths PSTHs of the data; by default 50 ms.
        seed: Seed of resamples, random halves and shuffles.
    """

    dataset: Dataset
    split_name: str
    hidden: np.ndarray | None = None
    spikes: bool = True
    psth_kernel_bins: float | None = None
    seed: int = 0

    @property
    def split(self) -> Split:
        """The scored trials."""
        return self.dataset.splits[self.split_name]

    @property
    def values(self) -> np.ndarray:
        """Data of the group that the encoder sees."""
        return self.split.targets[self.dataset.input_group]

    @functools.cached_property
    def scored(self) -> np.ndarray:
        """True for the entries of `values` that exist."""
        return scored_mask(self.split, self.dataset)

    @functools.cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """True for the entries that each measure of the data is about, by its name."""
        held_out = held_out_channels(self.dataset)[self.split.session][:, None, :]
        seen = seen_bins(self.split)
        hidden = np.zeros_like(self.scored) if self.hidden is None else self.hidden
        parts = seen & ~held_out, seen & held_out, seen & hidden, ~seen
        return {name: self.scored & part for name, part in zip(BITS if self.spikes else R2, parts, strict=True)}

    @property
    def kernel_bins(self) -> float:
        """Standard deviation of the Gaussian that smooths PSTHs of the data, in bins."""
        if self.psth_kernel_bins is not None:
            return self.psth_kernel_bins
        width = self.dataset.bin_width
        return PSTH_KERNEL_BINS if width is None else PSTH_KERNEL_SECONDS / width

    def sessions(self) -> Iterator[tuple[Session, np.ndarray, int]]:
        """Each session with scored trials, its trials, and its number of channels."""
        for index, session in enumerate(self.dataset.sessions):
            own = self.split.session == index
            trials = np.flatnonzero(own)
            if len(trials):
                yield session, trials, session.n_targets[self.dataset.input_group]


def has_bits(dataset: Dataset, split_name: str, *rates: np.ndarray) -> bool:
    """Returns whether rates are scored in bits per spike: the data are counts, and no rate is below 0."""
    scored = scored_mask(dataset.splits[split_name], dataset)
    return dataset.is_counts() and not any(np.any(of[scored] < 0) for of in rates)


def check_posteriors(dataset: Dataset, split_name: str, posteriors: Mapping[str, Posterior]) -> None:
    """Checks that there are data and rates to score and that they belong together."""
    if split_name not in dataset.splits or split_name not in posteriors:
        raise LfadsxError(
            f"Scoring the split {split_name!r} needs its data and its posterior, but there are data of "
            f"{sorted(dataset.splits)} and posteriors of {sorted(posteriors)}. Name a split that is in both."
        )
    for name in sorted({split_name, "train"} & set(posteriors)):
        split, posterior = dataset.splits[name], posteriors[name]
        rates, values = posterior.rates[dataset.input_group], split.targets[dataset.input_group]
        agree = np.array_equal(posterior.trial_id, split.trial_id)
        if rates.shape != values.shape or not agree:
            raise LfadsxError(
                f"The posterior of {name!r} has rates of shape {rates.shape} and the data have shape "
                f"{values.shape}; their trial ids {'agree' if agree else 'differ'}. Infer the rates of this "
                "very split and keep its order."
            )
        check_finite(rates, scored_mask(split, dataset), f"rates of {name!r}")


def check_masked(dataset: Dataset, split_name: str, rates: np.ndarray, hidden: np.ndarray) -> None:
    """Checks that masked rates and the mask belong to the scored data."""
    scored = scored_mask(dataset.splits[split_name], dataset)
    if rates.shape != scored.shape or hidden.shape != scored.shape:
        raise LfadsxError(
            f"masked has rates of shape {rates.shape} and a mask of shape {hidden.shape}, but the "
            f"targets have shape {scored.shape}. Give both in the coordinates of the targets."
        )
    check_finite(rates, scored & hidden, "rates of hidden entries")


def check_finite(values: np.ndarray, scored: np.ndarray, what: str) -> None:
    """Checks that no scored value is NaN or infinite."""
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
