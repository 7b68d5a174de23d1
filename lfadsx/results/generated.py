"""New trials that a model generated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from lfadsx.types import TargetGroup, TimeAxis


@dataclasses.dataclass(frozen=True, repr=False)
class Generated:
    """New trials of one session; every array has the trial axis first.

    Other attributes are as in `Posterior`, for trials of the prior.

    Attributes:
        rates: By group, expected data (for spikes: counts per bin), shape (trial, time, target_channel).
        data: By group, data drawn from the likelihood, same shape; empty without `draw_data`.
        initial_condition: Draws from its prior, shape (trial, ic).
        inputs: Draws from the prior of the inferred inputs, shape (trial, time, input), or None.
        bias: Draws from the prior of the bias, a constant input of the generator in each trial, shape (trial, bias), or
            None.
        session: Name of the session whose read-out was used.
        seed: Seed of the draws.
        source: Origin of the data that the model was trained on.
    """

    rates: dict[str, Float[np.ndarray, "trial time target_channel"]]
    variance: dict[str, Float[np.ndarray, "trial time target_channel"]]
    data: dict[str, Num[np.ndarray, "trial time target_channel"]]
    factors: Float[np.ndarray, "trial time factor"]
    initial_condition: Float[np.ndarray, "trial ic"]
    initial_state: Float[np.ndarray, "trial generator"]
    generator_states: Float[np.ndarray, "trial time generator"]
    inputs: Float[np.ndarray, "trial time input"] | None
    session: str
    seed: int
    time: TimeAxis
    groups: dict[str, TargetGroup]
    input_group: str
    version: str
    source: dict[str, Any]
    bias: Float[np.ndarray, "trial bias"] | None = None

    @property
    def times(self) -> np.ndarray:
        """Middle of each bin in seconds, shape (time,); numbers of the bins if their width is unknown."""
        return self.time.centres(self.factors.shape[1])

    def save(self, path: str | Path, *, compression: str | None = "gzip") -> None:
        """Writes the trials to an HDF5 file; arguments as in `Posterior.save`."""
        from lfadsx.results.results_file import write_generated  # which imports this class

        write_generated(path, self, compression=compression)

    def __repr__(self) -> str:
        """Returns the number of trials and the shapes of their arrays."""
        shapes = [f"  rates[{group!r}]: {rates.shape}" for group, rates in self.rates.items()]
        shapes += [f"  data[{group!r}]: {values.shape}" for group, values in self.data.items()]
        head = f"Generated: {len(self.factors)} trials of session {self.session!r}, seed {self.seed}"
        return "\n".join([head, *shapes[:16], f"  factors: {self.factors.shape}"])
