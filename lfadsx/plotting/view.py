"""View: a split and its posterior for drawing, with arrays in the units of the axes, and names."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.task import PSTH_KERNEL_BINS, PSTH_KERNEL_SECONDS
from lfadsx.plotting.condition_colours import Conditions, conditions_of
from lfadsx.results.posterior import Posterior
from lfadsx.types import TargetGroup, TimeAxis


@dataclasses.dataclass(frozen=True)
class Units:
    """Units of time and rates on the axes of one figure.

    Attributes:
        time_scale: Length of one bin in `time_unit`.
        time_unit: "s", "ms" or "bins".
        rate_scale: Factor from expected values per bin to `rate_unit`.
        rate_unit: "Hz", "counts per bin", or the unit of real numbers.
        kernel: Standard deviation in bins of the Gaussian that smooths recorded data.
        are_counts: True if the data are counts, which are drawn as spikes.
        start: Left edge of the first bin in `time_unit`.
        event: Event from which time is counted.
    """

    time_scale: float
    time_unit: str
    rate_scale: float
    rate_unit: str
    kernel: float
    are_counts: bool
    start: float = 0.0
    event: str = TimeAxis.event

    @property
    def time_label(self) -> str:
        """Label of a time axis."""
        origin = "" if self.event == TimeAxis.event else f" from {self.event}"
        return f"Time{origin} ({self.time_unit})"

    @property
    def kernel_label(self) -> str:
        """Width of the smoothing kernel with its unit."""
        width = self.kernel * self.time_scale
        return f"{1000 * width:.2g} ms" if self.time_unit == "s" else f"{width:.2g} {self.time_unit}"

    def edge(self, bin_: float) -> float:
        """Return the left edge of a bin in `time_unit`."""
        return self.start + float(bin_) * self.time_scale


def units_of(time: TimeAxis, group: TargetGroup, n_bins: int) -> Units:
    """Return the units for a target group; the bins of the longest trial decide between seconds and milliseconds."""
    counts, width = group.kind == "counts", time.bin_width
    rate_unit = "counts per bin" if counts else group.unit or "data units"
    if width is None:
        return Units(1.0, "bins", 1.0, rate_unit, min(PSTH_KERNEL_BINS, 0.1 * n_bins), counts)
    scale, unit = (1.0, "s") if n_bins * width >= 1.0 else (1000.0, "ms")
    rate_scale, rate_unit = (1.0 / width, "Hz") if counts else (1.0, rate_unit)
    kernel = min(PSTH_KERNEL_SECONDS / width, 0.1 * n_bins)
    return Units(width * scale, unit, rate_scale, rate_unit, kernel, counts, time.start * scale, time.event)


@dataclasses.dataclass(frozen=True)
class View:
    """A split and its posterior, ready to be drawn.

    Attributes:
        dataset: The data set.
        split: The trials.
        posterior: Their posterior, in the same order.
        units: Units of the axes.
        conditions: The trials by condition.
    """

    dataset: Dataset
    split: Split
    posterior: Posterior
    units: Units
    conditions: Conditions

    @classmethod
    def of(cls, dataset: Dataset, split: Split, posterior: Posterior) -> View:
        """Return the view of a split and its posterior.

        Raises:
            LfadsxError: If there are no trials, or the posterior is of other trials.
        """
        if split.n_trials == 0:
            raise LfadsxError("A figure needs at least 1 trial, but the split has none. Pass a split with trials.")
        if not np.array_equal(split.trial_id, posterior.trial_id):
            raise LfadsxError(
                f"The posterior must be of the {split.n_trials} trials of the split, in their order, but its "
                f"{len(posterior.trial_id)} trials have other ids. Pass the posterior of this split."
            )
        units = units_of(posterior.time, posterior.groups[posterior.input_group], split.n_bins)
        return cls(dataset, split, posterior, units, conditions_of(dataset, split))

    @property
    def time(self) -> np.ndarray:
        """Centres of the bins in the unit of the time axis, shape (time,)."""
        return self.units.start + (np.arange(self.split.n_bins) + 0.5) * self.units.time_scale

    @property
    def end(self) -> float:
        """End of the longest trial in the unit of the time axis."""
        return self.units.edge(self.split.target_length.max())

    def forward_start(self, trial: int | None = None) -> float | None:
        """Return where forward prediction begins in one trial or in all trials, in the unit of the time axis.

        None without forward prediction, or if it begins at different bins.
        """
        which = slice(None) if trial is None else slice(trial, trial + 1)
        starts, ends = self.split.encoder_length[which], self.split.target_length[which]
        common = np.all(ends > starts) and np.all(starts == starts[0])
        return self.units.edge(starts[0]) if common else None

    def in_trial(self, values: np.ndarray, trials: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return values of some trials, shape (chosen trial, time, channel), with NaN after the end of each trial."""
        inside = np.arange(values.shape[1]) < self.split.target_length[trials][:, None]
        return np.where(inside[:, :, None], values, np.nan)

    def counts(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return recorded data per bin, shape (chosen trial, time, chosen neuron), NaN where missing."""
        group = self.dataset.input_group
        data = self.in_trial(_pick(self.split.targets[group], trials, neurons), trials)
        observed = self.split.target_observed.get(group)
        return data if observed is None else np.where(_pick(observed, trials, neurons), data, np.nan)

    def rates(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return inferred rates in `units.rate_unit`, shape (chosen trial, time, chosen neuron)."""
        return _pick(self.posterior.rates[self.dataset.input_group], trials, neurons) * self.units.rate_scale

    def rates_std(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray | None:
        """Return the standard deviation of the rates over posterior samples, or None without samples."""
        if not self.has_samples:
            return None
        return _pick(self.posterior.rates_std[self.dataset.input_group], trials, neurons) * self.units.rate_scale

    @property
    def has_samples(self) -> bool:
        """True if rates have a spread over posterior samples."""
        return self.posterior.n_samples > 1 and self.dataset.input_group in self.posterior.rates_std

    @property
    def rate_label(self) -> str:
        """Label of an axis of inferred rates, with its unit."""
        return f"{'Rate' if self.units.are_counts else 'Mean'} ({self.units.rate_unit})"

    def truth(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return true rates in `truth_unit`, shape (chosen trial, time, chosen neuron), NaN where missing."""
        if self.split.truth is None:
            return np.full((len(trials), self.split.n_bins, len(neurons)), np.nan)
        truth = self.in_trial(_pick(self.split.truth, trials, neurons), trials)
        scaled = self.dataset.truth_unit in ("counts per bin", "data") and self.truth_unit == "Hz"
        return truth * self.units.rate_scale if scaled else truth

    @property
    def truth_unit(self) -> str:
        """Unit in which true rates are drawn: the unit of the rates if a conversion is known."""
        unit = self.dataset.truth_unit or "relative"
        if unit == "data" or (unit == "counts per bin" and self.units.are_counts):
            return self.units.rate_unit
        return unit

    @property
    def truth_is_comparable(self) -> bool:
        """True if true and inferred rates have the same unit."""
        return self.truth_unit == self.units.rate_unit

    def choose_session(self, session: int | None) -> int:
        """Return the given session, or by default the one with the most trials in the split.

        Raises:
            LfadsxError: If the split has no trial of the given session.
        """
        counts = np.bincount(self.split.session)
        if session is None:
            return int(counts.argmax())
        if session not in np.flatnonzero(counts):
            raise LfadsxError(
                f"`session` must be one with trials in the split, {np.flatnonzero(counts).tolist()}, got {session}."
            )
        return session

    def choose_trials(self, session: int, n_trials: int, seed: int = 0) -> np.ndarray:
        """Return random trials of a session, at most all, as sorted positions in the split, shape (chosen trial,)."""
        trials = self.trials_of(session)
        chosen = np.random.default_rng(seed).choice(trials, min(n_trials, len(trials)), replace=False)
        return np.sort(chosen)

    def choose_neurons(self, session: int, n_neurons: int) -> np.ndarray:
        """Return the neurons of a session whose inferred rates vary most, at most all, shape (chosen neuron,).

        A third of them is held out if there are held-out neurons; those come last.
        """
        held_out = self.held_out(session)
        rates = self.posterior.rates[self.dataset.input_group][self.trials_of(session)]
        spread = np.ma.masked_invalid(rates[:, :, : len(held_out)]).std(axis=(0, 1)).filled(0.0)
        ranked = np.argsort(-spread, kind="stable")
        inside, outside = ranked[~held_out[ranked]], ranked[held_out[ranked]]
        n_outside = min(len(outside), max(n_neurons - len(inside), -(-n_neurons // 3) if n_neurons > 1 else 0))
        return np.concatenate([inside[: n_neurons - n_outside], outside[:n_outside]])

    def trials_of(self, session: int) -> np.ndarray:
        """Return the positions of a session's trials, shape (trial of the session,)."""
        return np.flatnonzero(self.split.session == session)

    def held_out(self, session: int) -> np.ndarray:
        """Return True for neurons that the encoder does not see, shape (neuron of the session,)."""
        this = self._session(session)
        n_neurons = this.n_targets[self.dataset.input_group]
        return ~np.isin(np.arange(n_neurons), this.target_index)

    def neuron_name(self, session: int, neuron: int) -> str:
        """Return the name of a neuron, marked if it was held out."""
        names = self._session(session).channel_names.get(self.dataset.input_group)
        name = f"Neuron {neuron}" if names is None else str(names[neuron])
        return f"{name} (held out)" if self.held_out(session)[neuron] else name

    def trial_name(self, trial: int) -> str:
        """Return the user's id of a trial, and its condition if it has one."""
        name = f"Trial {self.split.trial_id[trial]}"
        condition = self.conditions.name_of(trial)
        return name if condition is None else f"{name}, condition {condition}"

    def session_title(self, session: int) -> str:
        """Return the session's name as the end of a title; empty if there is only one session."""
        return "" if len(self.dataset.sessions) == 1 else f", session {self._session(session).name}"

    def _session(self, session: int) -> Session:
        return self.dataset.sessions[session]


def _pick(values: np.ndarray, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    return values[np.asarray(trials)][:, :, np.asarray(neurons)].astype(np.float64)
