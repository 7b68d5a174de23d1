"""The trials of one split as the page shows them: posterior, recorded data if they are known, units, conditions."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import trials_of
from lfadsx.errors import LfadsxError
from lfadsx.plotting.view import Units, units_of
from lfadsx.report.condition_groups import ConditionGroup, condition_groups
from lfadsx.results.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class Shown:
    """The trials of one split, with recorded data where the data set is known.

    Attributes:
        posterior: Posterior of the trials.
        units: Units of time and rates on all axes.
        dataset: The data set; None if it is not known.
        split: Its trials, in the order of the posterior; None if the data set is not known.
    """

    posterior: Posterior
    units: Units
    dataset: Dataset | None = None
    split: Split | None = None

    @classmethod
    def of(cls, posterior: Posterior, data: Dataset | None) -> Shown:
        """Returns the trials of a posterior; `data` is the data set that holds them, or None.

        Raises:
            LfadsxError: If the data set has other trials.
        """
        units = units_of(posterior.time, posterior.groups[posterior.input_group], posterior.factors.shape[1])
        if data is None:
            return cls(posterior, units)
        split = trials_of(data, posterior.split)[1]
        if not np.array_equal(split.trial_id, posterior.trial_id):
            raise LfadsxError(
                f"`data` must hold the {posterior.n_trials} {posterior.split} trials of the run, in their order, got "
                f"{split.n_trials} trials with other ids. Give the data set of the run."
            )
        return cls(posterior, units, data, split)

    @property
    def times(self) -> Float[np.ndarray, " time"]:
        """Middle of each bin in the unit of the time axis."""
        bins = np.arange(self.posterior.factors.shape[1])
        return self.units.start + (bins + 0.5) * self.units.time_scale

    @functools.cached_property
    def rates(self) -> Float[np.ndarray, "trial time target_channel"]:
        """Inferred rates in `units.rate_unit`, NaN after the end of a trial."""
        return self.posterior.rates[self.posterior.input_group] * self.units.rate_scale

    @functools.cached_property
    def rates_std(self) -> Float[np.ndarray, "trial time target_channel"] | None:
        """Standard deviation of the rates, as of `Posterior.rates_std`; None without samples."""
        found = self.posterior.rates_std.get(self.posterior.input_group)
        return None if found is None or self.posterior.n_samples < 2 else found * self.units.rate_scale

    @functools.cached_property
    def recorded(self) -> Float[np.ndarray, "trial time target_channel"] | None:
        """Recorded data per bin, NaN where they are missing and after the end of a trial; None if not known."""
        if self.split is None:
            return None
        group = self.posterior.input_group
        there = np.isfinite(self.posterior.rates[group])
        observed = self.split.target_observed.get(group)
        return np.where(there if observed is None else there & observed, self.split.targets[group], np.nan)

    @functools.cached_property
    def truth(self) -> Float[np.ndarray, "trial time target_channel"] | None:
        """True rates in `units.rate_unit`; None if they are not known in a unit that can be converted."""
        if self.dataset is None or self.split is None or self.split.truth is None:
            return None
        units = {self.units.rate_unit: 1.0, "counts per bin": self.units.rate_scale, "data": self.units.rate_scale}
        scale = units.get(self.dataset.truth_unit or "")
        return None if scale is None else self.split.truth * scale

    @property
    def n_courses(self) -> int:
        """Number of curves of a trial besides those of neurons: factors, inputs with their spread, behaviour."""
        widths = {"inputs": 2, "behaviour": 1}
        given = {name: getattr(self.posterior, name) for name in widths}
        return 3 + sum(widths[name] * values.shape[2] for name, values in given.items() if values is not None)

    @functools.cached_property
    def conditions(self) -> list[ConditionGroup]:
        """The trials of each condition; without conditions one group of all trials."""
        splits = [] if self.dataset is None else self.dataset.splits.values()
        return condition_groups(self.posterior.condition, self.posterior.n_trials, [of.condition for of in splits])

    @property
    def has_conditions(self) -> bool:
        """True if trials have conditions."""
        return self.conditions[0].known

    @functools.cached_property
    def condition_of(self) -> Int[np.ndarray, " trial"]:
        """Position of each trial's condition in `conditions`."""
        found = np.zeros(self.posterior.n_trials, int)
        for number, group in enumerate(self.conditions):
            found[group.members] = number
        return found

    def forward_start(self, trial: int) -> float | None:
        """Returns where forward prediction begins in a trial, in the unit of the time axis; None without it."""
        if self.split is None or self.split.encoder_length[trial] >= self.split.target_length[trial]:
            return None
        return self.units.start + float(self.split.encoder_length[trial]) * self.units.time_scale

    def n_neurons(self, session: int) -> int:
        """Returns the number of neurons of a session."""
        if self.dataset is not None:
            return self.dataset.sessions[session].n_targets[self.posterior.input_group]
        # Channels that a session does not have hold NaN in all its trials.
        own = self.posterior.rates[self.posterior.input_group][self.posterior.session == session]
        return int(np.isfinite(own).any(axis=(0, 1)).sum())

    def neuron_names(self, session: int) -> list[str]:
        """Returns the names of a session's neurons, their numbers where they have none."""
        names, n = self.posterior.channel_names, self.n_neurons(session)
        given = [""] * n if names is None else names[session][:n].tolist()
        return [name or self.units.say(f"Neuron {number}") for number, name in enumerate(given)]

    def held_out(self, session: int) -> np.ndarray:
        """Returns True for neurons that the encoder does not see, shape (neuron of the session,)."""
        found, n = self.posterior.held_out, self.n_neurons(session)
        return np.zeros(n, bool) if found is None else found[session][:n]
