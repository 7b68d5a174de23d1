"""View: a split and its posterior for drawing, with arrays in the units of the axes, and names."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics import smooth
from lfadsx.plotting.averaging import mean_and_interval
from lfadsx.plotting.condition_colours import Conditions, condition_name, conditions_of
from lfadsx.plotting.units import Units, units_of
from lfadsx.results.posterior import Posterior


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
    def of(cls, posterior: Posterior, data: Dataset, split: Split | None = None) -> View:
        """Return the view of a posterior and its trials, by default those of the split that it names.

        Raises:
            LfadsxError: If the split is empty, or the posterior belongs to other trials.
        """
        split = trials_of(data, posterior.split)[1] if split is None else split
        if split.n_trials == 0:
            raise LfadsxError("A figure needs at least 1 trial, but the split has none. Pass a split with trials.")
        if not np.array_equal(split.trial_id, posterior.trial_id):
            raise LfadsxError(
                f"The posterior must be of the {split.n_trials} {posterior.split} trials of the data, in their order, "
                f"but its {len(posterior.trial_id)} trials have other ids. Pass the data that it was inferred from."
            )
        units = units_of(posterior.time, posterior.groups[posterior.input_group], split.n_bins)
        return cls(data, split, posterior, units, conditions_of(data, split))

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
        return _in_trial(self.split, values, trials)

    def counts(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return recorded data per bin, shape (chosen trial, time, chosen neuron), NaN where missing."""
        return _recorded(self.split, self.dataset.input_group, trials, neurons)

    def rates(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Return inferred rates in `units.rate_unit`, shape (chosen trial, time, chosen neuron)."""
        return _pick(self.posterior.rates[self.dataset.input_group], trials, neurons) * self.units.rate_scale

    def rates_std(self, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray | None:
        """Return the standard deviation of the rates, as of `Posterior.rates_std`, or None without samples."""
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

    def sorted_neurons(self, session: int) -> np.ndarray:
        """Return a session's neurons by the time of their peak, held-out ones last, shape (neuron of the session,).

        The peak comes from the smoothed average over the training trials. So noise in the shown trials does not
        decide the order. Neurons without data come last.
        """
        mean = self.training_average(session)
        known = np.isfinite(mean).any(axis=0)
        peak = np.where(known, np.where(np.isfinite(mean), mean, -np.inf).argmax(axis=0), len(mean))
        return np.lexsort((peak, self.held_out(session)))

    def training_average(self, session: int) -> np.ndarray:
        """Return the smoothed average of a session's training data per bin, shape (time, neuron of the session)."""
        train = self.dataset.train
        trials = np.flatnonzero(train.session == session)
        data = _recorded(train, self.dataset.input_group, trials, np.arange(len(self.held_out(session))))
        return self.smoothed(mean_and_interval(data)[0])

    def smoothed(self, values: np.ndarray) -> np.ndarray:
        """Return time courses, shape (time, neuron), smoothed by the common kernel of data and model."""
        return smooth(values, self.units.kernel) if self.smooths else values

    @property
    def smooths(self) -> bool:
        """True if the kernel is wide enough to smooth."""
        return self.units.kernel >= 0.5

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
        name = self.units.say(f"Neuron {neuron}") if names is None else str(names[neuron])
        return f"{name} (held out)" if self.held_out(session)[neuron] else name

    def trial_name(self, trial: int) -> str:
        """Return the user's id of a trial, and its condition if it has one."""
        name = f"Trial {self.split.trial_id[trial]}"
        if self.split.condition is None or not self.split.labelled[trial]:
            return name
        return f"{name}, condition {condition_name(self.split.condition[trial])}"

    def session_title(self, session: int) -> str:
        """Return the session's name as the end of a title; empty if there is only one session."""
        return "" if len(self.dataset.sessions) == 1 else f", session {self._session(session).name}"

    def _session(self, session: int) -> Session:
        return self.dataset.sessions[session]


def _recorded(split: Split, group: str, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """Return recorded data per bin, shape (chosen trial, time, chosen neuron), NaN where missing."""
    data = _in_trial(split, _pick(split.targets[group], trials, neurons), trials)
    observed = split.target_observed.get(group)
    return data if observed is None else np.where(_pick(observed, trials, neurons), data, np.nan)


def _in_trial(split: Split, values: np.ndarray, trials: np.ndarray | slice) -> np.ndarray:
    inside = np.arange(values.shape[1]) < split.target_length[trials][:, None]
    return np.where(inside[:, :, None], values, np.nan)


def _pick(values: np.ndarray, trials: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    return values[np.asarray(trials)][:, :, np.asarray(neurons)].astype(np.float64)
