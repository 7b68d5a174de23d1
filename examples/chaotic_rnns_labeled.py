"""Two chaotic networks, one active in each trial: how much does a label of the active network help?

Data: simulated spikes. A known input, 0 or 1 throughout a trial, labels the network. The same model is trained twice:
with the right labels, and with labels shuffled over trials, which carry no information. Both models have the same
structure and initial weights. They are compared trial by trial: by the importance-weighted bound on the log
likelihood, and by the R2 of the rates.

    python examples/chaotic_rnns_labeled.py              # full run: two models
    python examples/chaotic_rnns_labeled.py --epochs 10  # a shorter first look
    python examples/chaotic_rnns_labeled.py --quick      # tiny sizes, to check that it works

Writes runs/chaotic_rnns_labeled: data, a run folder for each model, scores.txt, and figures of the gain and of R2.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

import dataclasses
from pathlib import Path

import numpy as np
from example_tools.command_line import options
from example_tools.histograms import histograms_figure
from example_tools.quick_settings import sized

import lfadsx
from lfadsx.evaluation import format_table, metrics, ratio, resample

NAME = "chaotic_rnns_labeled"

# A fifth of the conditions is held out for scoring. In the original split, validation repeats all conditions.
DATA = {"split": "conditions"}
QUICK_DATA = {"conditions": 4, "train_fraction": 0.5, "duration": 0.2}
MODEL = lfadsx.ModelConfig(
    variant="external_input",
    inferred_inputs=0,  # no controller
    known_inputs_to="generator",  # label in every bin; "encoders" can already infer the label from spikes
    controller_lag=0,
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
    """Simulates, trains with right and with shuffled labels, and compares."""
    model, train = sized(MODEL, TRAIN, quick, epochs)
    file = out / "data.h5"
    if not file.exists():
        lfadsx.datasets.simulate(NAME, file, **(QUICK_DATA if quick else DATA))
    data = lfadsx.read(file)

    # Only the labels differ; seeds, trials and settings are the same.
    r2, bounds, table = {}, {}, []
    for name, own in {"right_label": data, "random_label": shuffled(data)}.items():
        run = lfadsx.fit(lfadsx.build(own, model), own, hyper=HYPER, config=train, out=out / name)
        if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
            return
        post = lfadsx.infer(run.model, own, "valid")
        post.save(out / name / "posterior.h5")
        score = lfadsx.evaluate(run.model, own, "valid")
        bounds[name] = lfadsx.bounds(run.model, own, "valid", n_samples=32).importance_weighted
        r2[name] = metrics.r2_of_trials(post.rates["spikes"], data.valid.truth)
        pooled = metrics.r2_pooled(post.rates["spikes"], data.valid.truth)
        table.append({**score.table[0], "model": name, "bound": float(bounds[name].mean()), "r2_pooled": pooled})

    # Trials differ far more than models, so models are compared within each trial.
    gain = bounds["right_label"] - bounds["random_label"]
    bits = resample(ratio(gain / np.log(2), data.valid.targets["spikes"].sum((1, 2))), len(gain), n=2000)
    figure = histograms_figure({"Right label - random label": gain}, "Difference of the bound (nats)", unit="trials")
    figure.savefig(out / "gain_of_the_label.png", dpi=150)
    histograms_figure(r2, "R2 of a neuron in a trial", limits=(0, 1)).savefig(out / "r2.png", dpi=150)

    text = f"""{format_table([*table, *score.table[1:]])}
Gain of the label, nats per trial: {gain.mean():.3f} (at most log 2 = 0.693, if both networks are known)
The same in bits per spike: {bits.value:.4f} (95 % interval {bits.low:.4f} to {bits.high:.4f})"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def shuffled(data: lfadsx.Dataset) -> lfadsx.Dataset:
    """Returns the data with labels of other trials."""
    random = np.random.default_rng(0)
    splits = {
        name: dataclasses.replace(split, known_inputs=random.permutation(split.known_inputs))
        for name, split in data.splits.items()
    }
    return dataclasses.replace(data, **splits)


if __name__ == "__main__":
    main(**options(__doc__, NAME))
