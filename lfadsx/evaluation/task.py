"""The task: the trials of one split to score, and the entries that each measure scores."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Mapping

import numpy as np

from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.session_data import held_out_channels, seen_bins
from lfadsx.results.posterior import Posterior

BITS = ("bits_per_spike", "co_bps", "masked_bps", "fp_bps")
"""Measures of counts in bits per spike: entries that the encoder sees (reconstruction), held-out channels, entries
hidden from the encoder, forward-predicted bins."""

R2 = ("r2", "co_r2", "masked_r2", "fp_r2")
"""Measures of real data for the same entries."""

MEASURES = (*BITS, "velocity_r2", "readout_r2", "psth_r2", "timing_r", "rates_r2", "inputs_r2")
"""All measures of counts, in the order of the closing line; for real data those of `R2` follow."""

LOWER_IS_BETTER = ("timing_r",)
"""Measures whose best value is the lowest."""

PSTH_KERNEL_SECONDS = 0.05
"""Standard deviation of the Gaussian that smooths PSTHs of the data when the bin width is known."""

PSTH_KERNEL_BINS = 2.0
"""The same, in bins, when the bin width is unknown."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One split to score, and the settings that model and baselines share.

    Attributes:
        dataset: The data set.
        split_name: The scored split.
        hidden: True for entries whose masked rates were inferred without them, (trial, time, target_channel), or None.
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
        """True for the entries that each measure of the data scores, by its name."""
        held_out = held_out_channels(self.dataset)[self.split.session][:, None, :]
        seen = seen_bins(self.split)
        hidden = np.zeros_like(self.scored) if self.hidden is None else self.hidden
        parts = seen & ~held_out, seen & held_out, seen & hidden, ~seen
        return {name: self.scored & part for name, part in zip(BITS if self.spikes else R2, parts, strict=True)}

    @functools.cached_property
    def in_interval(self) -> np.ndarray | None:
        """True for bins between the first event and time 0, (trial, time); None without intervals or bin width."""
        interval, width = self.split.interval, self.dataset.bin_width
        if interval is None or width is None:
            return None
        times = self.dataset.time.centres(self.split.n_bins)
        exists = np.arange(self.split.n_bins) < self.split.encoder_length[:, None]
        return exists & (times < 0) & (times > -interval[:, None])

    @property
    def kernel_bins(self) -> float:
        """Standard deviation of the Gaussian that smooths PSTHs of the data, in bins."""
        if self.psth_kernel_bins is not None:
            return self.psth_kernel_bins
        width = self.dataset.bin_width
        return PSTH_KERNEL_BINS if width is None else PSTH_KERNEL_SECONDS / width

    def sessions(self) -> Iterator[tuple[Session, np.ndarray, int]]:
        """Yields each session with scored trials, its trials, and its number of channels."""
        for index, session in enumerate(self.dataset.sessions):
            trials = np.flatnonzero(self.split.session == index)
            if len(trials):
                yield session, trials, session.n_targets[self.dataset.input_group]


def has_bits(dataset: Dataset, split_name: str, *rates: np.ndarray) -> bool:
    """Returns True if rates are scored in bits per spike: the data are counts, and no rate is below 0."""
    scored = scored_mask(dataset.splits[split_name], dataset)
    return dataset.is_counts() and not any(np.any(of[scored] < 0) for of in rates)


def check_posteriors(dataset: Dataset, split_name: str, posteriors: Mapping[str, Posterior]) -> None:
    """Checks that there are data and rates to score and that they are of the same trials."""
    if split_name not in dataset.splits or split_name not in posteriors:
        raise LfadsxError(
            f"`split` must have data and a posterior, got {split_name!r} with data of {sorted(dataset.splits)} and "
            f"posteriors of {sorted(posteriors)}. Name a split that is in both."
        )
    for name in sorted({split_name, "train"} & set(posteriors)):
        split, posterior = dataset.splits[name], posteriors[name]
        rates, values = posterior.rates[dataset.input_group], split.targets[dataset.input_group]
        agree = np.array_equal(posterior.trial_id, split.trial_id)
        if rates.shape != values.shape or not agree:
            raise LfadsxError(
                f"The posterior of {name!r} must be of the trials of its split, but rates have shape {rates.shape}, "
                f"data have shape {values.shape}, and the trial ids {'agree' if agree else 'differ'}. Infer the "
                "rates of this split and keep the order of its trials."
            )
        check_finite(rates, scored_mask(split, dataset), f"rates of {name!r}")


def check_masked(dataset: Dataset, split_name: str, rates: np.ndarray, hidden: np.ndarray) -> None:
    """Checks that masked rates and the mask have the shape of the scored data."""
    scored = scored_mask(dataset.splits[split_name], dataset)
    if rates.shape != scored.shape or hidden.shape != scored.shape:
        raise LfadsxError(
            f"`masked` must have rates and a mask of the shape of the targets, {scored.shape}, got rates of shape "
            f"{rates.shape} and a mask of shape {hidden.shape}."
        )
    check_finite(rates, scored & hidden, "rates of hidden entries")


def check_finite(values: np.ndarray, scored: np.ndarray, name: str) -> None:
    """Checks that no scored value is NaN or infinite."""
    n_bad = np.count_nonzero(scored & ~np.isfinite(values))
    if n_bad:
        raise LfadsxError(
            f"Scored values must be finite, but {n_bad} of {np.count_nonzero(scored)} {name} are NaN or infinite. "
            "Check that training stayed finite and that the rates are those of these data."
        )


def has_sklearn() -> bool:
    """Returns True if scikit-learn, which decoding needs, is installed."""
    return importlib.util.find_spec("sklearn") is not None
