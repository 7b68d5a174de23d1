"""What all figures need of a split and its posterior: arrays in the units of the axes, and names."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.errors import LfadsxError
from lfadsx.plotting.averaging import spread
from lfadsx.plotting.condition_colours import Conditions, conditions_of
from lfadsx.plotting.units import Units, units_of
from lfadsx.results.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class View:
    """A split and its posterior, ready to be drawn.

    Attributes:
        dataset: The data set.
        split: The trials.
        posterior: What inference gave for them, in the same order.
        units: Units of the axes.
        conditions: The trials by condition.

    Example:
        view = View.of(dataset, split, posterior)
        rates = view.rates(trials=[0, 1], neurons=[3])
    """

    dataset: Dataset
    split: Split
    posterior: Posterior
    units: Units
    conditions: Conditions

    @classmethod
    def of(cls, dataset: Dataset, split: Split, posterior: Posterior) -> View:
        """Check that split and posterior belong together and prepare them.

        Raises:
            LfadsxError: If there are no trials, or if the posterior is of other trials.
        """
        if split.n_trials == 0:
            raise LfadsxError("The split holds no trials, so there is nothing to draw. Pass a split with trials.")
        if not np.array_equal(split.trial_id, posterior.trial_id):
            raise LfadsxError(
                f"The posterior of {len(posterior.trial_id)} trials is not that of the split of "
                f"{split.n_trials}: their trial_id differ. Pass the posterior of this split, in its order."
            )
        units = units_of(posterior.time, posterior.groups[posterior.input_group], split.n_bins)
        return cls(dataset, split, posterior, units, conditions_of(dataset, split))

    @property
    def time(self) -> np.ndarray:
        """Centres of the bins in the unit of the time axis, shape (time,)."""
        return self.units.centres(self.split.n_bins)

    @property
    def end(self) -> float:
        """End of the longest trial in the unit of the time axis."""
        return self.units.edge(self.split.target_length.max())

    def forward_start(self, trial: int | None = None) -> float | None:
        """Return where forward prediction begins, in the unit of the time axis.

        Args:
            trial: Position of the trial in the split; None for all trials together.

        Returns:
            The time, or None without forward prediction or when the trials differ in it.
        """
        which = slice(None) if trial is None else slice(trial, trial + 1)
        starts, ends = self.split.encoder_length[which], self.split.target_length[which]
        common = np.all(ends > starts) and np.all(starts == starts[0])
        return self.units.edge(starts[0]) if common else None

    def counts(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return recorded data per bin, shape (chosen trial, time, chosen neuron), NaN where missing."""
        group = self.dataset.input_group
        data = self._pick(self.split.targets[group], trials, neurons).astype(np.float64)
        inside = np.arange(self.split.n_bins) < self.split.target_length[trials][:, None]
        data[~inside] = np.nan
        observed = self.split.target_observed.get(group)
        if observed is not None:
            data[~self._pick(observed, trials, neurons)] = np.nan
        return data

    def rates(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return inferred rates in `units.rate_unit`, shape (chosen trial, time, chosen neuron)."""
        rates = self._pick(self.posterior.rates[self.dataset.input_group], trials, neurons)
        return rates.astype(np.float64) * self.units.rate_scale

    def rates_std(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray | None:
        """Return their standard deviation over posterior samples, or None when there are not two samples."""
        if not self.has_samples:
            return None
        std = self._pick(self.posterior.rates_std[self.dataset.input_group], trials, neurons)
        return std.astype(np.float64) * self.units.rate_scale

    @property
    def has_samples(self) -> bool:
        """True when rates have a spread over posterior samples."""
        return self.posterior.n_samples > 1 and self.dataset.input_group in self.posterior.rates_std

    @property
    def rate_label(self) -> str:
        """Label of an axis of inferred rates, with its unit."""
        return f"{'Rate' if self.units.are_counts else 'Mean'} ({self.units.rate_unit})"

    def truth(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return true rates in `truth_unit`, shape (chosen trial, time, chosen neuron), NaN where missing."""
        if self.split.truth is None:
            return np.full((len(trials), self.split.n_bins, len(neurons)), np.nan)
        truth = self._pick(self.split.truth, trials, neurons).astype(np.float64)
        truth[~(np.arange(self.split.n_bins) < self.split.target_length[trials][:, None])] = np.nan
        scaled = self.dataset.truth_unit in ("counts per bin", "data") and self.truth_unit == "Hz"
        return truth * self.units.rate_scale if scaled else truth

    @property
    def truth_unit(self) -> str:
        """Unit in which true rates are drawn: that of the rates wherever a conversion is known."""
        unit = self.dataset.truth_unit or "relative"
        if unit == "data" or (unit == "counts per bin" and self.units.are_counts):
            return self.units.rate_unit
        return unit

    @property
    def truth_is_comparable(self) -> bool:
        """True when true and inferred rates are in the same unit."""
        return self.truth_unit == self.units.rate_unit

    def choose_session(self, session: int | None) -> int:
        """Return the session to draw: the one asked for, or the one with the most trials in the split.

        Raises:
            LfadsxError: If the split has no trial of the session asked for.
        """
        counts = np.bincount(self.split.session)
        if session is None:
            return int(counts.argmax())
        if session not in np.flatnonzero(counts):
            raise LfadsxError(
                f"The split has no trial of session {session}. Sessions with trials are "
                f"{np.flatnonzero(counts).tolist()}; pass one of them."
            )
        return session

    def trials_of(self, session: int) -> np.ndarray:
        """Return the positions of a session's trials, shape (trial of the session,)."""
        return np.flatnonzero(self.split.session == session)

    def held_out(self, session: int) -> np.ndarray:
        """Return True for neurons that the encoder does not see, shape (neuron of the session,)."""
        this = self._session(session)
        n_neurons = this.n_targets[self.dataset.input_group]
        return ~np.isin(np.arange(n_neurons), this.target_index)

    def neuron_name(self, session: int, neuron: int) -> str:
        """Return the name of a neuron, and whether it was held out."""
        names = self._session(session).channel_names.get(self.dataset.input_group)
        name = f"Neuron {neuron}" if names is None else str(names[neuron])
        return f"{name} (held out)" if self.held_out(session)[neuron] else name

    def trial_name(self, trial: int) -> str:
        """Return the user's id of a trial, and its condition where there is one."""
        name = f"Trial {self.split.trial_id[trial]}"
        condition = self.conditions.name_of(trial)
        return name if condition is None else f"{name}, condition {condition}"

    def session_title(self, session: int) -> str:
        """Return what a title adds to tell the session, nothing when there is only one."""
        return "" if len(self.dataset.sessions) == 1 else f", session {self._session(session).name}"

    def telling_neurons(self, session: int, n_neurons: int) -> np.ndarray:
        """Choose the neurons whose inferred rates vary most, a third of them held out where there are any.

        Args:
            session: Index of the session.
            n_neurons: How many; fewer when the session has fewer.

        Returns:
            Indices of neurons, those held in first, shape (chosen neuron,).
        """
        held_out = self.held_out(session)
        rates = self.posterior.rates[self.dataset.input_group][self.trials_of(session)]
        ranked = np.argsort(-spread(rates[:, :, : len(held_out)]), kind="stable")
        inside, outside = ranked[~held_out[ranked]], ranked[held_out[ranked]]
        n_outside = min(len(outside), max(n_neurons - len(inside), -(-n_neurons // 3) if n_neurons > 1 else 0))
        return np.concatenate([inside[: n_neurons - n_outside], outside[:n_outside]])

    def _session(self, session: int) -> Session:
        return self.dataset.sessions[session]

    @staticmethod
    def _pick(values: np.ndarray, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        return values[np.asarray(trials)][:, :, np.asarray(neurons)]
