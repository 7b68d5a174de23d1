"""The sets of the Neural Latents Benchmark: how their trials are cut, and what behaviour they have."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

BenchmarkName = Literal[
    "mc_maze", "mc_rtt", "area2_bump", "dmfc_rsg", "mc_maze_large", "mc_maze_medium", "mc_maze_small"
]
"""Names of the sets."""

BIN_WIDTH = 0.005
"""Width of the bins in seconds."""


@dataclasses.dataclass(frozen=True)
class BenchmarkSet:
    """How the trials of one set are cut.

    Attributes:
        align: The event at time 0, a column of the table of trials.
        window: First and last time relative to the event in seconds.
        condition: Columns of trials that are the condition together.
        behaviour: Name of the time series that is the behaviour; None if there is none.
        behaviour_lag: Delay of behaviour after rates in seconds.
        interval: Column of trials with the interval that the animal produced, in milliseconds, or None.
    """

    align: str
    window: tuple[float, float]
    condition: tuple[str, ...] = ()
    behaviour: str | None = None
    behaviour_lag: float = 0.0
    interval: str | None = None


_MAZE = BenchmarkSet("move_onset_time", (-0.25, 0.45), ("trial_type", "trial_version"), "hand_vel", 0.12)
SETS: dict[str, BenchmarkSet] = {
    "mc_maze": dataclasses.replace(_MAZE, behaviour_lag=0.1),
    "mc_rtt": BenchmarkSet("start_time", (0.0, 0.6), (), "finger_vel", 0.14),
    "area2_bump": BenchmarkSet("move_onset_time", (-0.1, 0.5), ("cond_dir", "ctr_hold_bump"), "hand_vel", -0.02),
    "dmfc_rsg": BenchmarkSet("go_time", (-1.5, 0.0), ("is_eye", "theta", "is_short", "ts"), interval="tp"),
    "mc_maze_large": _MAZE,
    "mc_maze_medium": _MAZE,
    "mc_maze_small": _MAZE,
}
"""The sets by name."""


def set_in(text: str) -> str | None:
    """Returns the set that a name such as "mc_maze_large_20" tells, or None."""
    found = [name for name in get_args(BenchmarkName) if name in text]
    return max(found, key=len) if found else None
