"""One network, five sessions with other neurons in each: does LFADS find the same dynamics in all of them?

Every session records 20 of 100 units, none twice. One model is trained on all: each session has a read-in and a
read-out of its own, everything between is shared. If the sessions are stitched together rightly, a condition has the
same factors in whichever session it was recorded.

    python examples/chaotic_rnn_multisession.py              # the whole run
    python examples/chaotic_rnn_multisession.py --epochs 10  # a first look
    python examples/chaotic_rnn_multisession.py --quick      # a moment, to see that it works

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from example_tools.quick_settings import shorter, tiny_model
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import psth, r2_per_trial, r2_pooled
from lfadsx.pipeline import fit_run
from lfadsx.results.results_file import read_posterior
from lfadsx.training import ProgressBar

NAME = "chaotic_rnn_multisession"

# A fifth of the conditions is kept apart to be scored: in the original split validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "trials_per_condition": 10, "units": 30, "recorded": 10, "components": 5}
QUICK_DATA |= {"train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    # Four times the components that the sessions are aligned by: 10 factors can express 86 % of the rates of all 100
    # neurons, 30 can express 95 %. What the alignment does not know starts at random.
    factors=40,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
    input_encoder_dim=64,
    controller_dim=64,
    inferred_inputs=1,
    input_prior_tau=1.0,  # bins, at the start; it is trained
)
# Weight 1 of both KL terms is the evidence bound.
HYPER = lfadsx.HyperParams(
    learning_rate=1e-2,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
# The KL of the initial condition comes in slowly, or the model gives it up for good; that of the inputs is there from
# the start, so that they are not used in its stead.
TRAIN = lfadsx.TrainConfig(
    epochs=10,
    batch_size=64,
    kl_ramp_epochs=7,
    kl_floors=(0.0, 1.0),
    l2_ramp_epochs=0,
    patience=10,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and compares the sessions."""
    changes, model, train = DATA, MODEL, TRAIN
    if epochs:
        train = shorter(train, epochs)
    if quick:
        out = out / "quick"  # a trial run must not stand in the way of the real one
        changes = QUICK_DATA
        model, train = tiny_model(model), shorter(train, epochs or 20, batch_size=20)

    # One file for each session. They hold the alignment by which read-ins and read-outs start: principal components
    # of the condition averages of all sessions together.
    n_sessions = 3 if quick else 5
    files = sorted((out / "data").glob("*.h5"))
    if len(files) < n_sessions:
        files = lfadsx.datasets.simulate(NAME, out / "data", **changes)
    data = lfadsx.data.read(*files)
    # One call trains, infers all splits, scores and draws; `out` then holds the model and everything made of it.
    outcome = fit_run(data, out, model=model, hyper=HYPER, train=train, figures=not quick, callbacks=[ProgressBar()])
    if outcome.evaluation is None:  # Ctrl-C; the same command goes on from there
        return

    scored = outcome.evaluation.scores["split"]
    split, posterior = data.splits[scored], read_posterior(out / "posterior.h5", scored)
    table, averages = [], {}
    for number, session in enumerate(data.sessions):
        trials, n = np.flatnonzero(split.session == number), session.n_targets["spikes"]
        rates, truth = posterior.rates["spikes"][trials, :, :n], split.truth[trials, :, :n]
        table.append(
            {"session": session.name, "rates_r2": r2_per_trial(rates, truth), "r2_pooled": r2_pooled(rates, truth)}
        )
        averages[session.name] = psth(posterior.factors[trials], split.condition[trials])[1]

    # How much of one session's condition averages another session's explain, without any refit. The same with the
    # conditions shifted by one is what the common time course alone attains.
    pairs = list(combinations(averages.values(), 2))
    agreement = np.mean([r2_pooled(one, other) for one, other in pairs])
    shifted = np.mean([r2_pooled(np.roll(one, 1, axis=0), other) for one, other in pairs])
    draw(averages, data.bin_width).savefig(out / "sessions.png", dpi=150)

    text = f"""{format_table(outcome.evaluation.table)}
{format_table(table)}
Agreement of the sessions' factors, R2: {agreement:.3f}
The same for other conditions: {shifted:.3f}"""
    print(f"\n{scored} trials\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(averages: dict[str, np.ndarray], bin_width: float) -> Figure:
    """Draws four factors of three conditions, averaged over trials: one line for each session."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(4, 3, sharex=True, sharey="row", squeeze=False)
    for name, values in averages.items():
        time = bin_width * np.arange(values.shape[1])
        for (factor, condition), ax in np.ndenumerate(axes):
            ax.plot(time, values[condition, :, factor], lw=1, label=name)
            ax.set_title(f"condition {condition}" if factor == 0 else "", fontsize=9)
            ax.set_ylabel(f"factor {factor}" if condition == 0 else "")
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on five sessions of one network.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs") / NAME, help="folder to write")
    main(**vars(parser.parse_args()))
