"""Five sessions with different neurons from one network: does LFADS find the same dynamics in all of them?

Data: each simulated session records 20 of 100 units; no unit is recorded twice. One model is trained on all sessions.
Each session has its own read-in and read-out; all other parts are shared. If the stitching works, a condition has the
same factors in every session.

    python examples/chaotic_rnn_multisession.py              # full run: about 15 minutes of training on one CPU core
    python examples/chaotic_rnn_multisession.py --epochs 5   # a shorter first look
    python examples/chaotic_rnn_multisession.py --quick      # tiny sizes, to check that it works

Writes runs/chaotic_rnn_multisession: data, checkpoints, posterior.h5, scores.txt, and figures of sessions and training.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from example_tools.command_line import options
from example_tools.quick_settings import sized
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table, metrics

NAME = "chaotic_rnn_multisession"

# A fifth of the conditions is held out for scoring. In the original split, validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "trials_per_condition": 10, "units": 30, "recorded": 10, "components": 5}
QUICK_DATA |= {"train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    # Four times the components of the alignment. 10 factors can express 86 % of the rates of all 100 neurons, 30
    # factors 95 %. Weights of the further factors start at random.
    factors=40,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
    input_encoder_dim=64,
    controller_dim=64,
    inferred_inputs=1,
    input_prior_tau=1.0,  # initial value in bins; it is trained
)
# With both KL weights at 1, training maximises the evidence lower bound.
HYPER = lfadsx.HyperParams(
    learning_rate=1e-2,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
# The KL weight of the initial condition rises slowly. At full weight from the start, the
# posterior of the initial condition would fall back to the prior and stay there. The KL weight of
# the inputs is 1 from the start, so that inferred inputs do not replace the initial condition.
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
    model, train = sized(MODEL, TRAIN, quick, epochs)
    # One file for each session. Files hold the alignment that initialises read-ins and read-outs: principal components
    # of the condition averages of all sessions together.
    files = sorted((out / "data").glob("*.h5"))
    if len(files) < (3 if quick else 5):
        files = lfadsx.datasets.simulate(NAME, out / "data", **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(*files)

    run = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, out=out)
    if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    post = lfadsx.infer(run.model, data)
    post.save(out / "posterior.h5")
    score = lfadsx.evaluate(run.model, data)
    lfadsx.plotting.summary(post, data, history=run.history, table=score.table).savefig(out / "summary.png", dpi=150)

    table, averages, split = [], {}, data.splits[post.split]
    for number, session in enumerate(data.sessions):
        trials, n = post.session == number, session.n_targets["spikes"]
        rates, truth = post.rates["spikes"][trials, :, :n], split.truth[trials, :, :n]
        r2, pooled = metrics.r2_per_trial(rates, truth), metrics.r2_pooled(rates, truth)
        table.append({"session": session.name, "rates_r2": r2, "r2_pooled": pooled})
        averages[session.name] = metrics.psth(post.factors[trials], post.condition[trials])[1]

    # R2 of one session's condition averages from another session's, without a refit. With conditions shifted by one, R2
    # shows what the common time course alone attains.
    pairs = list(combinations(averages.values(), 2))
    agreement = np.mean([metrics.r2_pooled(one, other) for one, other in pairs])
    shifted = np.mean([metrics.r2_pooled(np.roll(one, 1, axis=0), other) for one, other in pairs])
    draw(averages, post.times).savefig(out / "sessions.png", dpi=150)

    text = f"""{score}
{format_table(table)}
Agreement of the sessions' factors, R2: {agreement:.3f}
The same for other conditions: {shifted:.3f}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(averages: dict[str, np.ndarray], time: np.ndarray) -> Figure:
    """Draws four factors of three conditions, averaged over trials: one line for each session."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(4, 3, sharex=True, sharey="row", squeeze=False)
    for name, values in averages.items():
        for (factor, condition), ax in np.ndenumerate(axes):
            ax.plot(time, values[condition, :, factor], lw=1, label=name)
            ax.set_title(f"condition {condition}" if factor == 0 else "", fontsize=9)
            ax.set_ylabel(f"factor {factor}" if condition == 0 else "")
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    main(**options(__doc__, NAME))
