"""The results of one session with its own channels and their names, as other tools want them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.results.described_arrays import TARGETS, Described, described_arrays
from lfadsx.results.posterior import Posterior, input_order, join_posteriors

LATENT = ("factors", "inputs", "bias")
"""Arrays that are exported by default, beside the rates of every target group."""


@dataclasses.dataclass(frozen=True)
class SessionResults:
    """The trials of one session, of all splits together in the order of the input.

    Attributes:
        name: Name of the session.
        posterior: The posterior of these trials; channels of other sessions are padding in it.
        split: Name of each trial's split, shape (trial,).
        arrays: The arrays to export by name, with dimensions, units and descriptions. Their first axis is the trial.
            The last axis has the channels of the session only.
    """

    name: str
    posterior: Posterior
    split: np.ndarray
    arrays: dict[str, Described]

    def columns(self, array: str) -> list[str]:
        """Returns a name for each entry of an array's last axis: names of channels, or "factor_0" and so on."""
        values, dims, *_ = self.arrays[array]
        last, n = dims.split()[-1], values.shape[-1]
        return self.channels(n) if last == "channel" else [f"{last}_{number}" for number in range(n)]

    def channels(self, n: int) -> list[str]:
        """Returns names of the first n channels of the input group; channels without a name have their number."""
        names = self.posterior.channel_names
        own = [""] * n if names is None else names[self._number, :n].tolist()
        return [name or str(number) for number, name in enumerate(own)]

    def trials(self) -> dict[str, np.ndarray]:
        """Returns the table of trials by column: id, split, number of bins, and where known condition and start."""
        found, posterior = {"trial_id": self.posterior.trial_id, "split": self.split}, self.posterior
        for name, values in (("condition", posterior.condition), ("start_time", posterior.start_time)):
            if values is not None:
                found[name] = values
        return found | {"n_bins": posterior.length}

    def units(self) -> dict[str, np.ndarray]:
        """Returns the table of the channels of the input group by column: name, and whether they were held out."""
        n, held_out = n_channels(self.posterior.rates[self.posterior.input_group]), self.posterior.held_out
        found = {"unit": np.array(self.channels(n), str)}
        return found if held_out is None else found | {"held_out": held_out[self._number, :n]}

    def facts(self) -> dict[str, Any]:
        """Returns what holds for all arrays: time axis, samples, seed, version and origin of the data."""
        posterior = self.posterior
        names = ("n_samples", "seed", "kappa", "without_inputs", "source")
        return {
            "session": self.name,
            "bin_width_s": posterior.time.bin_width,
            "start_s": posterior.time.start,
            "event": posterior.time.event,
            "lfadsx_version": posterior.version,
            **{name: getattr(posterior, name) for name in names},
        }

    @property
    def _number(self) -> int:
        return self.posterior.sessions.index(self.name)


def by_session(posteriors: Mapping[str, Posterior], arrays: Sequence[str] = ()) -> list[SessionResults]:
    """Returns the results of each session that has trials.

    Args:
        posteriors: Posteriors of one model by name of the split.
        arrays: Names of the arrays, as in `posterior.h5`; those of other target groups begin with the name of the group
            ("emg_rates"). By default rates in Hz (expected data without a bin width, or for real numbers), factors,
            inferred inputs and the bias, as far as there are such.

    Raises:
        LfadsxError: If there is no such array.
    """
    parts = [dataclasses.replace(posterior, samples={}) for posterior in posteriors.values()]  # large, not exported
    order = input_order(parts)
    split = np.repeat(list(posteriors), [part.n_trials for part in parts])[order]
    whole = join_posteriors(parts, order)
    found = []
    for number in np.unique(whole.session):
        rows = np.flatnonzero(whole.session == number)
        part = join_posteriors([whole], rows)
        found.append(SessionResults(whole.sessions[number], part, split[rows], _arrays(part, arrays)))
    return found


def n_channels(rates: np.ndarray) -> int:
    """Returns the number of channels of a session; in those that it does not have, all rates are NaN."""
    known = np.flatnonzero(np.isfinite(rates).any(axis=(0, 1)))
    return int(known[-1]) + 1 if len(known) else 0


def _arrays(posterior: Posterior, asked: Sequence[str]) -> dict[str, Described]:
    found = {
        path.removeprefix(f"{TARGETS}/").replace("/", "_"): array
        for path, array in described_arrays(posterior).items()
        if array.dims.startswith("trial ")
    }
    for name in asked:
        validation.one_of(name, found, "A name of `arrays`")
    widths = {f"{group}_channel": n_channels(rates) for group, rates in posterior.rates.items()}
    widths["channel"] = widths[f"{posterior.input_group}_channel"]
    chosen = {}
    for name in asked or _default(posterior, found):
        array = found[name]
        width = widths.get(array.dims.split()[-1], array.values.shape[-1])
        if width:
            chosen[name] = array._replace(values=array.values[..., :width])
    return chosen


def _default(posterior: Posterior, found: Mapping[str, Described]) -> list[str]:
    """Returns names of arrays: rates of each group in their most usual unit, then latent variables."""
    first, names = posterior.input_group, []
    for group in sorted(posterior.rates, key=lambda group: group != first):
        place = "" if group == first else f"{group}_"
        names.append(next(n for kind in ("rates_hz", "rates_counts", "rates") if (n := f"{place}{kind}") in found))
    return names + [name for name in LATENT if name in found]
