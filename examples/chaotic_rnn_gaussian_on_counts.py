"""A Gaussian likelihood on spike counts: what is lost when counts are taken for real numbers?

The data are the counts of chaotic_rnn_no_inputs.py. A Gaussian takes every bin to scatter alike, whatever the rate,
and its mean may fall below zero. Compare the R2 of the rates with what the Poisson likelihood gives there.

    python examples/chaotic_rnn_gaussian_on_counts.py              # the whole run
    python examples/chaotic_rnn_gaussian_on_counts.py --epochs 10  # a first look
    python examples/chaotic_rnn_gaussian_on_counts.py --quick      # a moment, to see that it works

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

from example_tools.quick_settings import shorter, tiny_model
from example_tools.truth_figure import truth_figure

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import r2_by_channel
from lfadsx.pipeline import fit_run
from lfadsx.results.results_file import read_posterior
from lfadsx.training import ProgressBar

NAME = "chaotic_rnn_no_inputs"

# A fifth of the conditions is kept apart to be scored: in the original split validation repeats all conditions.
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
# Weight 1 of both KL terms is the evidence bound.
HYPER = lfadsx.HyperParams(
    learning_rate=1e-2,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
# The KL of the initial condition comes in slowly: at full weight early on, the model gives it up for good.
TRAIN = lfadsx.TrainConfig(
    epochs=48,
    batch_size=64,
    kl_ramp_epochs=36,
    l2_ramp_epochs=0,
    patience=48,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and scores every neuron."""
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
    data = lfadsx.data.read(file, kind="real")
    # One call trains, infers all splits, scores and draws; `out` then holds the model and everything made of it.
    outcome = fit_run(data, out, model=model, hyper=HYPER, train=train, figures=not quick, callbacks=[ProgressBar()])
    if outcome.evaluation is None:  # Ctrl-C; the same command goes on from there
        return

    # The share of each neuron's true variance that the inferred rates explain, over all trials and bins.
    scored = outcome.evaluation.scores["split"]
    split, posterior = data.splits[scored], read_posterior(out / "posterior.h5", scored)
    r2 = r2_by_channel(posterior.rates["spikes"], split.truth)
    below_zero = (posterior.rates["spikes"] < 0).mean()
    truth_figure(data, split, posterior, r2).savefig(out / "rates.png", dpi=150)

    text = f"""{format_table(outcome.evaluation.table)}
R2 of the rates, pooled: {outcome.evaluation.detail["rates"]["r2_pooled"]:.3f}
R2 of single neurons: mean {r2.mean():.3f}, worst {r2.min():.3f}, best {r2.max():.3f}
Share of rates below zero: {below_zero:.3f}"""
    print(f"\n{scored} trials\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS with a Gaussian likelihood on spike counts.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs/chaotic_rnn_gaussian_on_counts"), help="folder to write")
    main(**vars(parser.parse_args()))
