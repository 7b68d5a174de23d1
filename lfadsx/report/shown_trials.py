"""The trials of one split as the page shows them: posterior, recorded data if they are known, units, conditions."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from lfadsx.data.condition_labels import has_label
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.plotting.condition_colours import Group, condition_colours
from lfadsx.plotting.style import BLUE, GREY
from lfadsx.plotting.view import Units, View, units_of
from lfadsx.results.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class Shown:
    """The trials of one split, with recorded data where the data set is known.

    Attributes:
        posterior: Posterior of the trials.
        units: Units of time and rates on all axes.
        view: The trials with their recorded data; None if the data set is not known.
    """

    posterior: Posterior
    units: Units
    view: View | None

    @classmethod
    def of(cls, posterior: Posterior, data: Dataset | None) -> Shown:
        """Returns the trials of a posterior; `data` is the data set that holds them, or None.

        Raises:
            LfadsxError: If the data set has other trials.
        """
        units = units_of(posterior.time, posterior.groups[posterior.input_group], posterior.factors.shape[1])
        view = None if data is None else View.of(data, trials_of(data, posterior.split)[1], posterior)
        return cls(posterior, units, view)

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
        """Standard deviation of the rates over posterior samples; None without samples."""
        found = self.posterior.rates_std.get(self.posterior.input_group)
        return None if found is None or self.posterior.n_samples < 2 else found * self.units.rate_scale

    @property
    def has_truth(self) -> bool:
        """True if true rates are known in the unit of the rates."""
        return self.view is not None and self.view.split.truth is not None and self.view.truth_is_comparable

    @property
    def n_courses(self) -> int:
        """Number of curves of a trial besides those of neurons: factors, inputs with their spread, behaviour."""
        widths = {"inputs": 2, "behaviour": 1}
        given = {name: getattr(self.posterior, name) for name in widths}
        return 3 + sum(widths[name] * values.shape[2] for name, values in given.items() if values is not None)

    @functools.cached_property
    def has_conditions(self) -> bool:
        """True if trials have conditions."""
        return self.posterior.condition is not None and bool(has_label(self.posterior.condition).any())

    @functools.cached_property
    def conditions(self) -> list[Group]:
        """The trials of each condition, in the colours of the figures; without conditions one group of all trials."""
        if self.view is not None:
            return self.view.conditions.groups
        labels = self.posterior.condition
        if labels is None or not self.has_conditions:
            return [Group("all trials", np.arange(self.posterior.n_trials), BLUE)]
        known = has_label(labels)
        values = np.unique(labels[known])
        named = zip(values, condition_colours(values), strict=True)
        groups = [Group(f"{value}", np.flatnonzero(labels == value), colour) for value, colour in named]
        return groups + ([] if known.all() else [Group("no condition", np.flatnonzero(~known), GREY)])

    @functools.cached_property
    def condition_of(self) -> Int[np.ndarray, " trial"]:
        """Position of each trial's condition in `conditions`."""
        found = np.zeros(self.posterior.n_trials, int)
        for number, group in enumerate(self.conditions):
            found[group.members] = number
        return found

    def n_neurons(self, session: int) -> int:
        """Returns the number of neurons of a session."""
        if self.view is not None:
            return self.view.dataset.sessions[session].n_targets[self.posterior.input_group]
        # Channels that a session does not have hold NaN in all its trials.
        own = self.posterior.rates[self.posterior.input_group][self.posterior.session == session]
        return int(np.isfinite(own).any(axis=(0, 1)).sum())

    def neuron_names(self, session: int) -> list[str]:
        """Returns the names of a session's neurons, their numbers where they have none."""
        names, n = self.posterior.channel_names, self.n_neurons(session)
        given = [""] * n if names is None else names[session][:n].tolist()
        return [name or f"Neuron {number}" for number, name in enumerate(given)]

    def held_out(self, session: int) -> np.ndarray:
        """Returns True for neurons that the encoder does not see, shape (neuron of the session,)."""
        found, n = self.posterior.held_out, self.n_neurons(session)
        return np.zeros(n, bool) if found is None else found[session][:n]
