"""The 3-bit flip-flop of the Computation-through-Dynamics benchmark: which pulses does LFADS find in spikes?

Data: simulated spikes of 60 neurons that show the units of a network. The network was trained to remember the last
pulse of each of three noisy inputs. LFADS infers the inputs. Pulses that change a bit show in the spikes for long,
others only for some bins, and the noise hardly at all.

    python examples/nbff.py              # full run: hours of training on one CPU core
    python examples/nbff.py --epochs 10  # a shorter first look
    python examples/nbff.py --quick      # tiny sizes, to check that it works

Writes runs/nbff: data, checkpoints, posterior.h5, scores.txt, and figures of the inputs and of training.
Figures need matplotlib: pip install "lfadsx[plot]".
`python -m benchmarks.dynamics nbff` trains it with known inputs, too, and has the scores of the benchmark.
"""

from pathlib import Path

import h5py
import numpy as np
from example_tools.command_line import options
from example_tools.quick_settings import sized
from matplotlib.figure import Figure

import lfadsx
from lfadsx.datasets import flip_flop_task
from lfadsx.evaluation import metrics

NAME = "nbff"

DATA = {}
QUICK_DATA = {"trials": 20, "bins": 60}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    factors=20,
    generator_dim=64,
    ic_dim=0,  # all trials start in nearly the same state
    input_encoder_dim=64,
    controller_dim=64,
    inferred_inputs=3,
    input_prior="student_t",  # pulses are brief and rare
    controller_lag=0,  # the controller sees the spikes of a bin when it infers that bin's input
)
# With a KL weight of 1, the evidence bound, inferred inputs show a third of the pulses that change a bit; with 0.3 most
# of them. Coordinated dropout keeps the model from copying spikes.
HYPER = lfadsx.HyperParams(
    learning_rate=6e-3,
    dropout_rate=0.0,
    cd_rate=0.3,
    kl_co_scale=0.3,
)
TRAIN = lfadsx.TrainConfig(
    epochs=60,
    batch_size=32,
    kl_ramp_epochs=15,
    l2_ramp_epochs=0,
    patience=60,
    validate_every=6,
)


def main(quick: bool, out: Path, epochs: int | None) -> None:
    """Simulates, trains, infers, and compares inferred inputs with pulses."""
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

    # The simulated file also holds the pulses, in the order of the trials.
    with h5py.File(file) as simulated:
        pulses = simulated["valid_pulses"][:]
    inferred, flips = score.aligned_inputs, flip_flop_task.flips(pulses)
    mean = {
        "of pulses that change a bit": np.mean((inferred * pulses)[flips]),
        "of other pulses": np.mean((inferred * pulses)[(pulses != 0) & ~flips]),
    }
    draw(inferred, pulses).savefig(out / "inputs.png", dpi=150)

    text = f"""{score}
R2 of the rates, pooled: {metrics.r2_pooled(post.rates["spikes"], data.valid.truth):.3f}
R2 of the noisy inputs, pooled: {score.detail["inputs"]["r2_pooled"]:.3f}
{chr(10).join(f"Mean size {name}: {value:.2f}" for name, value in mean.items())}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


def draw(inferred: np.ndarray, pulses: np.ndarray) -> Figure:
    """Draws the three inputs of one trial, inferred and as pulses."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for bit, ax in enumerate(figure.subplots(3, sharex=True)):
        when = np.flatnonzero(pulses[0, :, bit])
        ax.vlines(when, 0, pulses[0, when, bit], "k", linestyles="--", lw=1, label="pulses")
        ax.plot(inferred[0, :, bit], color="#0072B2", lw=1, label="inferred input, after regression")
        ax.set_ylabel(f"input {bit + 1}")
    ax.set_xlabel("bin")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


if __name__ == "__main__":
    main(**options(__doc__, NAME))
