"""Fixed and slow points as a value: places, speeds, modes, and what kind of point each is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from lfadsx.dynamics.modes import Modes

FIXED = 1e-3
"""Largest speed of a fixed point, in units of the median speed of the visited states."""


@dataclasses.dataclass(frozen=True, repr=False)
class FixedPoints:
    """Points where a system stands still or nearly so, the one that most starts reached first.

    Attributes:
        states: Shape (point, state).
        inputs: Inputs that were held, shape (point, input).
        speed: Distance that the state moves in a bin, in units of the median speed of the visited states, or of a
            thousandth of their spread if that is more, shape (point,).
        modes: Modes of the linearised system at each point.
        jacobian: Shape (point, state, state).
        distance: Distance to the nearest visited state, in units of the spread of visited states, shape (point,).
        n_starts: Number of starts that ended at each point, shape (point,).
        n_bins: Number of bins of a trial.
    """

    states: Float[np.ndarray, "point state"]
    inputs: Float[np.ndarray, "point input"]
    speed: Float[np.ndarray, " point"]
    modes: Modes
    jacobian: Float[np.ndarray, "point state state"]
    distance: Float[np.ndarray, " point"]
    n_starts: Int[np.ndarray, " point"]
    n_bins: int

    def __len__(self) -> int:
        """Returns the number of points."""
        return len(self.states)

    @property
    def is_fixed(self) -> Bool[np.ndarray, " point"]:
        """Whether the system stands still at a point; at the others, slow points, it nearly does."""
        return self.speed < FIXED

    @property
    def growth(self) -> Float[np.ndarray, "point mode"]:
        """By which power of e a mode grows within a trial; negative for modes that decay."""
        with np.errstate(divide="ignore"):
            return self.n_bins * np.log(np.abs(self.modes.eigenvalues))

    @property
    def n_growing(self) -> Int[np.ndarray, " point"]:
        """Number of modes that grow by at least a factor e within a trial; 0 at stable points."""
        return (self.growth >= 1).sum(1)

    @property
    def n_lasting(self) -> Int[np.ndarray, " point"]:
        """Number of modes that neither grow nor decay by a factor e within a trial: directions of an attractor."""
        return (np.abs(self.growth) < 1).sum(1)

    @property
    def kind(self) -> list[str]:
        """What each point is: "stable", "saddle" or "unstable"; "slow" before it where the system does not stand still.

        Modes that last longer than a trial count for neither: a point of a line attractor, which has one, is stable if
        all others decay.
        """
        decays = (self.growth <= -1).sum(1)
        kinds = [
            "stable" if not n else "saddle" if own else "unstable"
            for n, own in zip(self.n_growing, decays, strict=True)
        ]
        return [kind if speed < FIXED else f"slow {kind}" for kind, speed in zip(kinds, self.speed, strict=True)]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row of plain values for each point, for tables and JSON: kind, speed, modes in ms and Hz."""
        unit = "s" if self.modes.bin_width else "bins"
        rows = []
        for i, kind in enumerate(self.kind):
            row: dict[str, Any] = {
                "kind": kind,
                "n_growing": int(self.n_growing[i]),
                "n_lasting": int(self.n_lasting[i]),
            }
            row |= {"speed": float(self.speed[i]), "distance": float(self.distance[i]), "starts": int(self.n_starts[i])}
            row[f"time_constants_{unit}"] = self.modes.time_constants[i, :4].tolist()
            row["frequencies_hz" if unit == "s" else "cycles_per_bin"] = self.modes.frequencies[i, :4].tolist()
            rows.append(row)
        return rows

    def __repr__(self) -> str:
        """Returns how many points of which kind there are."""
        kinds = self.kind
        found = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        return f"{len(self)} fixed points: {found}" if kinds else "0 fixed points"
