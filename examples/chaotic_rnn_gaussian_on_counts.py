"""A Gaussian likelihood on spike counts: what is lost compared with the Poisson likelihood?

Data: the simulated counts of chaotic_rnn_no_inputs.py. A Gaussian gives every bin the same variance at any rate, and
its mean may fall below zero. Compare the R2 of the rates with the Poisson result of chaotic_rnn_no_inputs.py.

    python examples/chaotic_rnn_gaussian_on_counts.py              # full run: 48 epochs
    python examples/chaotic_rnn_gaussian_on_counts.py --epochs 10  # a shorter first look
    python examples/chaotic_rnn_gaussian_on_counts.py --quick      # tiny sizes, to check that it works

Writes runs/chaotic_rnn_gaussian_on_counts: data, checkpoints, posterior.h5, scores.txt, and figures of R2, rates and
training. Figures need matplotlib: pip install "lfadsx[plot]".
"""

from pathlib import Path

from example_tools.command_line import options
from example_tools.histograms import histograms_figure
from example_tools.quick_settings import sized

import lfadsx
from lfadsx.evaluation import metrics

NAME = "chaotic_rnn_no_inputs"

# A fifth of the conditions is held out for scoring. In the original split, validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="autonomous",
    likelihood="gaussian",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
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
# posterior of the initial condition would fall back to the prior and stay there.
TRAIN = lfadsx.TrainConfig(
    epochs=48,
    batch_size=64,
    kl_ramp_epochs=36,
    l2_ramp_epochs=0,
    patience=48,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and scores every neuron."""
    model, train = sized(MODEL, TRAIN, quick, epochs)
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(file, kind="real")

    run = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, out=out)
    if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    post = lfadsx.infer(run.model, data)
    post.save(out / "posterior.h5")
    score = lfadsx.evaluate(run.model, data)

    # R2 of each neuron: share of the variance of its true rate that inferred rates explain, over all trials and bins.
    split, rates = data.splits[post.split], post.rates["spikes"]
    r2 = metrics.r2_by_channel(rates, split.truth)
    histograms_figure({"Neurons": r2}, "R2 of a neuron").savefig(out / "r2.png", dpi=150)
    lfadsx.plotting.rates_figure(data, split, post).savefig(out / "rates.png", dpi=150)
    lfadsx.plotting.summary(post, data, history=run.history, table=score.table).savefig(out / "summary.png", dpi=150)

    text = f"""{score}
R2 of the rates, pooled: {metrics.r2_pooled(rates, split.truth):.3f}
R2 of single neurons: mean {r2.mean():.3f}, worst {r2.min():.3f}, best {r2.max():.3f}
Share of rates below zero: {(rates < 0).mean():.3f}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


if __name__ == "__main__":
    main(**options(__doc__, "chaotic_rnn_gaussian_on_counts"))
