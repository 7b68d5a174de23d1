"""Event rates from calcium traces: a zero-inflated gamma likelihood beside Gaussian ones.

    python -m benchmarks.calcium chaotic --seeds 0 1 2
    python -m benchmarks.calcium lorenz --seeds 0 1 2

`chaotic`: rates linear in the states of a chaotic tanh network, bins of 10 ms, every spike makes the same jump.
`lorenz`: log rates linear in the state of the Lorenz system, frames at 30 Hz, jumps vary from spike to spike by a gamma
law. Spikes drive calcium that decays with a time constant of 0.4 s; the traces have noise with a standard deviation of
a fifth of a spike's mean jump. Events are steps of the trace above its decay that exceed twice their noise, and 0
elsewhere. A model of each likelihood is trained on the same events. Its expected events are mapped to rates by a slope
and an intercept for each neuron, fitted to the true rates of training trials. Prints R2 with the true rates of test
trials, and the gain of the first likelihood with its 95 % interval over trials, paired.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from flax import nnx

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import mean_of, minus, ratio, resample

DECAY, NOISE, THRESHOLD = 0.4, 0.2, 2.0
"""Time constant in seconds; noise of the trace, in jumps of one spike; threshold, in standard deviations of a step."""
SHAPE = 4.0
"""Shape of the gamma law of jumps; their standard deviation is half of their mean."""
LIKELIHOODS = ("zero_inflated_gamma", "gaussian", "squared_error")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=SIMULATED)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--likelihoods", nargs="+", default=LIKELIHOODS, help="each is compared with the first")
    parser.add_argument("--epochs", type=int, default=400)
    options = parser.parse_args()
    use_compilation_cache()
    data = SIMULATED[options.data]()
    found = {name: [] for name in options.likelihoods}
    for seed in options.seeds:
        for name, of_seeds in found.items():
            error, total = errors(data, name, seed, options.epochs)
            of_seeds.append(ratio(error, total))
            r2 = round(float(1 - error.sum() / total.sum()), 4)
            print(json.dumps({"data": options.data, "likelihood": name, "seed": seed, "rates_r2": r2}), flush=True)
    first, *others = found
    for name in others:
        gain = resample(minus(mean_of(found[name]), mean_of(found[first])), data.test.n_trials)
        said = {"gain": round(gain.value, 4), "low": round(gain.low, 4), "high": round(gain.high, 4)}
        print(json.dumps({"data": options.data, "likelihood": first, "beside": name, **said}))


def chaotic() -> Dataset:
    """Simulates events of a chaotic network whose rates are linear in tanh of its states."""
    bin_width = 0.01
    spiking = lfadsx.datasets.chaotic_rnn(
        conditions=30, trials_per_condition=10, bin_width=bin_width, valid_fraction=0.2, test_fraction=0.2
    )
    splits = {name: spiking.splits[name] for name in ("train", "valid", "test")}
    counts = np.concatenate([split.targets["spikes"] for split in splits.values()])
    truth = np.concatenate([np.asarray(split.truth) for split in splits.values()])
    names = [name for name, split in splits.items() for _ in range(split.n_trials)]
    return as_events(counts.astype(float), truth, bin_width, names, np.random.default_rng(0))


def lorenz() -> Dataset:
    """Simulates events of the Lorenz system, whose state makes log rates; one trial in six tests, one validates."""
    recipe = lfadsx.datasets.Lorenz(
        conditions=60, trials_per_condition=6, duration=3.0, bin_width=1 / 30, base_rate=3.0, train_fraction=4 / 6
    )
    rates = recipe.rates(recipe.run(recipe.starts()))[recipe.condition] * recipe.bin_width
    rng = np.random.default_rng(0)
    spikes = rng.poisson(rates)
    jumps = np.where(spikes > 0, rng.gamma(SHAPE * np.maximum(spikes, 1)) / SHAPE, 0.0)
    names = np.tile(["train"] * 4 + ["valid", "test"], recipe.conditions)
    return as_events(jumps, rates, recipe.bin_width, names.tolist(), rng)


SIMULATED = {"chaotic": chaotic, "lorenz": lorenz}
"""The data by name."""


def as_events(
    jumps: np.ndarray, truth: np.ndarray, bin_width: float, split: list[str], rng: np.random.Generator
) -> Dataset:
    """Returns the events of traces with the true rates.

    Args:
        jumps: Jump of the calcium in each bin, in mean jumps of a spike, shape (trial, time, neuron).
        truth: True rates in counts per bin, shape (trial, time, neuron).
        bin_width: Width of a bin in seconds.
        split: Name of the split of each trial.
        rng: Random numbers of the noise.
    """
    decay, calcium = np.exp(-bin_width / DECAY), np.zeros_like(jumps)
    for bin in range(jumps.shape[1]):
        calcium[:, bin] = jumps[:, bin] + (decay * calcium[:, bin - 1] if bin else 0.0)
    trace = calcium + NOISE * rng.normal(size=calcium.shape)
    steps = trace - decay * np.pad(trace[:, :-1], ((0, 0), (1, 0), (0, 0)))
    events = np.where(steps > THRESHOLD * NOISE * np.hypot(1.0, decay), steps, 0.0)
    return lfadsx.from_arrays(events, kind="real", truth=truth, bin_width=bin_width, split=split, session="calcium")


def errors(data: Dataset, likelihood: str, seed: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns squared errors and squared deviations of true rates, both summed for each test trial."""
    model = lfadsx.build(data, likelihood=likelihood, rngs=nnx.Rngs(seed))
    model = lfadsx.fit(model, data, seed=seed, epochs=epochs, patience=epochs, progress=False).model
    rates = {name: lfadsx.infer(model, data, name).rates["spikes"] for name in ("train", "test")}
    truth = {name: data.splits[name].truth for name in rates}
    mean, true_mean = rates["train"].mean((0, 1)), truth["train"].mean((0, 1))
    centred = rates["train"] - mean
    slope = (centred * truth["train"]).sum((0, 1)) / (centred**2).sum((0, 1))
    error = truth["test"] - true_mean - slope * (rates["test"] - mean)
    return (error**2).sum((1, 2)), ((truth["test"] - truth["test"].mean((0, 1))) ** 2).sum((1, 2))


if __name__ == "__main__":
    main()
