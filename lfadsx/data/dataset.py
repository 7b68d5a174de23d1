"""Data sets on the host: sessions, splits, and what their numbers mean."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from lfadsx.types import INPUT_GROUP

TruthUnit = Literal["counts per bin", "Hz", "data", "relative"]


@dataclasses.dataclass(frozen=True)
class Session:
    """One recording session: its neurons and how they map between encoder and targets.

    Attributes:
        name: Name of the session; its read-in and read-out keep their parameters under it.
        n_channels: Number of encoder channels (neurons held in).
        n_targets: Number of channels of each target group.
        target_index: For each encoder channel the channel of the input group that it is, shape (channel,);
            -1 for an encoder channel that is no target.
        channel_names: Names of the channels of the input group, or None.
        alignment: W of the aligned components (x - b) W, where a linear read-in starts, shape (channel, component),
            in the unit of the components by that of the data (counts per bin), or None. All sessions of a data set
            have the same components, or none has any.
        alignment_bias: b, what is subtracted from the data x before, shape (channel,), in the unit of the data
            (counts per bin); None for zeros.
    """

    name: str
    n_channels: int
    n_targets: dict[str, int]
    target_index: np.ndarray
    channel_names: tuple[str, ...] | None = None
    alignment: np.ndarray | None = None
    alignment_bias: np.ndarray | None = None

    @property
    def n_components(self) -> int:
        """Number of aligned components, 0 without an alignment."""
        return 0 if self.alignment is None else self.alignment.shape[1]


@dataclasses.dataclass(frozen=True)
class Split:
    """The trials of one split (train, valid or test) of all sessions, in the order of the input.

    Arrays are padded to the longest trial and the widest session; counts have the smallest integer type that
    holds them. Optional fields are None where the data have nothing.

    Attributes:
        encoder_input: Shape (trial, encoder_time, channel).
        targets: By group, shape (trial, time, target_channel).
        encoder_observed: False where `encoder_input` is missing, same shape, or None.
        target_observed: By group, False where the target is missing, or None.
        known_inputs: Shape (trial, time, known), float32, or None.
        encoder_length: Shape (trial,).
        target_length: Shape (trial,).
        session: Index into `Dataset.sessions`, shape (trial,).
        trial_id: The user's own ids of the trials (the row number when the file has none), shape (trial,).
        truth: True rates of the input group, shape of its target, in `Dataset.truth_unit`, or None.
        true_inputs: True inputs, shape (trial, time, true_input), or None.
        condition: Condition of each trial, shape (trial,), or None.
        behaviour: Behaviour such as hand velocity, shape (trial, time, behaviour), NaN in the padding, or None.
    """

    encoder_input: np.ndarray
    targets: dict[str, np.ndarray]
    encoder_length: np.ndarray
    target_length: np.ndarray
    session: np.ndarray
    trial_id: np.ndarray
    encoder_observed: np.ndarray | None = None
    target_observed: dict[str, np.ndarray | None] = dataclasses.field(default_factory=dict)
    known_inputs: np.ndarray | None = None
    truth: np.ndarray | None = None
    true_inputs: np.ndarray | None = None
    condition: np.ndarray | None = None
    behaviour: np.ndarray | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.trial_id)

    @property
    def n_bins(self) -> int:
        """Number of bins of the longest trial, forward prediction included."""
        return next(iter(self.targets.values())).shape[1]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A whole data set: splits, sessions and what the numbers mean.

    Attributes:
        train: Trials that parameters, alignments, regressions and read-outs are fitted on.
        valid: Trials that early stopping and every choice of settings use.
        test: Trials scored once at the end, or None.
        sessions: The sessions, in the order of `Split.session`.
        bin_width: Width of a bin in seconds, or None when unknown (then nothing is given in Hz).
        input_group: The target group whose channels the encoder sees.
        truth_unit: Unit of `Split.truth`: "counts per bin", "Hz", "data" (that of the data, for real
            numbers) or "relative".
        behaviour_name: What `Split.behaviour` is, for tables and figures.
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds.
        source: Where the data came from: file names, SHA-256 of their content, seed of a simulation.
    """

    train: Split
    valid: Split
    sessions: tuple[Session, ...]
    test: Split | None = None
    bin_width: float | None = None
    input_group: str = INPUT_GROUP
    truth_unit: TruthUnit | None = None
    behaviour_name: str = "velocity"
    behaviour_lag: float = 0.0
    source: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, those that exist."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    @property
    def n_known_inputs(self) -> int:
        """Number of known inputs, 0 for none."""
        return 0 if self.train.known_inputs is None else self.train.known_inputs.shape[2]
