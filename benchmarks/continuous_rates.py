"""Rates of a recording that was never cut, joined from pieces, beside rates of whole trials.

    python -m benchmarks.continuous_rates --seeds 0 1 2

The Lorenz system drives 30 neurons, once as one trajectory of 240 s (`pieces`: 0.6 s long, overlap 0.12 s, joined) and
once as 400 trials of 0.6 s with starts of their own (`trials`). Neurons, speed and read-out are the same. A model of
the same settings is trained on each. Prints R2 with the true rates of test bins: of trials, of pieces alone and of
joined pieces. Writes continuous.png with a stretch of the recording, and R2 by the place of a bin in trial or piece.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.datasets.lorenz import Lorenz

TRIALS, LENGTH, OVERLAP = 400, 0.6, 0.12
EPOCHS = 150
SYSTEM: dict[str, Any] = dict(base_rate=20.0, modulation=0.7, steps_per_bin=5, seed=0)
SIZES = dict(factors=8, generator_dim=48, ic_encoder_dim=48, input_encoder_dim=32, controller_dim=32, inferred_inputs=1)
BATCH_SIZE = 32
SCORES = ("r2_trials", "r2_pieces_alone", "r2_joined")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=TRIALS, help="trials; the recording is as long as all together")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=Path("docs/assets"), help="folder of the figure")
    options = parser.parse_args()
    use_compilation_cache()
    results = []
    for seed in options.seeds:
        results.append(measure(options.trials, options.epochs, seed))
        print(json.dumps({"seed": seed} | {name: results[-1][name] for name in SCORES}), flush=True)
    mean = {name: round(float(np.mean([one[name] for one in results])), 4) for name in SCORES}
    print(json.dumps({"mean": mean}), flush=True)
    draw(results, options.out / "continuous.png")


def measure(n_trials: int, epochs: int, seed: int) -> dict[str, Any]:
    """Trains on trials and on pieces; returns R2 of test bins, by place, and a stretch of rates."""
    trials, pieces, truth = simulated(n_trials, seed)
    of_trials, of_pieces = (rates_of(data, epochs, seed) for data in (trials, pieces))
    joined = lfadsx.join(of_pieces)["session"].rates["spikes"]
    split = pieces.test
    whole = squares(of_trials.rates["spikes"], trials.test.truth)
    alone = squares(of_pieces.rates["spikes"], split.truth)
    # A bin that several pieces cover stands once in each place at which a piece has it.
    places = np.stack([joined[first : first + split.n_bins] for first in split.first_bin])
    covered = np.unique(np.concatenate([np.arange(first, first + split.n_bins) for first in split.first_bin]))
    both = squares(joined[covered][None], truth[covered][None])
    return {
        "r2_trials": r2(*whole),
        "r2_pieces_alone": r2(*alone),
        "r2_joined": r2(*both),
        "by_place": {
            "whole trials": by_place(*whole),
            "pieces alone": by_place(*alone),
            "joined pieces": by_place(*squares(places, split.truth)),
        },
        "stretch": (split, of_pieces, joined, truth),
    }


def simulated(n_trials: int, seed: int) -> tuple[Dataset, Dataset, np.ndarray]:
    """Returns trials, pieces of one trajectory, and the true rates of the trajectory in counts per bin."""
    recipe = Lorenz(conditions=n_trials, trials_per_condition=1, duration=LENGTH, **SYSTEM)
    rng = np.random.default_rng([seed, 1])
    trajectory = Lorenz(conditions=1, trials_per_condition=1, duration=n_trials * LENGTH, **SYSTEM)
    ends = np.round(n_trials * np.array([0, 0.7, 0.85, 1])).astype(int)
    split = np.repeat(["train", "valid", "test"], np.diff(ends))
    width = recipe.bin_width
    rates = width * recipe.rates(recipe.run(recipe.starts()))
    truth = width * recipe.rates(trajectory.run(recipe.starts()[:1])[0])
    how: dict[str, Any] = dict(bin_width=width, truth_unit="counts per bin")
    trials = lfadsx.from_arrays(rng.poisson(rates), truth=rates, split=split, **how)
    pieces = lfadsx.from_continuous(rng.poisson(truth), truth=truth, length=LENGTH, overlap=OVERLAP, seed=seed, **how)
    return trials, pieces, truth


def rates_of(data: Dataset, epochs: int, seed: int) -> lfadsx.Posterior:
    """Returns the posterior of the test trials of a trained model."""
    model = lfadsx.inferred_input(data, **SIZES, rngs=nnx.Rngs(seed))
    model = lfadsx.fit(model, data, seed=seed, epochs=epochs, batch_size=BATCH_SIZE, progress=False).model
    return lfadsx.infer(model, data, "test", n_samples=32)


def squares(rates: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns squared errors and squared deviations of the truth from its mean, (trial, time)."""
    deviation = truth - truth.mean((0, 1))
    return ((rates - truth) ** 2).sum(2), (deviation**2).sum(2)


def r2(error: np.ndarray, total: np.ndarray) -> float:
    """Returns R2 of all bins."""
    return round(float(1 - error.sum() / total.sum()), 4)


def by_place(error: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Returns R2 of the bins at each place of a trial, with the variance of all places, shape (time,)."""
    return 1 - error.mean(0) / total.mean()


def draw(results: list[dict[str, Any]], file: Path) -> None:
    """Draws a stretch of joined rates, and R2 by the place of a bin in its trial or piece."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    split, post, joined, truth = results[0]["stretch"]
    width, first = post.time.bin_width, int(split.first_bin[0])
    neuron = int(np.argmax(truth.std(0)))
    stop = first + 250
    time = (np.arange(first, stop) + 0.5) * width
    left.plot(time, truth[first:stop, neuron] / width, color="black", ls="--", lw=1, label="truth")
    for row in np.flatnonzero((split.first_bin >= first) & (split.first_bin < stop)):
        begin = int(split.first_bin[row])
        n = min(split.n_bins, stop - begin)
        values, where = post.rates["spikes"][row, :n, neuron] / width, (begin + np.arange(n) + 0.5) * width
        left.plot(where, values, color="#D55E00", lw=1, label="pieces alone" if begin == first else None)
    left.plot(time, joined[first:stop, neuron] / width, color="#0072B2", lw=1.8, label="joined")
    left.set(xlabel="time in the recording (s)", ylabel="rate of a neuron (Hz)", title="a stretch of test pieces")
    left.legend(frameon=False, ncols=3)
    colours = {"whole trials": "#8c8c8c", "pieces alone": "#D55E00", "joined pieces": "#0072B2"}
    for name, colour in colours.items():
        values = np.mean([one["by_place"][name] for one in results], axis=0)
        right.plot((np.arange(len(values)) + 0.5) * width, values, color=colour, label=name)
    right.set(xlabel="time from the start of trial or piece (s)", ylabel="R2 with the true rates", title="R2 by place")
    right.legend(frameon=False)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
