"""Rates in bins that were removed from every trial, beside interpolation.

    python -m benchmarks.missing_bins --seeds 0 1 2

Half of the bins of each trial of a chaotic network are removed at random, for all neurons. A model is trained on what
is left, with the default settings. Interpolation is the mean of the recorded bins around, weighted by a Gaussian whose
width has the best R2 on validation trials, and mapped to rates by a slope and an intercept for each neuron that are
fitted to the true rates of training trials; the model has no such help. Prints R2 with the true rates in removed bins
of test trials, and the difference with its 95 % interval over trials, paired.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from flax import nnx
from scipy.ndimage import gaussian_filter1d

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation import mean_of, minus, ratio, resample

REMOVED = 0.5
WIDTHS = (2.0, 4.0, 8.0, 12.0, 20.0, 40.0, 80.0)
"""Widths of the Gaussian in bins."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    use_compilation_cache()
    data = with_removed_bins()
    width = min(
        WIDTHS, key=lambda width: np.divide(*map(np.sum, errors(data.valid, interpolated(data, "valid", width))))
    )
    found = {
        "interpolation": [errors(data.test, interpolated(data, "test", width))],
        "lfadsx": [errors(data.test, rates_of(data, seed)) for seed in options.seeds],
    }
    for name, of_seeds in found.items():
        print(json.dumps({"way": name, "rates_r2": [round(float(1 - e.sum() / t.sum()), 4) for e, t in of_seeds]}))
    first, second = (mean_of([ratio(*pair) for pair in of]) for of in found.values())
    gain = resample(minus(first, second), data.test.n_trials)
    print(json.dumps({"gain": round(gain.value, 4), "low": round(gain.low, 4), "high": round(gain.high, 4)}))
    print(json.dumps({"width_of_interpolation_in_bins": width}))


def with_removed_bins() -> Dataset:
    """Simulates a chaotic network, half of whose bins are missing."""
    whole = lfadsx.datasets.chaotic_rnn(
        conditions=30, trials_per_condition=20, duration=0.5, valid_fraction=0.2, test_fraction=0.2
    )
    splits = {name: whole.splits[name] for name in ("train", "valid", "test")}
    spikes = np.concatenate([split.targets["spikes"] for split in splits.values()])
    observed = np.random.default_rng(0).random((*spikes.shape[:2], 1)) >= REMOVED
    return lfadsx.from_arrays(
        np.where(observed, spikes, 0),
        observed=np.broadcast_to(observed, spikes.shape),
        truth=np.concatenate([split.truth for split in splits.values()]),
        bin_width=whole.bin_width,
        split=[name for name, split in splits.items() for _ in range(split.n_trials)],
    )


def rates_of(data: Dataset, seed: int) -> np.ndarray:
    """Returns the rates of test trials by a trained model."""
    model = lfadsx.fit(lfadsx.build(data, rngs=nnx.Rngs(seed)), data, seed=seed, progress=False).model
    return lfadsx.infer(model, data, "test").rates["spikes"]


def interpolated(data: Dataset, name: str, width: float) -> np.ndarray:
    """Returns the rates of a split by interpolation."""
    known, truth = smoothed(data.train, width), data.train.truth
    mean, true_mean = known.mean((0, 1)), truth.mean((0, 1))
    slope = ((known - mean) * truth).sum((0, 1)) / ((known - mean) ** 2).sum((0, 1))
    return true_mean + slope * (smoothed(data.splits[name], width) - mean)


def smoothed(split: Split, width: float) -> np.ndarray:
    """Returns weighted means of the recorded bins around each bin."""
    there = split.target_observed["spikes"].astype(float)
    total = gaussian_filter1d(split.targets["spikes"] * there, width, axis=1, mode="constant")
    return total / np.maximum(gaussian_filter1d(there, width, axis=1, mode="constant"), 1e-9)


def errors(split: Split, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns squared errors and squared deviations of true rates in removed bins, both summed for each trial."""
    removed, truth = ~split.target_observed["spikes"], split.truth
    error, total = (rates - truth) ** 2, (truth - truth[removed].mean()) ** 2
    return (error * removed).sum((1, 2)), (total * removed).sum((1, 2))


if __name__ == "__main__":
    main()
