"""One session's share of a split: what a baseline learns from and predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.baselines.scored_entries import scored_mask


@dataclasses.dataclass(frozen=True)
class Part:
    """The trials of one session in a split, without the channels that other sessions have.

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
        """The chosen trials."""
        of_trials = [field.name for field in dataclasses.fields(self) if field.name != "is_counts"]
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in of_trials})

    def mean_rate(self) -> np.ndarray:
        """Mean of each target channel, shape (channel,); never 0 for counts."""
        return mean_value(self.values, self.scored, self.is_counts)


def part_of(dataset: Dataset, split: Split, index: int) -> Part:
    """The share of the session with this index."""
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
    """For each session its share of the split and its training trials."""
    for index in range(len(dataset.sessions)):
        yield part_of(dataset, split, index), part_of(dataset, dataset.train, index)


def unknown_rates(dataset: Dataset, split: Split) -> np.ndarray:
    """NaN for every entry of the input group, for a baseline to fill in."""
    return np.full(split.targets[dataset.input_group].shape, np.nan)


def mean_value(values: np.ndarray, known: np.ndarray, is_counts: bool) -> np.ndarray:
    """Mean of each channel over trials and bins; half a count is added, so that a silent neuron has a rate."""
    total = np.where(known, values, 0).sum((0, 1), dtype=np.float64) + (0.5 if is_counts else 0.0)
    return total / np.maximum(known.sum((0, 1)), 1)
