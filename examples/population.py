"""Population-based training on the Lorenz system: what does a search find that the defaults do not have?

Eight models train side by side as one program. Every ten epochs they meet in random pairs: who has the worse score on
validation trials goes on with the weights of the other and with hyperparameters a little away from the other's. Beside
the best of them and the average over the best few stands a single model with the default hyperparameters and the seed
of member 0, which trains for as many epochs. The true rates and states, which are known, take no part in the search.

    python examples/population.py              # the whole run
    python examples/population.py --epochs 30  # a first look
    python examples/population.py --quick      # a moment, to see that it works

On a CPU give each core members of its own: JAX_NUM_CPU_DEVICES=2 python examples/population.py. The sizes are chosen
for some half an hour on two cores: half the trials of examples/lorenz.py, in steps of half as many.

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
import dataclasses
import math
from pathlib import Path

import h5py
import jax
import numpy as np
from example_tools.quick_settings import shorter, tiny_model

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import latent_r2, r2_per_trial
from lfadsx.pipeline import fit_run, population_run
from lfadsx.plotting import write_population_figures
from lfadsx.results.results_file import read_posteriors
from lfadsx.search import PBT, Range, Space
from lfadsx.training import GenerationTable, PopulationResult, ProgressBar, make_mesh

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
HYPER = lfadsx.HyperParams()  # those of the single model, and of the members for whatever is not searched
TRAIN = lfadsx.TrainConfig(
    epochs=300,
    batch_size=32,
    kl_ramp_epochs=60,
    l2_ramp_epochs=0,
    patience=300,
)
# Members compare after epoch 70, when the ramp has ended, and every 10 epochs: 24 generations at most.
POPULATION = lfadsx.PopulationConfig(population=8, epochs_per_generation=10, ensemble=5)
QUICK_POPULATION = lfadsx.PopulationConfig(population=4, epochs_per_generation=2, ensemble=2)
# An autonomous model has no inputs, so their KL is left out. The KL may weigh more or less than anybody has begun with.
SPACE = Space(
    {
        "dropout_rate": Range(0.0, 0.4),
        "cd_rate": Range(0.1, 0.7),
        "kl_ic_scale": Range(4e-3, 1.0, log=True, width=0.8, bounded=False),
    }
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains a single model and a population, and compares both with the truth."""
    changes, model, train, population = DATA, MODEL, TRAIN, POPULATION
    if epochs:
        train = shorter(train, epochs)
    if quick:
        out = out / "quick"  # a trial run must not stand in the way of the real one
        changes, population = QUICK_DATA, QUICK_POPULATION
        model, train = tiny_model(model), shorter(train, epochs or 12, batch_size=20)
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **changes)
    data = lfadsx.data.read(file)

    # A single model spreads its trials over the devices; members go to devices of their own as far as they divide.
    n = len(jax.devices())
    single = fit_run(
        data,
        out / "single",
        model=model,
        hyper=HYPER,
        train=train,
        mesh=make_mesh(n) if n > 1 else None,
        figures=not quick,
        callbacks=[ProgressBar()],
    )
    if single.evaluation is None:  # Ctrl-C; the same command goes on from there
        return
    searched = population_run(
        data,
        out / "pbt",
        strategy=PBT(SPACE),
        population=population,
        model=model,
        hyper=HYPER,
        train=train,
        mesh=make_mesh(n, members=math.gcd(population.population, n)) if n > 1 else None,
        figures=not quick,
        callbacks=[GenerationTable()],
    )
    if searched.ensemble is None:
        return
    if quick:  # the search alone; the whole run has drawn this and the best member
        write_population_figures(out / "pbt" / "figures", searched.result.rows)

    files = {
        "defaults, one model": out / "single" / "posterior.h5",
        "best member": out / "pbt" / "best_member" / "posterior.h5",
        searched.ensemble.table[0]["model"]: out / "pbt" / "ensemble.h5",
    }
    rows = [{"model": name} | scores(file, posterior) for name, posterior in files.items()]
    text = f"{format_table(rows)}\n\n{hyperparameters(searched.result)}"
    print(
        f"\nvalid trials, R2 with the truth\n{text}\nEverything is in {out}; the search is drawn in {out}/pbt/figures."
    )
    (out / "scores.txt").write_text(text + "\n")


def scores(file: Path, posterior: Path) -> dict[str, float]:
    """Returns R2 of rates and of the three states of the validation trials, whose truth the simulated file has.

    States are read out of the logarithms of the rates, which depend on them linearly, by a map fitted on training
    trials. Factors would do for a single model; those of several have nothing in common.
    """
    rates = {split: of.rates["spikes"] for split, of in read_posteriors(posterior).items()}
    logs = {split: np.log(values) for split, values in rates.items()}
    with h5py.File(file) as simulated:
        truth = np.asarray(simulated["valid_truth"])
        states = {split: np.asarray(simulated[f"{split}_states"]) for split in rates}
    r2 = latent_r2(logs["valid"], states["valid"], fit_on=(logs["train"], states["train"]))
    named = {f"state {number}": float(value) for number, value in enumerate(r2, 1)}
    return {"rates_r2": r2_per_trial(rates["valid"], truth)} | named


def hyperparameters(result: PopulationResult) -> str:
    """Returns what the best member was trained with in the end, beside the defaults."""
    best = result.ranking[0]
    rows = [
        {"hyperparameter": name, "default": f"{value:.3g}", "best member": f"{getattr(result.hyper, name)[best]:.3g}"}
        for name, value in dataclasses.asdict(HYPER).items()
        if name in SPACE.ranges
    ]
    return format_table(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Searches hyperparameters on spikes driven by the Lorenz system.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs/population"), help="folder to write")
    main(**vars(parser.parse_args()))
