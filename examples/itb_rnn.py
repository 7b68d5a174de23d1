"""A network that integrates a noisy input up to a bound: does LFADS recover the input from spikes?

Data: simulated spikes of 50 neurons. The network was trained to output the running sum of its input, limited to the
range from -1 to 1. The input that LFADS infers is compared with the true input after one regression for all trials.
Beyond a bound the input does not change the output, so no method can recover all of it.

    python examples/itb_rnn.py              # full run: 5 to 7 minutes of training on one CPU core
    python examples/itb_rnn.py --epochs 10  # a shorter first look
    python examples/itb_rnn.py --quick      # tiny sizes, to check that it works

Writes runs/itb_rnn: data, checkpoints, posterior.h5, scores.txt, and figures of the regression and of training.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

from pathlib import Path

import numpy as np
from example_tools.command_line import options
from example_tools.quick_settings import sized
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import metrics

NAME = "itb_rnn"

# A fifth of the conditions is held out for scoring. In the original split, validation repeats all conditions.
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
    input_prior_tau=0.5,  # initial value in bins, near white noise like the true input; it is trained
    controller_lag=0,  # the controller sees the spikes of a bin when it infers that bin's input
)
# With both KL weights at 1, training maximises the evidence lower bound.
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
    model, train = sized(MODEL, TRAIN, quick, epochs)
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(file)

    run = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, out=out)
    if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    post = lfadsx.infer(run.model, data)
    post.save(out / "posterior.h5")
    score = lfadsx.evaluate(run.model, data)
    lfadsx.plotting.summary(post, data, history=run.history, table=score.table).savefig(out / "summary.png", dpi=150)

    # Scale and sign of an inferred input are arbitrary. One slope and one intercept, fitted on training trials, convert
    # the inferred input to the unit of the true input.
    split, found = data.splits[post.split], score.detail["inputs"]
    draw(score.aligned_inputs[:, :, 0], split.true_inputs[:, :, 0], post.times).savefig(out / "regression.png", dpi=150)

    text = f"""{score}
R2 of the rates, pooled: {metrics.r2_pooled(post.rates["spikes"], split.truth):.3f}
R2 of the inputs, pooled: {found["r2_pooled"]:.3f}
R2 of the inputs, mean of single trials: {found["r2"]:.3f} (shuffled {found["floor_shuffled"]:.3f})"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(inferred: np.ndarray, truth: np.ndarray, time: np.ndarray) -> Figure:
    """Draws inferred against true inputs of all trials and bins, two example trials, and the R2 of each trial."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.hexbin(truth.ravel(), inferred.ravel(), gridsize=50, bins="log", cmap="Greys")
    left.set(title="All trials and bins", xlabel="true input", ylabel="inferred input, after regression")
    for trial in range(2):
        offset = -trial * np.ptp(truth)
        middle.plot(time, truth[trial] + offset, "k--", lw=1, label="true")
        middle.plot(time, inferred[trial] + offset, color="#0072B2", label="inferred")
    middle.set(title="Two trials", xlabel="time (s)", yticks=[])
    figure.legend(*(handles[:2] for handles in middle.get_legend_handles_labels()), loc="outside lower center", ncols=2)
    r2 = metrics.r2_of_trials(inferred[:, :, None], truth[:, :, None])
    right.hist(r2.ravel(), bins=np.linspace(0, 1, 41), color="#0072B2")
    right.set(title=f"Single trials, mean {np.nanmean(r2):.3f}", xlabel="squared correlation", ylabel="trials")
    return figure


if __name__ == "__main__":
    main(**options(__doc__, NAME))
