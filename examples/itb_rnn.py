"""A network that integrates a noisy input up to a bound: is the input recovered from the spikes?

The network was trained to give the running sum of its input, cut at 1 and -1. LFADS sees the spikes of 50 neurons and
infers an input, which is compared with the true one after one regression for all trials. Beyond a bound the input
leaves no trace in the output, so no method can recover all of it.

    python examples/itb_rnn.py              # the whole run
    python examples/itb_rnn.py --epochs 10  # a first look
    python examples/itb_rnn.py --quick      # a moment, to see that it works

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import numpy as np
from example_tools.quick_settings import shorter, tiny_model
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import r2_of_trials
from lfadsx.pipeline import fit_run
from lfadsx.training import ProgressBar

NAME = "itb_rnn"

# A fifth of the conditions is kept apart to be scored: in the original split validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "trials_per_condition": 10, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
    input_encoder_dim=64,
    controller_dim=64,
    inferred_inputs=1,
    input_prior_tau=0.5,  # bins; trained, and starting near the white noise that the input is
    controller_lag=0,  # the controller sees the spikes of a bin when it infers that bin's input
)
# Weight 1 of both KL terms is the evidence bound.
HYPER = lfadsx.HyperParams(
    learning_rate=4e-3,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
TRAIN = lfadsx.TrainConfig(
    epochs=36,
    batch_size=64,
    kl_ramp_epochs=9,
    l2_ramp_epochs=0,
    patience=36,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and compares inferred and true inputs."""
    changes, model, train = DATA, MODEL, TRAIN
    if epochs:
        train = shorter(train, epochs)
    if quick:
        out = out / "quick"  # a trial run must not stand in the way of the real one
        changes = QUICK_DATA
        model, train = tiny_model(model), shorter(train, epochs or 20, batch_size=20)

    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **changes)
    data = lfadsx.data.read(file)
    # One call trains, infers all splits, scores and draws; `out` then holds the model and everything made of it.
    outcome = fit_run(data, out, model=model, hyper=HYPER, train=train, figures=not quick, callbacks=[ProgressBar()])
    if outcome.evaluation is None:  # Ctrl-C; the same command goes on from there
        return

    # Scale and sign of an inferred input are arbitrary: one slope and intercept, fitted on training trials, bring it
    # to the unit of the true input.
    scored, detail = outcome.evaluation.scores["split"], outcome.evaluation.detail["inputs"]
    inferred, truth = outcome.evaluation.aligned_inputs, data.splits[scored].true_inputs
    draw(inferred[:, :, 0], truth[:, :, 0], data.bin_width).savefig(out / "regression.png", dpi=150)

    text = f"""{format_table(outcome.evaluation.table)}
R2 of the rates, pooled: {outcome.evaluation.detail["rates"]["r2_pooled"]:.3f}
R2 of the inputs, pooled: {detail["r2_pooled"]:.3f}
R2 of the inputs, mean of single trials: {detail["r2"]:.3f} (shuffled {detail["floor_shuffled"]:.3f})"""
    print(f"\n{scored} trials\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(inferred: np.ndarray, truth: np.ndarray, bin_width: float) -> Figure:
    """Draws inferred against true inputs of all trials and bins, two example trials, and the R2 of each trial."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.hexbin(truth.ravel(), inferred.ravel(), gridsize=50, bins="log", cmap="Greys")
    left.set(title="All trials and bins", xlabel="true input", ylabel="inferred input, after regression")
    time = bin_width * np.arange(truth.shape[1])
    for trial in range(2):
        offset = -trial * np.ptp(truth)
        middle.plot(time, truth[trial] + offset, "k--", lw=1, label="true")
        middle.plot(time, inferred[trial] + offset, color="#0072B2", label="inferred")
    middle.set(title="Two trials", xlabel="time (s)", yticks=[])
    figure.legend(*(handles[:2] for handles in middle.get_legend_handles_labels()), loc="outside lower center", ncols=2)
    r2 = r2_of_trials(inferred[:, :, None], truth[:, :, None])
    right.hist(r2.ravel(), bins=np.linspace(0, 1, 41), color="#0072B2")
    right.set(title=f"Single trials, mean {np.nanmean(r2):.3f}", xlabel="squared correlation", ylabel="trials")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on a network that integrates to a bound.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs") / NAME, help="folder to write")
    main(**vars(parser.parse_args()))
