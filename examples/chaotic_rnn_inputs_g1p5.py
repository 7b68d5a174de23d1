"""Input pulses at random times into a chaotic network (gain 1.5): does LFADS find when they arrive?

Data: simulated spikes of 50 neurons; one input pulse perturbs the network in each trial. The model sees only the
spikes. A controller infers an input to the generator, and the peak of this input is compared with the true time of
the pulse. chaotic_rnn_inputs_g2p5.py has a harder network.

    python examples/chaotic_rnn_inputs_g1p5.py              # full run: 7 to 17 minutes of training on one CPU core
    python examples/chaotic_rnn_inputs_g1p5.py --epochs 10  # a shorter first look
    python examples/chaotic_rnn_inputs_g1p5.py --quick      # tiny sizes, to check that it works

Writes runs/chaotic_rnn_inputs_g1p5: data, checkpoints, posterior.h5, scores.txt, and figures of pulses and training.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

from pathlib import Path

from example_tools.command_line import options
from example_tools.peak_times import peak_errors
from example_tools.peaks_figure import peaks_figure
from example_tools.quick_settings import sized

import lfadsx
from lfadsx.evaluation import metrics

NAME = "chaotic_rnn_inputs_g1p5"

# A fifth of the conditions is held out for scoring. In the original split, validation repeats all conditions.
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
    input_prior="student_t",  # heavy tails: most bins have no input, a single bin has a large one
)
# With both KL weights at 1, training maximises the evidence lower bound.
HYPER = lfadsx.HyperParams(
    learning_rate=4e-3,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
# The KL weight of the initial condition rises slowly. At full weight from the start, the
# posterior of the initial condition would fall back to the prior and stay there. The KL weight of
# the inputs is 1 from the start, so that inferred inputs do not replace the initial condition.
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

    # An inferred input has an arbitrary sign and may lead or lag the pulse by some bins. Sign and lag are chosen once,
    # on training trials. Scores use validation trials.
    inputs = {name: of.inputs[:, :, 0] for name, of in posteriors.items()}
    pulses = {name: split.true_inputs[:, :, 0] for name, split in data.splits.items()}
    peaks = peak_errors(inputs["valid"], pulses["valid"], fit_on=(inputs["train"], pulses["train"]))
    peaks_figure(inputs["valid"], peaks, post.times, post.trial_id).savefig(out / "pulses.png", dpi=150)

    text = f"""{score}
R2 of the rates, pooled: {metrics.r2_pooled(post.rates["spikes"], data.valid.truth):.3f}
Pulses found within {peaks.tolerance} bins: {peaks.share:.3f}
The same by chance: {peaks.chance:.3f}
Lag of the inferred input in bins: {peaks.lag}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


if __name__ == "__main__":
    main(**options(__doc__, NAME))
