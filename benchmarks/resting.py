"""Variances of real-valued data, where channels rest: one for each bin, with several floors, or one for each channel.

    python -m benchmarks.resting --seeds 0 1

Sets, all small:

* `calcium`: traces of simulated calcium with noise, as one target group.
* `emg`: averages of 13 arm muscles over 8 directions of reaching, in bins of 33 samples (`macaque_emg_cc0`).
* `resting`: 12 channels that follow two oscillators and rest at exactly 0 in half of the bins.
* `beside spikes`: the same channels as a second target group beside spikes of the same oscillators.

For each likelihood: log likelihood of hidden entries in nats, of all and of those above 0 (`active_nats`); R2 of their
predictions, mean over channels; the largest mean norm of the gradient of an epoch; and, beside spikes, bits per spike
of held-out neurons. One JSON line for each model.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import lfadsx
from benchmarks.calcium import DECAY, NOISE
from benchmarks.data_sets import RECORDINGS
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.distributions import Gaussian, GaussianByChannel, SquaredError, SquaredErrorByChannel
from lfadsx.inference.masked import masked_log_likelihood, masked_rates

SIZES: dict[str, Any] = dict(factors=6, generator_dim=32, ic_dim=16, ic_encoder_dim=24, input_encoder_dim=24)
SIZES |= dict(controller_dim=24, inferred_inputs=2)
TRAINING: dict[str, Any] = dict(batch_size=40, learning_rate=0.01, progress=False)


def floored(share: float, variance_min: float) -> Gaussian:
    """Returns a Gaussian with a variance of every bin that is at least a share of the smallest channel's variance."""
    return Gaussian(variance_min * share / 1e-6)


LIKELIHOODS: dict[str, Callable[..., Any]] = {
    "each bin, floor 1e-6": Gaussian,
    "each bin, floor 1e-3": partial(floored, 1e-3),
    "each bin, floor 1e-2": partial(floored, 1e-2),
    "each bin, floor 1e-1": partial(floored, 1e-1),
    "each channel": GaussianByChannel,
    "each channel, fixed": SquaredErrorByChannel,
    "one fixed": SquaredError,
}


def calcium() -> Dataset:
    """Returns calcium traces of a chaotic network; the truth is the trace without noise."""
    spiking = lfadsx.datasets.chaotic_rnn(conditions=12, trials_per_condition=10, duration=0.5, neurons=20)
    spikes = np.concatenate([split.targets["spikes"] for split in spiking.splits.values()])
    rng, decay = np.random.default_rng(0), np.exp(-spiking.bin_width / DECAY)
    trace = np.zeros_like(spikes, float)
    for bin in range(spikes.shape[1]):
        trace[:, bin] = spikes[:, bin] + (decay * trace[:, bin - 1] if bin else 0.0)
    return lfadsx.from_arrays(trace + NOISE * rng.normal(size=trace.shape), kind="real", session="calcium")


def emg() -> Dataset:
    """Returns averages of 13 muscles, one trial for each of 8 directions."""
    values = np.load(RECORDINGS / "macaque_emg_cc0" / "emg.npz")["emg"].transpose(2, 1, 0)[:, : 101 * 33]
    binned = values.reshape(8, 101, 33, 13).mean(2)
    return lfadsx.from_arrays(binned, kind="real", session="emg", valid_fraction=0.25)


def oscillators() -> tuple[np.ndarray, np.ndarray]:
    """Returns channels that rest in half of the bins, and spike counts of 30 neurons, each (trial, time, channel)."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (150, 1, 2)) + np.arange(50)[:, None] * np.array([0.15, 0.31])
    latents = np.concatenate([np.sin(phase), np.cos(phase)], -1) * rng.uniform(0.5, 1.5, (150, 1, 1))
    drive = latents @ rng.normal(0, 1, (4, 12)) + 0.1 * rng.normal(size=(150, 50, 12))
    spikes = rng.poisson(np.exp(latents @ rng.normal(0, 0.4, (4, 30)) - 1.0))
    return np.maximum(drive - np.median(drive, (0, 1)), 0.0), spikes


def resting() -> Dataset:
    """Returns the channels that rest as the only target group."""
    return lfadsx.from_arrays(oscillators()[0], kind="real", session="resting")


def beside_spikes() -> Dataset:
    """Returns spikes, 6 of 30 neurons held out, with the channels that rest as another target group."""
    muscles, spikes = oscillators()
    return lfadsx.from_arrays(spikes, held_out=6, bin_width=0.01, other_targets={"emg": muscles}, session="both")


SETS: dict[str, tuple[Callable[[], Dataset], int]] = {
    "calcium": (calcium, 150),
    "emg": (emg, 600),
    "resting": (resting, 200),
    "beside spikes": (beside_spikes, 200),
}
"""Sets with the number of epochs."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--likelihoods", nargs="+", choices=LIKELIHOODS, default=list(LIKELIHOODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args()
    use_compilation_cache()
    for name in options.sets:
        make, epochs = SETS[name]
        data = make()
        for likelihood in options.likelihoods:
            for seed in options.seeds:
                began = time.monotonic()
                line = {"set": name, "variance": likelihood, "seed": seed}
                line |= scores(data, LIKELIHOODS[likelihood], seed, epochs)
                print(json.dumps(line | {"seconds": round(time.monotonic() - began)}), flush=True)


def scores(data: Dataset, likelihood: Callable[..., Any], seed: int, epochs: int) -> dict[str, float]:
    """Trains a model and returns its scores on validation trials."""
    real = next(group for group in data.groups if not data.is_counts(group))
    model = lfadsx.build(data, likelihood={real: likelihood}, seed=seed, **SIZES)
    run = lfadsx.fit(model, data, seed=seed, epochs=epochs, patience=epochs, validate_every=5, **TRAINING)
    norms = run.history["grad_norm"]
    found = {"grad_norm": float(np.median(norms)), "largest_norm": float(norms.max())}
    values = data.valid.targets[real]
    if real == data.input_group:
        rates, hidden = masked_rates(run.model, data, "valid", n_samples=16)
        nats, _ = masked_log_likelihood(run.model, data, "valid", n_samples=16)
        found |= {"masked_nats": float(nats[hidden].mean()), "active_nats": float(nats[hidden & (values > 0)].mean())}
    else:
        score = lfadsx.evaluate(run.model, data, "valid")
        found |= {"co_bps": float(score.scores["co_bps"])}
        rates, hidden = lfadsx.infer(run.model, data, "valid", n_samples=16).rates[real], np.ones(values.shape, bool)
    error = np.where(hidden, (values - rates) ** 2, 0.0).sum((0, 1))
    total = np.where(hidden, (values - values.mean((0, 1))) ** 2, 0.0).sum((0, 1))
    found["r2"] = float(np.mean(1 - error / total))
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    main()
