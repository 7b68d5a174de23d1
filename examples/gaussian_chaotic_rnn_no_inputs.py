"""The chaotic network with Gaussian noise in place of spikes: LFADS for real-valued recordings.

Calcium signals, field potentials and muscle activity are no counts. With `likelihood="gaussian"` in the model and in
the reading of the data, the read-out infers a mean and a variance for each channel. The network gets no input, but
the model has a controller: that its inferred input stays near zero is a control.

    python examples/gaussian_chaotic_rnn_no_inputs.py              # the whole run
    python examples/gaussian_chaotic_rnn_no_inputs.py --epochs 10  # a first look
    python examples/gaussian_chaotic_rnn_no_inputs.py --quick      # a moment, to see that it works

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

NAME = "gaussian_chaotic_rnn_no_inputs"

# A fifth of the conditions is kept apart to be scored: in the original split validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    likelihood="gaussian",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=128,
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
    epochs=36,
    batch_size=64,
    kl_ramp_epochs=27,
    kl_floors=(0.0, 1.0),
    l2_ramp_epochs=0,
    patience=36,
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
    truth_figure(data, split, posterior, r2).savefig(out / "rates.png", dpi=150)

    # The divergence of the inputs tells how much the controller says about a trial; none is right here.
    result = outcome.result
    kl_inputs = result.history["valid_kl_inputs"][result.best_epoch - 1] / split.n_bins

    text = f"""{format_table(outcome.evaluation.table)}
R2 of the rates, pooled: {outcome.evaluation.detail["rates"]["r2_pooled"]:.3f}
R2 of single neurons: mean {r2.mean():.3f}, worst {r2.min():.3f}, best {r2.max():.3f}
KL of the inferred inputs, nats per bin: {kl_inputs:.4f}"""
    print(f"\n{scored} trials\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on real-valued data of a chaotic network.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs") / NAME, help="folder to write")
    main(**vars(parser.parse_args()))
