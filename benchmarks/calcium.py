"""Event rates from calcium traces: a zero-inflated gamma likelihood beside a Gaussian one.

    python -m benchmarks.calcium --seeds 0 1 2

Spikes of a chaotic network drive calcium that decays with a time constant of 0.4 s; the traces have noise with a
standard deviation of a fifth of a spike's jump. Events are steps of the trace above its decay that exceed twice their
noise, and 0 elsewhere. A model of each likelihood is trained on the same events. Its expected events are mapped to
rates by a slope and an intercept for each neuron, fitted to the true rates of training trials. Prints R2 with the true
rates of test trials, and the difference with its 95 % interval over trials, paired.
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
LIKELIHOODS = ("zero_inflated_gamma", "gaussian")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=400)
    options = parser.parse_args()
    use_compilation_cache()
    data = calcium_data()
    found = {name: [errors(data, name, seed, options.epochs) for seed in options.seeds] for name in LIKELIHOODS}
    for name, of_seeds in found.items():
        r2 = [round(float(1 - error.sum() / total.sum()), 4) for error, total in of_seeds]
        print(json.dumps({"likelihood": name, "rates_r2": r2}))
    first, second = (mean_of([ratio(*pair) for pair in found[name]]) for name in LIKELIHOODS)
    gain = resample(minus(second, first), data.test.n_trials)
    print(json.dumps({"gain": round(gain.value, 4), "low": round(gain.low, 4), "high": round(gain.high, 4)}))


def calcium_data() -> Dataset:
    """Simulates events of calcium traces, with the true rates."""
    spiking = lfadsx.datasets.chaotic_rnn(
        conditions=30, trials_per_condition=10, duration=1.0, valid_fraction=0.2, test_fraction=0.2
    )
    splits = {name: spiking.splits[name] for name in ("train", "valid", "test")}
    spikes = np.concatenate([split.targets["spikes"] for split in splits.values()])
    rng, decay = np.random.default_rng(0), np.exp(-spiking.bin_width / DECAY)
    calcium = np.zeros_like(spikes, float)
    for bin in range(spikes.shape[1]):
        calcium[:, bin] = spikes[:, bin] + (decay * calcium[:, bin - 1] if bin else 0.0)
    trace = calcium + NOISE * rng.normal(size=calcium.shape)
    steps = trace - decay * np.pad(trace[:, :-1], ((0, 0), (1, 0), (0, 0)))
    events = np.where(steps > THRESHOLD * NOISE * np.hypot(1.0, decay), steps, 0.0)
    return lfadsx.from_arrays(
        events,
        kind="real",
        truth=np.concatenate([split.truth for split in splits.values()]),
        bin_width=spiking.bin_width,
        split=[name for name, split in splits.items() for _ in range(split.n_trials)],
        session="calcium",
    )


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
