"""A bias per trial: does it find what makes the dynamics of trials differ?

    python -m benchmarks.trial_bias                  # with a bias and without, a few minutes each on one core
    python -m benchmarks.trial_bias --seeds 0 1 2
    python -m benchmarks.trial_bias --quick          # tiny, to check that it runs

Pendulums whose gravity differs from trial to trial drive Poisson neurons. They start at random angles and velocities,
so a trial differs from another in its start and in its dynamics. Autonomous models with a bias of a few constant
inputs, and without one as the control, are fitted to them; both have as many latent variables. There is one JSON line
for each model, of test trials, with linear maps fitted on training trials:

* `gravity_from_bias`, `gravity_from_ic`, `gravity_from_both`: R2 of the gravity, from the posterior means;
* `start_from_bias`, `start_from_ic`: R2 of angle and velocity at the start, mean of both;
* `rates_r2`: R2 of the true rates, mean over neurons; `rates_r2_without_bias`: the same if every trial gets the mean
  bias, which shows what the bias does.

After Shah et al. 2025 (bioRxiv 2025.10.03.680303), who decode which of 8 gravities made a trial: from the bias in all
test trials, from the initial condition in 84 % of them. From there: the pendulum, its time of 30 units, the read-out
(rectified linear, with neurons of 2.5 counts per bin) and the range of gravity. Other than there: gravity is a
continuous number, starts differ, and there are fewer neurons, bins and trials.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any

import numpy as np
from flax import nnx

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.data.dataset import Dataset
from lfadsx.datasets.pendulum import swing
from lfadsx.evaluation.metrics import align, r2_by_channel

BASE, GAIN = 2.5, 2.2
"""Counts per bin at rest, and standard deviation of the read-out weights."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """Sizes of data, model and training."""

    trials: int = 600
    bins: int = 50
    steps_per_bin: int = 6
    neurons: int = 96
    units: int = 48
    bias: int = 2
    epochs: int = 700


QUICK = Budget(trials=60, bins=12, neurons=10, units=8, epochs=4)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--bias", nargs="+", type=int, default=[Budget.bias, 0], help="numbers of constant inputs")
    parser.add_argument("--epochs", type=int, default=Budget.epochs)
    parser.add_argument("--quick", action="store_true", help="tiny data and few epochs; gives no scores worth reading")
    options = parser.parse_args()
    use_compilation_cache()
    use_devices(1, 64)
    budget = QUICK if options.quick else dataclasses.replace(Budget(), epochs=options.epochs)
    data, truth = simulated(budget)
    for seed in options.seeds:
        for bias in options.bias:
            began = time.monotonic()
            model = trained(data, bias, seed, budget)
            found = scores(model, data, truth) | {"seconds": round(time.monotonic() - began)}
            print(json.dumps({"bias": bias, "seed": seed} | found), flush=True)


def simulated(budget: Budget) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Returns spikes with their true rates, and gravity (trial, 1) and start (trial, 2) of all trials."""
    random = np.random.default_rng(0)
    gravity = random.uniform(0.5, 4.0, budget.trials)
    start = np.stack([random.uniform(1 / 3, 1.0, budget.trials), random.normal(0.0, 0.2, budget.trials)], axis=-1)
    states = swing(start, gravity, budget.bins, steps_per_bin=budget.steps_per_bin)
    rates = np.maximum(states @ (GAIN * random.standard_normal((2, budget.neurons))) + BASE, 0.0)
    data = lfadsx.from_arrays(
        random.poisson(rates).astype(np.uint8),
        truth=rates,
        truth_unit="counts per bin",
        valid_fraction=0.2,
        test_fraction=0.2,
        seed=0,
    )
    return data, {"gravity": gravity[:, None], "start": start}


def trained(data: Dataset, bias: int, seed: int, budget: Budget) -> lfadsx.LFADS:
    """Returns a trained model with a bias of so many constant inputs; without one, the initial condition is wider."""
    sizes: dict[str, Any] = dict(generator_dim=budget.units, ic_encoder_dim=budget.units, factors=4)
    model = lfadsx.autonomous(data, bias_dim=bias, ic_dim=2 if bias else 2 + budget.bias, **sizes, seed=seed)
    # KL weights of 1, the evidence bound, leave no room for what another latent variable says already.
    how: dict[str, Any] = dict(kl_ic_scale=1.0, kl_bias_scale=1.0, dropout_rate=0.02, batch_size=64, seed=seed)
    how |= dict(epochs=budget.epochs, patience=budget.epochs, validate_every=10, progress=False)
    return lfadsx.fit(model, data, **how).model


def scores(model: lfadsx.LFADS, data: Dataset, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the scores of test trials; linear maps are fitted on training trials."""
    posts = {name: lfadsx.infer(model, data, name, n_samples=0) for name in ("train", "test")}
    latents = {"ic": {name: post.ic_mean for name, post in posts.items()}}
    found = {"rates_r2": _rates_r2(posts["test"], data)}
    if model.bias_prior is not None:
        latents["bias"] = {name: np.asarray(post.bias) for name, post in posts.items()}
        latents["both"] = {name: np.concatenate([latents[of][name] for of in ("ic", "bias")], 1) for name in posts}
        found["rates_r2_without_bias"] = _rates_r2(lfadsx.infer(without(model), data, "test", n_samples=0), data)
    for what, values in truth.items():
        true = {name: values[np.asarray(post.row)] for name, post in posts.items()}
        found |= {f"{what}_from_{of}": decoded(known, true) for of, known in latents.items()}
    return {name: round(value, 4) for name, value in found.items()}


def without(model: lfadsx.LFADS) -> lfadsx.LFADS:
    """Returns the model with the same bias in all trials, the mean of its posteriors' means over the prior."""
    copy: Any = nnx.clone(model)
    head = copy.bias_posterior
    head.weight[...] = 0.0 * head.weight[...]
    head.bias[...] = head.bias[...].at[: copy.bias_prior.dim].set(copy.bias_prior.loc[...])
    return copy


def decoded(known: dict[str, np.ndarray], true: dict[str, np.ndarray]) -> float:
    """Returns the R2 of a linear map from latents to the truth, mean over the dimensions of the truth."""
    one = lambda values: values[:, None]  # noqa: E731 - a trial is one bin here
    predicted = align(one(known["test"]), fit_on=(one(known["train"]), one(true["train"])))
    return float(r2_by_channel(predicted, one(true["test"])).mean())


def _rates_r2(post: lfadsx.Posterior, data: Dataset) -> float:
    return float(np.nanmean(r2_by_channel(post.rates[data.input_group], np.asarray(data.test.truth))))


if __name__ == "__main__":
    main()
