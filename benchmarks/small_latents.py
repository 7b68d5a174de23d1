"""Small latents: does a generator with as many units as the system has dimensions find the system?

    python -m benchmarks.small_latents                        # 8 models, at most 15 minutes each
    python -m benchmarks.small_latents --data lorenz --sizes 3 --seeds 0 1 2
    python -m benchmarks.small_latents --quick                # tiny, to check that it runs

Three states of a chaotic flow drive Poisson neurons. Autonomous models whose generator has 3 or 10 units, with the
initial condition as initial state, are fitted to them: a neural ODE and a GRU. There is one JSON line for each model.
`state_r2` is how well the true states predict the inferred ones linearly, which punishes dimensions that the model
invents; `recovered_r2` is the reverse; `rates_r2` is that of the rates. All are means over dimensions or neurons, on
test trials. Lines that the file holds are skipped, so a stopped benchmark continues.

After Sedler, Versteeg & Pandarinath 2022 (arXiv 2212.03771), who report medians over the last of 3000 epochs, mean
over 5 seeds, of `rates_r2` / `state_r2`: Lorenz with 3 units .382 / .319 (GRU) and .836 / .895 (neural ODE), with 10
units .809 / .414 and .971 / .549; Rössler with 3 units .272 / .155 and .877 / .957, with 10 units .847 / .502 and
.913 / .698. From there: sizes of the data, read-out, learning rates, weight decay, and the horizon of the neural ODE,
whose loss sees only the first bins of a trial at first. Other than there: the models here are variational.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.data.dataset import Dataset
from lfadsx.datasets import lorenz, roessler
from lfadsx.evaluation.metrics import align, r2_by_channel


class System(NamedTuple):
    """A chaotic flow: the draw of starts, its Euler steps, their length, and their number in a bin."""

    stationary: Callable[..., np.ndarray]
    euler: Callable[[np.ndarray, float, int], np.ndarray]
    step: float
    steps_per_bin: int


SYSTEMS = {
    "lorenz": System(lorenz.stationary, lorenz.euler, 0.003, 5),  # 100 bins in a period of 1.5 units of time
    "roessler": System(roessler.stationary, roessler.euler, 0.01, 17),  # 35 bins in a period of 5.9 units
}
GENERATORS: dict[str, dict[str, Any]] = {
    "gru": dict(learning_rate=1e-3, weight_decay=1e-4),
    "neural_ode": dict(learning_rate=5e-3, weight_decay=1e-5),
}
"""Training of each generator."""
HORIZONS = (5, 10, 20, 40)
"""Bins that the loss of the neural ODE sees, one after the other, in the first half of the training."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """Sizes of data and training."""

    trials: int = 2000
    bins: int = 70
    neurons: int = 10
    epochs: int = 1200
    batch_size: int = 256
    minutes: float = 15.0


QUICK = Budget(trials=60, bins=20, epochs=10, batch_size=32)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--generators", nargs="+", choices=GENERATORS, default=list(GENERATORS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[3, 10])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=Budget.minutes, help="most minutes of training of a model")
    parser.add_argument("--file", type=Path, default=Path("runs/small_latents.jsonl"))
    parser.add_argument("--quick", action="store_true", help="tiny data and few epochs; gives no scores worth reading")
    options = parser.parse_args()
    use_compilation_cache()
    use_devices(1, Budget.batch_size)
    budget = QUICK if options.quick else dataclasses.replace(Budget(), minutes=options.minutes)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    done = [{name: line[name] for name in ("data", "generator", "size", "seed")} for line in lines(options.file)]
    for name, seed in itertools.product(options.data, options.seeds):
        data, states = simulated(SYSTEMS[name], budget)
        for size, generator in itertools.product(options.sizes, options.generators):
            one: dict[str, Any] = {"data": name, "generator": generator, "size": size, "seed": seed}
            if one in done:
                continue
            began = time.monotonic()
            model, epochs = trained(data, generator, size, seed, budget)
            one |= scores(model, data, states) | {"epochs": epochs, "seconds": round(time.monotonic() - began)}
            with options.file.open("a") as file:
                file.write(json.dumps(one) + "\n")
            print(json.dumps(one), flush=True)


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """Returns the lines of a file that exists."""
    if file.is_file():
        yield from map(json.loads, file.read_text().splitlines())


def simulated(system: System, budget: Budget) -> tuple[Dataset, np.ndarray]:
    """Returns spikes with their true rates, and the states of all trials, shape (trial, time, 3)."""
    state, states = system.stationary(budget.trials, 0, system.step), []
    for _ in range(budget.bins):
        state = system.euler(state, system.step, system.steps_per_bin)
        states.append(state)
    states, random = np.stack(states, axis=1), np.random.default_rng(0)
    log_rates = states @ random.uniform(-0.5, 0.5, (3, budget.neurons))
    rates = np.exp((log_rates - log_rates.mean((0, 1))) / log_rates.std((0, 1)))
    spikes = random.poisson(rates)
    data = lfadsx.from_arrays(
        spikes, truth=rates, truth_unit="counts per bin", valid_fraction=0.16, test_fraction=0.2, seed=0
    )
    return data, states


def trained(data: Dataset, generator: Any, size: int, seed: int, budget: Budget) -> tuple[lfadsx.LFADS, int]:
    """Returns a trained model, and the epochs that the minutes allow."""
    model = lfadsx.autonomous(
        data,
        generator=generator,
        generator_dim=size,
        ic_dim=size,
        factors=size,
        initial_state="identity",
        ic_encoder_dim=64,
        seed=seed,
    )
    shared: dict[str, Any] = GENERATORS[generator] | dict(kl_ic_scale=0.0, dropout_rate=0.0, cd_rate=0.0)
    shared |= dict(batch_size=budget.batch_size, kl_ramp_epochs=0, l2_ramp_epochs=0, seed=seed, progress=False)

    def fit(model: lfadsx.LFADS, data: Dataset, epochs: int, **changes: Any) -> lfadsx.LFADS:
        return lfadsx.fit(model, data, epochs=epochs, patience=epochs, **shared, **changes).model

    began = time.monotonic()
    fit(model, data, 2)  # compiles
    compiled = time.monotonic()
    fit(model, data, 4)
    # As much as until now is kept back for the data of a horizon, which are compiled again.
    left = 60 * budget.minutes - 2 * (time.monotonic() - began)
    epochs = max(2, min(budget.epochs, int(4 * left / (time.monotonic() - compiled))))
    horizons = [n for n in HORIZONS if n < budget.bins] if generator == "neural_ode" else []
    for horizon in horizons:
        model = fit(model, up_to(data, horizon), max(1, epochs // 2 // len(horizons)), schedule="constant")
    return fit(model, data, max(2, epochs // 2 if horizons else epochs)), epochs


def up_to(data: Dataset, horizon: int) -> Dataset:
    """Returns data whose targets are observed in their first bins only; encoders see whole trials."""
    splits = {}
    for name, split in data.splits.items():
        early = {group: np.zeros(values.shape, bool) for group, values in split.targets.items()}
        for mask in early.values():
            mask[:, :horizon] = True
        splits[name] = dataclasses.replace(split, target_observed=early)
    return dataclasses.replace(data, **splits)


def scores(model: lfadsx.LFADS, data: Dataset, states: np.ndarray) -> dict[str, float]:
    """Returns the scores of test trials; linear maps are fitted on training trials."""
    posts = {name: lfadsx.infer(model, data, name, n_samples=0) for name in ("train", "test")}
    true = {name: states[data.splits[name].row] for name in posts}
    inferred = {name: post.generator_states for name, post in posts.items()}
    predicted = align(true["test"], fit_on=(true["train"], inferred["train"]))
    recovered = align(inferred["test"], fit_on=(inferred["train"], true["train"]))
    found = {
        "state_r2": r2_by_channel(predicted, inferred["test"]),
        "recovered_r2": r2_by_channel(recovered, true["test"]),
        "rates_r2": r2_by_channel(posts["test"].rates[data.input_group], data.test.truth),
    }
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


if __name__ == "__main__":
    main()
