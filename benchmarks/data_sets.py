"""The sets on which defaults are chosen and judged: recordings whole and cut, and simulations of several sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import lfadsx
from lfadsx.data.dataset import Dataset

RECORDINGS = Path(__file__).parents[2] / "shared" / "data"
KIANI = "kiani_pfc_monkey2/heldout42.h5"


def recording(file: str, trials: int | None = None) -> Dataset:
    """Reads a recording; with `trials`, so many of its training trials and a quarter of that for validation."""
    data = lfadsx.read(RECORDINGS / file)
    if trials is None:
        return data
    kept, rng = [], np.random.default_rng(0)
    for name, n in (("train", trials), ("valid", max(trials // 4, 12)), ("test", data.test.n_trials)):
        rows = data.splits[name].row
        kept.append(np.sort(rng.permutation(rows)[:n]))
    return data.select(trials=np.concatenate(kept))


def golub() -> Dataset:
    """Reads the recording of a brain-machine interface, with every fifth of its 24 units held out."""
    with np.load(RECORDINGS / "golub_bmi_24unit" / "golub_bmi.npz") as file:
        cuts = np.cumsum(file["lengths"])[:-1]
        spikes, condition = np.split(file["spikes_concat"], cuts), file["condition"]
    return lfadsx.from_arrays(
        [of.astype(np.uint8) for of in spikes],
        held_out=list(range(0, 24, 5)),
        condition=condition,
        valid_fraction=0.2,
        test_fraction=0.25,
        session="golub",
    )


def chaotic(conditions: int, trials: int, valid: float, test: float) -> Dataset:
    """Simulates a chaotic network with trials of half a second."""
    return lfadsx.datasets.chaotic_rnn(
        conditions=conditions,
        trials_per_condition=trials,
        duration=0.5,
        held_out=10,
        valid_fraction=valid,
        test_fraction=test,
    )


SETS: dict[str, Callable[[], Dataset]] = {
    "kiani": partial(recording, KIANI),
    "kiani_300": partial(recording, KIANI, 300),
    "kiani_100": partial(recording, KIANI, 100),
    "kiani_50": partial(recording, KIANI, 50),
    "day31": partial(recording, "macaque_reach_day31/heldout6.h5"),
    "golub": golub,
    "session10": partial(recording, "steinmetz_areas/session10_Hench_2017-06-17_areas.h5"),
    "session13": partial(recording, "steinmetz_areas/session13_Lederberg_2017-12-06_areas.h5"),
    "chaotic_60": partial(chaotic, 10, 30, 0.1, 0.7),
    "chaotic_600": partial(chaotic, 50, 20, 0.2, 0.2),
    "integrator_100": partial(lfadsx.datasets.integrator, trials=400, valid_fraction=0.1, test_fraction=0.65),
    "integrator_1600": partial(lfadsx.datasets.integrator, trials=2000),
}
"""The sets by name; each call reads or simulates anew."""
