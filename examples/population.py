"""Population-based training on the Lorenz system: does a hyperparameter search beat the defaults?

Data: the simulated spikes of examples/lorenz.py with half the trials. Eight models train side by side as one program.
Every ten epochs members are paired at random. The member with the worse validation score copies the other's weights
and perturbs the other's hyperparameters. Three results are compared: the best member, the average over the best few
members, and a single model. The single model has the default hyperparameters, the seed of member 0 and as many epochs.
The search does not use the true rates and states; only the comparison does.

    python examples/population.py              # full run: about half an hour on two CPU cores
    python examples/population.py --epochs 30  # a shorter first look
    python examples/population.py --quick      # tiny sizes, to check that it works

On a CPU give each core its own members: JAX_NUM_CPU_DEVICES=2 python examples/population.py.

Writes runs/population: data, the run folders single and pbt (with figures of the search), and scores.txt.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

import math
from pathlib import Path

import h5py
import jax
import numpy as np
from example_tools.command_line import options
from example_tools.quick_settings import sized

import lfadsx
from lfadsx.evaluation import format_table, metrics
from lfadsx.search import PBT, Range, Space

NAME = "lorenz"

DATA = {"trials_per_condition": 10}
QUICK_DATA = {"conditions": 4, "trials_per_condition": 10, "units": 50, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="autonomous",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
)
HYPER = lfadsx.HyperParams()  # of the single model, and of the members where `SPACE` has no range
TRAIN = lfadsx.TrainConfig(
    epochs=300,
    batch_size=32,
    kl_ramp_epochs=60,
    l2_ramp_epochs=0,
    patience=300,
)
# Members are compared after epoch 70, when the ramp has ended, and then every 10 epochs: at most 24 generations.
POPULATION = lfadsx.PopulationConfig(population=8, epochs_per_generation=10, ensemble=5)
QUICK_POPULATION = lfadsx.PopulationConfig(population=4, epochs_per_generation=2, ensemble=2)
# An autonomous model has no inputs, so their KL weight is left out. With `bounded=False` the KL weight may leave the
# range of its initial values.
SPACE = Space(
    {
        "dropout_rate": Range(0.0, 0.4),
        "cd_rate": Range(0.1, 0.7),
        "kl_ic_scale": Range(4e-3, 1.0, log=True, width=0.8, bounded=False),
    }
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains a single model and a population, and compares both with the truth."""
    model, train = sized(MODEL, TRAIN, quick, epochs)
    sizes = QUICK_POPULATION if quick else POPULATION
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(file)

    # The single model's trials are spread over all devices. Members are spread over as many devices as divide evenly.
    n = len(jax.devices())
    spread = lfadsx.make_mesh() if n > 1 else None
    single = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, mesh=spread, out=out / "single")
    if single.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    searched = lfadsx.population(
        lambda data, rngs: lfadsx.build(data, model, rngs=rngs),
        data,
        strategy=PBT(SPACE),
        population=sizes,
        hyper=HYPER,
        config=train,
        mesh=lfadsx.make_mesh(members=math.gcd(sizes.population, n)) if n > 1 else None,
        out=out / "pbt",
    )
    if searched.reason == "interrupted":
        return
    lfadsx.plotting.write_population_figures(out / "pbt" / "figures", searched.rows)

    best_few = [searched.members[member].model for member in searched.ranking[: sizes.ensemble]]
    compared = {
        "defaults, one model": [single.model],
        "best member": [searched.best.model],
        f"ensemble of {len(best_few)}": best_few,
    }
    rows = [{"model": name} | scores(models, data, file) for name, models in compared.items()]
    best = searched.ranking[0]
    table = [
        {"hyperparameter": name, "default": f"{getattr(HYPER, name):.3g}", "best member": f"{values[best]:.3g}"}
        for name, values in vars(searched.hyper).items()
        if name in SPACE.ranges
    ]
    text = f"{format_table(rows)}\n\n{format_table(table)}"
    print(f"\nvalid trials, R2 with the truth\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def scores(models: list[lfadsx.LFADS], data: lfadsx.Dataset, file: Path) -> dict[str, float]:
    """Returns R2 of rates, averaged over some models, and of the three states, on validation trials.

    A linear map from log rates to states is fitted on training trials; true log rates are linear in the states.
    Factors of different models are not comparable, so they cannot be averaged.
    """
    n_samples = max(8, 64 // len(models))  # divided between the models
    inferred = {name: [lfadsx.infer(of, data, name, n_samples=n_samples) for of in models] for name in data.splits}
    rates = {name: np.mean([post.rates["spikes"] for post in of], axis=0) for name, of in inferred.items()}
    logs = {name: np.log(values) for name, values in rates.items()}
    with h5py.File(file) as simulated:
        states = {name: simulated[f"{name}_states"][:] for name in rates}
    aligned = metrics.align(logs["valid"], fit_on=(logs["train"], states["train"]))
    r2 = metrics.r2_by_channel(aligned, states["valid"])
    named = {f"state {number}": float(value) for number, value in enumerate(r2, 1)}
    return {"rates_r2": metrics.r2_per_trial(rates["valid"], data.valid.truth)} | named


if __name__ == "__main__":
    main(**options(__doc__, "population"))
