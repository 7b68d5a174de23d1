"""Writes an NWB file of a simulated reaching task, as a laboratory would: units, areas, trials, hand velocity.

    python examples/example_tools/nwb_recording.py day1.nwb

Needs pynwb: pip install "lfadsx[nwb]".
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np

STEP = 0.001
"""Step of the simulation in seconds; hand velocity is written at a tenth of its rate."""
DIRECTIONS = 8
AREAS = {"M1": 24, "PMd": 16}
"""Number of units by area."""


def write_session(path: str | Path, *, trials: int = 240, seed: int = 0) -> None:
    """Simulates a session of centre-out reaches and writes it as an NWB file.

    The population follows a rotation in a plane that starts at the go cue. Its phase depends on the direction. Its
    speed and the reaction time differ from trial to trial, so no average over trials tells them.

    Example:
        write_session("day1.nwb", trials=40)

    Args:
        path: The file to write.
        trials: Number of trials, divided evenly over eight directions.
        seed: Seed of everything random.
    """
    rng, n_units = np.random.default_rng(seed), sum(AREAS.values())
    go_cue = 2.0 + 2.5 * np.arange(trials) + rng.uniform(0, 0.3, trials)
    reaction, speed = rng.uniform(0.15, 0.3, trials), rng.uniform(0.8, 1.25, trials)
    direction = rng.permutation(np.arange(trials) % DIRECTIONS)
    time = np.arange(0.0, go_cue[-1] + 3.0, STEP)

    plane, hand = np.zeros((len(time), 2)), np.zeros((len(time), 2))
    for onset, v, angle in zip(go_cue + reaction, speed, 2 * np.pi * direction / DIRECTIONS, strict=True):
        now = slice(np.searchsorted(time, onset - 0.2), np.searchsorted(time, onset + 0.8))
        since = v * (time[now] - onset)
        size = np.exp(-0.5 * ((since - 0.15) / 0.15) ** 2)
        phase = angle + 2 * np.pi * since / 0.8
        plane[now] = size[:, None] * np.stack([np.cos(phase), np.sin(phase)], axis=1)
        bell = np.exp(-0.5 * ((since - 0.25) / 0.1) ** 2)
        hand[now] = 300.0 * v * bell[:, None] * [np.cos(angle), np.sin(angle)]

    tuning, base = 1.3 * rng.standard_normal((2, n_units)), rng.uniform(4.0, 15.0, n_units)
    rate = base * np.exp(plane @ tuning - 0.5)
    fired = rng.random(rate.shape) < rate * STEP
    spikes = [time[of] + rng.uniform(0, STEP, of.sum()) for of in fired.T]
    table = {"go_cue_time": go_cue, "move_onset_time": go_cue + reaction, "direction": direction}
    _write(Path(path), spikes, table, hand[::10], float(time[-1]))


def _write(path: Path, spikes: list[np.ndarray], table: dict[str, np.ndarray], hand: np.ndarray, end: float) -> None:
    import pynwb

    start = datetime.datetime(2020, 1, 2, 9, 0, 0, tzinfo=datetime.UTC)
    nwb = pynwb.NWBFile("simulated centre-out reaches", path.stem, start)
    device = nwb.create_device("array")
    areas = [area for area, n in AREAS.items() for _ in range(n)]
    groups = {
        area: nwb.create_electrode_group(area, description=f"array in {area}", location=area, device=device)
        for area in AREAS
    }
    for area in areas:
        nwb.add_electrode(group=groups[area], location=area)
    for unit, (area, times) in enumerate(zip(areas, spikes, strict=True)):
        observed = np.array([[0.0, end]])
        nwb.add_unit(spike_times=times, obs_intervals=observed, electrodes=[unit], electrode_group=groups[area])
    words = {"go_cue_time": "time of the go cue", "move_onset_time": "time of movement onset", "direction": "target"}
    for name in table:
        nwb.add_trial_column(name, words[name])
    for row in zip(*table.values(), strict=True):
        one = dict(zip(table, (value.item() for value in row), strict=True))
        nwb.add_trial(start_time=one["go_cue_time"] - 0.5, stop_time=one["go_cue_time"] + 1.5, **one)
    velocity = pynwb.TimeSeries(name="hand_vel", data=hand, unit="mm/s", rate=1 / (10 * STEP), description="x and y")
    module = nwb.create_processing_module("behavior", "hand")
    module.add(pynwb.behavior.BehavioralTimeSeries(time_series=velocity))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes an NWB file of a simulated reaching task.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--trials", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    write_session(**vars(parser.parse_args()))
