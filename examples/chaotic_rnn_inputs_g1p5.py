"""A chaotic network that one pulse kicks at a random time of each trial: does LFADS find out when?

The pulse is not in the data, only the spikes of 50 neurons are. A controller infers an input to the generator, and
its peak is compared with the true time of the pulse (gain 1.5; chaotic_rnn_inputs_g2p5.py has the harder one).

    python examples/chaotic_rnn_inputs_g1p5.py              # the whole run
    python examples/chaotic_rnn_inputs_g1p5.py --epochs 10  # a first look
    python examples/chaotic_rnn_inputs_g1p5.py --quick      # a moment, to see that it works

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

from example_tools.peaks_figure import peaks_figure
from example_tools.quick_settings import shorter, tiny_model

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import peak_errors
from lfadsx.pipeline import fit_run
from lfadsx.results.results_file import read_posteriors
from lfadsx.training import ProgressBar

NAME = "chaotic_rnn_inputs_g1p5"

# A fifth of the conditions is kept apart to be scored: in the original split validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    factors=20,
    generator_dim=128,
    ic_dim=64,
    ic_encoder_dim=64,
    input_encoder_dim=64,
    controller_dim=64,
    inferred_inputs=1,
    input_prior="student_t",  # heavy tails: most bins have no input, and one has a large one
)
# Weight 1 of both KL terms is the evidence bound.
HYPER = lfadsx.HyperParams(
    learning_rate=4e-3,
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
    """Simulates, trains, infers, scores, and looks for the pulses."""
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

    # An inferred input has an arbitrary sign and may lead or lag the pulse by some bins. Both are chosen on
    # training trials, once for all, and the trials that are scored had no part in training.
    scored = outcome.evaluation.scores["split"]
    inputs = {name: of.inputs[:, :, 0] for name, of in read_posteriors(out / "posterior.h5").items()}
    pulses = {name: split.true_inputs[:, :, 0] for name, split in data.splits.items()}
    peaks = peak_errors(inputs[scored], pulses[scored], fit_on=(inputs["train"], pulses["train"]))
    peaks_figure(data, data.splits[scored], inputs[scored], peaks).savefig(out / "pulses.png", dpi=150)

    text = f"""{format_table(outcome.evaluation.table)}
R2 of the rates, pooled: {outcome.evaluation.detail["rates"]["r2_pooled"]:.3f}
Pulses found within {peaks.tolerance} bins: {peaks.share:.3f}
The same by chance: {peaks.chance:.3f}
Lag of the inferred input in bins: {peaks.lag}"""
    print(f"\n{scored} trials\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on a chaotic network with pulses (gain 1.5).")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink alike")
    parser.add_argument("--out", type=Path, default=Path("runs") / NAME, help="folder to write")
    main(**vars(parser.parse_args()))
