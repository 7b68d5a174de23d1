"""Likelihoods of counts, compared by the log likelihood of hidden entries, on simulations and recordings.

    python benchmarks/likelihoods.py --sets overdispersed zero_inflated golub session13 --seeds 2 --out runs/likelihoods

Each set is one `lfadsx.sweep` over likelihoods at the usual settings. A table has the mean log likelihood of a hidden
entry of the validation trials in nats (`masked_nats`) with its standard error, and the difference to the best
likelihood, paired by trial. A line of JSON for each model follows. `--quick` takes some of the trials and neurons, and
small models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lfadsx
from benchmarks.data_sets import SETS
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table

LIKELIHOODS = ("poisson", "negative_binomial", "zero_inflated_poisson")
QUICK: dict[str, Any] = dict(factors=6, generator_dim=32, ic_dim=8, ic_encoder_dim=24, variant="autonomous")
QUICK |= dict(epochs=200, batch_size=24, learning_rate=0.01)
"""Settings of `--quick`."""
QUICK_TRIALS, QUICK_NEURONS = 240, 30


def oscillators(draw: Callable[[np.random.Generator, np.ndarray], np.ndarray], trials: int = 300) -> Dataset:
    """Simulates counts of 30 neurons that follow 2 oscillators of random phase and size in every trial.

    Args:
        draw: Returns counts for rates in counts per bin, shape (trial, time, channel).
        trials: Number of trials of 50 bins.
    """
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (trials, 1, 2)) + np.arange(50)[:, None] * np.array([0.15, 0.31])
    latents = np.concatenate([np.sin(phase), np.cos(phase)], -1) * rng.uniform(0.5, 1.5, (trials, 1, 1))
    log_rates = latents @ rng.normal(0, 0.5, (4, 30)) + rng.uniform(-1, 0.5, 30)
    return lfadsx.from_arrays(draw(rng, np.exp(log_rates)), bin_width=0.01, session="oscillators")


def overdispersed(rng: np.random.Generator, rates: np.ndarray, size: float = 1.0) -> np.ndarray:
    """Draws negative binomial counts with variance m + m^2 / size."""
    return rng.negative_binomial(size, size / (size + rates))


def zero_inflated(rng: np.random.Generator, rates: np.ndarray, extra: float = 0.4) -> np.ndarray:
    """Draws Poisson counts, a share `extra` of which is set to 0."""
    return rng.poisson(rates) * (rng.random(rates.shape) >= extra)


ALL: dict[str, Callable[[], Dataset]] = {
    "overdispersed": partial(oscillators, overdispersed),
    "zero_inflated": partial(oscillators, zero_inflated),
    "pure_poisson": partial(oscillators, np.random.Generator.poisson),
} | SETS


def compare(name: str, out: Path, seeds: int, quick: bool) -> list[dict[str, Any]]:
    """Returns one row for each likelihood on a set."""
    data = ALL[name]()
    if quick:
        data = smaller(data)
    sizes = {"likelihood": LIKELIHOODS}
    found = lfadsx.sweep(data, out / name, sizes=sizes, seeds=seeds, figures=False, **(QUICK if quick else {}))
    return [{"set": name, **row} for row in found.rows]


def smaller(data: Dataset) -> Dataset:
    """Returns the first trials of each split, and some neurons."""
    shares = {name: int(np.ceil(QUICK_TRIALS * share)) for name, share in (("train", 0.6), ("valid", 0.4))}
    splits = {name: split for name, split in data.splits.items() if name in shares}
    rows = np.concatenate([np.sort(split.row)[: shares[name]] for name, split in splits.items()])
    neurons = {s.name: np.arange(s.n_targets["spikes"])[:QUICK_NEURONS] for s in data.sessions}
    return data.select(trials=np.sort(rows), neurons=neurons)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["overdispersed", "zero_inflated", "golub", "session13"]
    parser.add_argument("--sets", nargs="+", choices=ALL, default=names)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/likelihoods"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    use_compilation_cache()
    rows = [row for name in options.sets for row in compare(name, options.out, options.seeds, options.quick)]
    shown = [
        {
            "model": f"{row['set']}, {row['likelihood']}",
            "masked_nats": f"{row['masked_nats']:.4f} ± {row['standard_error']:.4f}",
            "difference": f"{row['difference']:.4f} ± {row['difference_error']:.4f}",
            "seconds": f"{row['seconds']:.0f}",
        }
        for row in rows
    ]
    print(format_table(shown))
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
