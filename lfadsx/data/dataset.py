"""Data sets on the host: sessions, splits, and what their numbers mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from lfadsx.data import validation
from lfadsx.data.choices import Choice
from lfadsx.data.condition_labels import has_label
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP, TargetGroup, TimeAxis, array_shapes

TruthUnit = Literal["counts per bin", "Hz", "data", "relative"]

SERIES = {"known_inputs": 0.0, "truth": np.nan, "true_inputs": np.nan, "behaviour": np.nan}
"""The optional arrays of `Split` with a time axis, and the value of their padding."""


@dataclasses.dataclass(frozen=True)
class Session:
    """One recording session: its neurons and how they map between encoder and targets.

    Attributes:
        name: Name of the session; its read-in and read-out keep their parameters under it.
        n_channels: Number of encoder channels (neurons held in).
        n_targets: Number of channels of each target group.
        target_index: Target channel (of the input group) of each encoder channel, shape (channel,); -1 for an encoder
            channel that is not a target.
        channel_names: Names of the channels by target group; groups without names are left out.
        alignment: Matrix W of the aligned components (x - b) W, shape (channel, component), in units of the components
            per unit of the data; or None. Linear read-ins start at W. Either all sessions of a data set have the same
            components, or all have None.
        alignment_bias: Offset b that is subtracted from the data x, shape (channel,), in the unit of the data
            (counts per bin); None for zeros.
        areas: Brain area of each channel of the input group, in the order of its targets; empty if unknown.
    """

    name: str
    n_channels: int
    n_targets: dict[str, int]
    target_index: np.ndarray
    channel_names: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    alignment: np.ndarray | None = None
    alignment_bias: np.ndarray | None = None
    areas: tuple[str, ...] = ()

    @property
    def n_components(self) -> int:
        """Number of aligned components, 0 without an alignment."""
        return 0 if self.alignment is None else self.alignment.shape[1]

    def names(self, group: str) -> tuple[str, ...]:
        """Returns the names of the channels of a target group; their numbers, from 0, if they have no names."""
        return self.channel_names.get(group) or tuple(map(str, range(self.n_targets.get(group, 0))))

    def held_out(self, group: str = INPUT_GROUP) -> np.ndarray:
        """Returns the channels of the input group that the encoder does not see, shape (channel,)."""
        return np.setdiff1d(np.arange(self.n_targets.get(group, 0)), self.target_index)

    def __repr__(self) -> str:
        """Returns name and sizes in one line."""
        targets = ", ".join(f"{n} {group}" for group, n in self.n_targets.items())
        aligned = f", {self.n_components} aligned components" if self.n_components else ""
        return f"Session {self.name!r}: encoder sees {self.n_channels} channels; targets {targets}{aligned}"


@dataclasses.dataclass(frozen=True)
class Split:
    """The trials of one split (train, valid or test) of all sessions, in the order of the input.

    Arrays are padded to the longest trial and the widest session. Counts have the smallest integer type that
    holds them. Optional fields are None if the data lack them.

    Attributes:
        encoder_input: Shape (trial, encoder_time, channel).
        targets: By group, shape (trial, time, target_channel).
        encoder_observed: False where `encoder_input` is missing, same shape; None if all is observed.
        target_observed: By group, False where the target is missing, same shape; None if all is observed.
        known_inputs: Shape (trial, time, known), float32, or None.
        encoder_length: Shape (trial,).
        target_length: Shape (trial,).
        session: Index into `Dataset.sessions`, shape (trial,).
        trial_id: The user's ids of the trials, shape (trial,); row numbers if the file has no ids.
        row: Position of each trial in the input, unique in a data set, shape (trial,). For `from_arrays`: the row of
            the arrays. For files: file by file, in the order of the trial ids if they are unique numbers, else train,
            valid, test.
        truth: True rates of the input group, shape of its target, in `Dataset.truth_unit`, or None.
        true_inputs: True inputs, shape (trial, time, true_input), or None.
        condition: Condition of each trial, shape (trial,), or None. A missing label is "" in text and NaN in numbers;
            see `labelled`.
        behaviour: Behaviour such as hand velocity, shape (trial, time, behaviour), NaN in the padding, or None.
        interval: Interval that the animal produced, in seconds, which ends at the event of the time axis; shape
            (trial,), NaN where there is none, or None.
        start_time: Time of the left edge of each trial's first bin in seconds on the clock of its session, shape
            (trial,), float64, NaN where it is unknown, or None.
        piece_of: For pieces of longer data: number of the trial in the input that each piece was chopped from, 0 for a
            whole recording, shape (trial,). None for trials that are whole.
        first_bin: Number of each piece's first bin in that trial or recording, shape (trial,), or None.
    """

    encoder_input: np.ndarray
    targets: dict[str, np.ndarray]
    encoder_length: np.ndarray
    target_length: np.ndarray
    session: np.ndarray
    trial_id: np.ndarray
    row: np.ndarray
    encoder_observed: np.ndarray | None = None
    target_observed: dict[str, np.ndarray | None] = dataclasses.field(default_factory=dict)
    known_inputs: np.ndarray | None = None
    truth: np.ndarray | None = None
    true_inputs: np.ndarray | None = None
    condition: np.ndarray | None = None
    behaviour: np.ndarray | None = None
    interval: np.ndarray | None = None
    start_time: np.ndarray | None = None
    piece_of: np.ndarray | None = None
    first_bin: np.ndarray | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.trial_id)

    @property
    def n_bins(self) -> int:
        """Number of bins of the longest trial, forward prediction included."""
        return next(iter(self.targets.values())).shape[1]

    @property
    def labelled(self) -> np.ndarray:
        """True for trials with a condition, shape (trial,)."""
        return np.zeros(self.n_trials, bool) if self.condition is None else has_label(self.condition)

    def __repr__(self) -> str:
        """Returns the shape of every array, one a line."""
        return f"Split of {self.n_trials} trials\n{array_shapes(self)}"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A whole data set: splits, sessions and the meaning of the numbers.

    Attributes:
        train: Trials for fitting parameters, alignments, regressions and read-outs.
        valid: Trials for early stopping and every choice of settings.
        test: Trials scored once at the end, or None.
        sessions: The sessions, in the order of `Split.session`.
        groups: Kind (counts or real numbers) and unit of each target group.
        time: Time axis: width of a bin, time of the first bin, and the event that time is relative to.
        input_group: The target group whose channels the encoder sees.
        truth_unit: Unit of `Split.truth`: "counts per bin", "Hz", "data" (the unit of the data, for real
            numbers) or "relative".
        behaviour_name: Name of `Split.behaviour` in tables and figures.
        behaviour_lag: Delay of behaviour after rates in seconds: behaviour at t + lag belongs to rates at t.
        source: Origin of the data by session: file name, SHA-256 of its content, seed of a simulation.
        findings: Oddities of the data, from `lfadsx.data.data_findings`.
    """

    train: Split
    valid: Split
    sessions: tuple[Session, ...]
    groups: dict[str, TargetGroup]
    test: Split | None = None
    time: TimeAxis = TimeAxis()
    input_group: str = INPUT_GROUP
    truth_unit: TruthUnit | None = None
    behaviour_name: str = "velocity"
    behaviour_lag: float = 0.0
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def bin_width(self) -> float | None:
        """Width of a bin in seconds, or None if it is unknown (then nothing is given in Hz)."""
        return self.time.bin_width

    @property
    def splits(self) -> dict[str, Split]:
        """The existing splits by name."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    @property
    def n_known_inputs(self) -> int:
        """Number of known inputs, 0 for none."""
        return 0 if self.train.known_inputs is None else self.train.known_inputs.shape[2]

    @property
    def behaviour_target(self) -> bool:
        """Whether a target group is the recorded behaviour: the one of its name and shape."""
        behaviour, target = self.train.behaviour, self.train.targets.get(self.behaviour_name)
        return behaviour is not None and target is not None and behaviour.shape == target.shape

    def is_counts(self, group: str | None = None) -> bool:
        """Returns whether the numbers of a target group, by default the input group, are counts."""
        return self.groups[self._group(group)].kind == "counts"

    def held_out(self, group: str | None = None) -> dict[str, np.ndarray]:
        """Returns, by session, the channels that the encoder does not see.

        These are all channels of a group other than the input group.

        Example:
            >>> import lfadsx
            >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1, held_out=3)
            >>> data.held_out()
            {'chaotic_rnn': array([47, 48, 49])}

        Args:
            group: The target group; the input group by default.
        """
        group = self._group(group)
        seen = group == self.input_group
        return {s.name: s.held_out(group) if seen else np.arange(s.n_targets.get(group, 0)) for s in self.sessions}

    def channel_names(self, group: str | None = None) -> dict[str, tuple[str, ...]]:
        """Returns, by session, the names of the channels of a group; see `Session.names`."""
        group = self._group(group)
        return {session.name: session.names(group) for session in self.sessions}

    def areas(self) -> dict[str, tuple[str, ...] | None]:
        """Returns, by session, the brain area of each channel of the input group; None if areas are unknown."""
        return {session.name: session.areas or None for session in self.sessions}

    def select(
        self,
        *,
        trials: Choice | Callable[[Split], np.ndarray] | None = None,
        neurons: Choice | Mapping[str, Choice] | None = None,
        window: tuple[float | None, float | None] | None = None,
    ) -> Dataset:
        """Returns a part of the data: some trials, some neurons, some bins. Nothing is reordered.

        Example:
            >>> import lfadsx
            >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.5)
            >>> part = data.select(trials=lambda split: split.condition == 1, neurons=range(10), window=(0.1, 0.4))
            >>> part.train.encoder_input.shape, part.time.start
            ((8, 30, 10), 0.1)

        Args:
            trials: Indices or a boolean mask of the trials of all splits together, in the order of the input
                (`Split.row`); or a function from a split to the mask of its trials.
            neurons: Channels of the input group: indices, a boolean mask or names. With several sessions: a dict by
                session name; sessions left out of it keep all neurons. Held-out neurons stay held out. Encoder
                channels that are not targets stay.
            window: First and last time in seconds relative to the event, or in bins if the bin width is unknown;
                None for an open end. Bins that lie wholly inside stay. Trials with no encoder bin inside are dropped,
                with a finding.

        Raises:
            DataError: If a choice is out of range or repeats itself, or would leave no train trials, no valid trials
                or no neurons of a session.
        """
        from lfadsx.data.selecting import select

        return select(self, trials, neurons, window)

    def rebin(self, n: int) -> Dataset:
        """Returns the data with bins that are n times as wide.

        Counts are summed. Real values, behaviour, known inputs and true inputs are averaged. True rates are summed if
        they are counts per bin, otherwise averaged. A new bin is observed if all its parts are. Bins that remain at
        the end of a trial are dropped, with a finding.

        Example:
            >>> import lfadsx
            >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1).rebin(2)
            >>> data.train.n_bins, data.bin_width
            (5, 0.02)

        Args:
            n: Number of bins to join into one.

        Raises:
            DataError: If n is not an integer of at least 1, or a trial is shorter than n bins.
        """
        from lfadsx.data.rebinning import rebin

        return rebin(self, n)

    def with_behaviour_target(self) -> Dataset:
        """Returns the data with their behaviour as one more target group, named `behaviour_name`.

        A model of these data predicts the behaviour beside the spikes, by another read-out with another likelihood. The
        encoders do not see the behaviour. NaN is missing behaviour; a session without behaviour has no such channels.

        Example:
            >>> import numpy as np
            >>> import lfadsx
            >>> spikes, velocity = np.ones((10, 20, 5), int), np.random.default_rng(0).normal(size=(10, 20, 2))
            >>> data = lfadsx.from_arrays(spikes, behaviour=velocity).with_behaviour_target()
            >>> data.groups["velocity"].kind, data.sessions[0].n_targets
            ('real', {'spikes': 5, 'velocity': 2})

        Raises:
            DataError: If the training trials have no behaviour, or another target group has its name.
        """
        from lfadsx.data.behaviour_target import with_behaviour_target

        return with_behaviour_target(self)

    def __repr__(self) -> str:
        """Returns a summary in at most 20 lines."""
        from lfadsx.data.dataset_summary import summarise

        return summarise(self)

    def _group(self, group: str | None) -> str:
        group = self.input_group if group is None else group
        validation.one_of(group, sorted(self.train.targets), "The target group")
        return group
