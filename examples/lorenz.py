"""The Lorenz system behind the spikes of 30 neurons: do the factors hold its three states?

Data: simulated spikes whose rates depend on the three states of the Lorenz attractor. A linear map from factors to
states, fitted on training trials, shows how much of each state the factors hold. The opposite map, from states to
factors, shows how much of the factors the states explain.

    python examples/lorenz.py              # full run: 16 to 22 minutes of training on one CPU core
    python examples/lorenz.py --epochs 10  # a shorter first look
    python examples/lorenz.py --quick      # tiny sizes, to check that it works

Writes runs/lorenz: data, checkpoints, posterior.h5, scores.txt, and figures of the states and of training.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

from pathlib import Path

import h5py
import numpy as np
from example_tools.command_line import options
from example_tools.quick_settings import sized
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import metrics

NAME = "lorenz"

DATA = {}  # as in the paper, validation trials are new trials of the 65 training conditions
QUICK_DATA = {"conditions": 4, "trials_per_condition": 10, "units": 50, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="autonomous",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
)
# Weight 1 of the KL takes detail from the initial condition, which is all that an autonomous model knows of a trial.
# Coordinated dropout keeps the model from copying spikes, so the KL weight can be far below 1.
HYPER = lfadsx.HyperParams(
    learning_rate=4e-3,
    dropout_rate=0.0,
    cd_rate=0.3,
    kl_ic_scale=0.04,
)
# The KL weight of the initial condition rises slowly. At full weight from the start, the
# posterior of the initial condition would fall back to the prior and stay there.
TRAIN = lfadsx.TrainConfig(
    epochs=300,
    batch_size=64,
    kl_ramp_epochs=224,
    l2_ramp_epochs=0,
    patience=300,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and regresses states on factors and factors on states."""
    model, train = sized(MODEL, TRAIN, quick, epochs)
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(file)

    run = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, out=out)
    if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    posteriors = {name: lfadsx.infer(run.model, data, name) for name in data.splits}
    post = posteriors["valid"]
    post.save(out / "posterior.h5")
    score = lfadsx.evaluate(run.model, data, posteriors=posteriors)
    lfadsx.plotting.summary(post, data, history=run.history, table=score.table).savefig(out / "summary.png", dpi=150)

    # The simulated file also holds the states, in the order of the trials.
    with h5py.File(file) as simulated:
        states = {name: simulated[f"{name}_states"][:] for name in data.splits}
    factors = {name: of.factors for name, of in posteriors.items()}
    there, back = (factors["train"], states["train"]), (states["train"], factors["train"])
    aligned = metrics.align(factors["valid"], fit_on=there)
    r2 = metrics.r2_by_channel(aligned, states["valid"])
    r2_back = metrics.r2_by_channel(metrics.align(states["valid"], fit_on=back), factors["valid"])
    draw(aligned, states["valid"], r2).savefig(out / "states.png", dpi=150)

    text = f"""{score}
R2 of the rates, pooled: {metrics.r2_pooled(post.rates["spikes"], data.valid.truth):.3f}
R2 of the three states: {r2[0]:.3f} {r2[1]:.3f} {r2[2]:.3f}
R2 of the factors from the states, mean: {np.nanmean(r2_back):.3f}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(inferred: np.ndarray, states: np.ndarray, r2: np.ndarray) -> Figure:
    """Draws true and inferred 3-D trajectories of five trials, and the states of one trial over time."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    grid = figure.add_gridspec(3, 3)
    for column, (name, values) in enumerate({"True states": states, "From the factors": inferred}.items()):
        ax = figure.add_subplot(grid[:2, column], projection="3d")
        for trial in values[:: max(1, len(values) // 5)][:5]:
            ax.plot(*trial.T, lw=0.8)
        ax.set_title(name)
    for dimension in range(3):
        ax = figure.add_subplot(grid[dimension, 2])
        ax.plot(states[0, :, dimension], "k--", lw=1, label="true")
        ax.plot(inferred[0, :, dimension], color="#0072B2", label="from the factors")
        ax.set_title(f"state {dimension + 1}, R2 over all trials {r2[dimension]:.3f}")
    ax.set_xlabel("bin")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


if __name__ == "__main__":
    main(**options(__doc__, NAME))
