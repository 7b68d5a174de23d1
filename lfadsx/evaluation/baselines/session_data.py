"""One session's trials of a split, which a baseline learns from and predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.metrics.known_entries import masked_sum
from lfadsx.results.labels import Labels

Rates = Float[np.ndarray, "trial time target_channel"]
"""Rates of a baseline."""


@dataclasses.dataclass(frozen=True)
class Part:
    """The trials of one session in a split, without the channels of other sessions.

    Attributes:
        trials: Numbers of the trials in the split, shape (trial,).
        values: The targets, shape (trial, time, channel).
        scored: True where a target exists, of the same shape.
        encoder_input: Shape (trial, encoder_time, encoder channel).
        seen: True where the encoder sees an entry, of the same shape.
        in_encoder: True for bins within the encoder's window, shape (trial, encoder_time).
        is_counts: True for counts, False for real numbers.
    """

    trials: np.ndarray
    values: np.ndarray
    scored: np.ndarray
    encoder_input: np.ndarray
    seen: np.ndarray
    in_encoder: np.ndarray
    is_counts: bool

    @property
    def n_channels(self) -> int:
        """Number of target channels."""
        return self.values.shape[2]

    def only(self, chosen: np.ndarray) -> Part:
        """Returns the chosen trials."""
        of_trials = [field.name for field in dataclasses.fields(self) if field.name != "is_counts"]
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in of_trials})

    def mean_rate(self) -> np.ndarray:
        """Returns the mean of each target channel, shape (channel,); never 0 for counts."""
        return mean_value(self.values, self.scored, self.is_counts)


def part_of(dataset: Dataset, split: Split, index: int) -> Part:
    """Returns the trials of the session with this index."""
    session, trials = dataset.sessions[index], np.flatnonzero(split.session == index)
    n_targets, n_channels = session.n_targets[dataset.input_group], session.n_channels
    encoder_input = split.encoder_input[trials, :, :n_channels]
    in_encoder = np.arange(encoder_input.shape[1]) < split.encoder_length[trials, None]
    seen = np.broadcast_to(in_encoder[:, :, None], encoder_input.shape)
    if split.encoder_observed is not None:
        seen = seen & split.encoder_observed[trials, :, :n_channels]
    return Part(
        trials=trials,
        values=split.targets[dataset.input_group][trials, :, :n_targets],
        scored=scored_mask(split, dataset)[trials, :, :n_targets],
        encoder_input=encoder_input,
        seen=seen,
        in_encoder=in_encoder,
        is_counts=dataset.is_counts(),
    )


def parts_and_training(dataset: Dataset, split: Split) -> Iterator[tuple[Part, Part]]:
    """Yields for each session its trials of the split and its training trials."""
    for index in range(len(dataset.sessions)):
        yield part_of(dataset, split, index), part_of(dataset, dataset.train, index)


def unknown_rates(dataset: Dataset, split: Split) -> np.ndarray:
    """Returns NaN for every entry of the input group, for a baseline to fill in."""
    return np.full(split.targets[dataset.input_group].shape, np.nan)


def mean_value(values: np.ndarray, known: np.ndarray, is_counts: bool) -> np.ndarray:
    """Returns the mean of each channel over trials and bins; half a count is added, so that no rate is 0."""
    total = masked_sum(values, known, (0, 1)) + (0.5 if is_counts else 0.0)
    return total / np.maximum(known.sum((0, 1)), 1)


def held_out_channels(dataset: Dataset) -> Bool[np.ndarray, "session target_channel"]:
    """Returns True for channels of each session that are targets of the input group but not seen by the encoder.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> held_out_channels(dataset).tolist()
        [[False, False, True]]
    """
    return Labels.of(dataset).held_out()


def seen_bins(split: Split) -> np.ndarray:
    """Returns True for bins that the encoder sees, shape (trial, time, 1)."""
    return (np.arange(split.n_bins) < split.encoder_length[:, None])[:, :, None]
