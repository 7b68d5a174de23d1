"""Your own generator: a vanilla RNN in place of the GRU.

The generator is the part of LFADS that holds the dynamics. This page writes a generator, checks it, and puts it into
the usual model. Both models are trained on simulated spikes with known true rates; then the new model is loaded again.
The page is meant to be copied: replace `TanhGenerator` by the dynamics that you want to study.

    python examples/own_generator.py          # some minutes on a CPU
    python examples/own_generator.py --quick  # tiny sizes, to check that it works

Writes runs/own_generator: a run folder for each model, scores.txt and rates.png.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table, metrics
from lfadsx.modules import AbstractGenerator, Linear


class TanhGenerator(AbstractGenerator):
    """The vanilla RNN g_t = tanh(W g_{t-1} + B u_t + b), started at g_0 = tanh(A z + a).

    A generator must set `n_state` and write `initial_state` and `step`; the rest of this class is optional.
    The decoder runs the loop over time, samples the inputs u_t, applies dropout to what is read out, and maps
    the state to factors. A generator never sees a random key.

    The builder passes the widths that the constructor names as arguments.

    Args:
        n_ic: Width of the initial condition z.
        n_inferred_inputs: Number of inferred inputs u.
        n_units: Number of units, the setting `generator_dim`.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_ic: int, n_inferred_inputs: int, n_units: int, *, rngs: nnx.Rngs) -> None:
        # A run folder records a part by its arguments. Keep each argument as an attribute of the same name.
        self.n_ic, self.n_inferred_inputs, self.n_units = n_ic, n_inferred_inputs, n_units
        # Width of the state that `step` returns for each trial; factors are read out from this state.
        self.n_state = n_units
        # Trained arrays are `nnx.Param`, or belong to modules such as `Linear`.
        self.start = Linear(n_ic, n_units, rngs=rngs)
        self.recurrent = Linear(n_units, n_units, rngs=rngs)
        self.drive = nnx.Param(rngs.params.normal((n_inferred_inputs, n_units)) / n_inferred_inputs**0.5)

    def initial_state(self, initial_condition):
        """Returns g_0, shape (trial, n_units), from z, shape (trial, n_ic)."""
        return jnp.tanh(self.start(initial_condition))

    def step(self, state, projected_t, live_t):
        """Returns g_t, shape (trial, n_units).

        `live_t` holds the inferred inputs u_t, shape (trial, n_inferred_inputs), which are sampled inside the loop.
        `projected_t` holds the known inputs, if the data have any. Override `project` to multiply known inputs by
        their weights once for all bins, before the loop.
        """
        return jnp.tanh(self.recurrent(state) + live_t @ self.drive[...])

    def recurrent_weights(self):
        """Returns the matrices that `HyperParams.l2_gen_scale` penalises."""
        return (self.recurrent.weight[...],)


def main(quick: bool, out: Path) -> None:
    """Checks the generator, trains both models, compares their rates with the true ones, and loads the second one."""
    out = out / "quick" if quick else out  # keeps a quick run apart from the full run
    # Checks shapes, gradients, float64, padded trials, populations and saving; an error says in words what is wrong.
    lfadsx.testing.check(TanhGenerator)

    data = lfadsx.datasets.chaotic_rnn(
        conditions=5 if quick else 40, trials_per_condition=10, neurons=30, duration=0.3, max_rate=60.0
    )
    n_factors, n_generator, n_other = (8, 16, 12) if quick else (16, 64, 32)
    sizes = {"factors": n_factors, "ic_dim": n_factors, "generator_dim": n_generator, "ic_encoder_dim": n_other}
    sizes |= {"input_encoder_dim": n_other, "controller_dim": n_other, "inferred_inputs": 1}
    epochs, batch_size = (40, 10) if quick else (150, 40)
    settings = {"epochs": epochs, "batch_size": batch_size, "kl_ramp_epochs": epochs // 5, "l2_ramp_epochs": 0}
    settings |= {"patience": epochs, "learning_rate": 0.01, "dropout_rate": 0.1}

    def tanh_model() -> lfadsx.LFADS:
        return lfadsx.inferred_input(data, generator=TanhGenerator, **sizes)

    truth, rows, rates = data.valid.truth, [], {}
    for name, model in {"GRU": lfadsx.inferred_input(data, **sizes), "tanh RNN": tanh_model()}.items():
        # Your own part needs no further code: it trains, is saved in checkpoints and resumes like built-in parts.
        run = lfadsx.fit(model, data, out=out / name.replace(" ", "_"), **settings)
        post = lfadsx.infer(run.model, data)
        rates[name] = post.rates["spikes"]
        rows.append({"generator": name, "rates_r2": metrics.r2_per_trial(rates[name], truth)})
    table = format_table(rows)
    print(f"Squared correlation with the true rates, {len(truth)} validation trials:\n{table}")
    (out / "scores.txt").write_text(table + "\n")
    draw(truth[0], {name: r[0] for name, r in rates.items()}, post.times).savefig(out / "rates.png", dpi=150)

    # Loading never runs code that a file names. So pass the class of your own part; the weights are read from the run
    # folder.
    loaded = lfadsx.load(out / "tanh_RNN", parts=[TanhGenerator])
    again = lfadsx.infer(loaded, data).rates["spikes"]
    print("The loaded model infers the same rates:", np.array_equal(again, rates["tanh RNN"]))


def draw(truth: np.ndarray, rates: dict[str, np.ndarray], time: np.ndarray) -> Figure:
    """Draws true and inferred rates of three neurons in one trial, in Hz."""
    figure, bin_width = Figure(figsize=(6, 4), layout="constrained"), time[1] - time[0]
    for neuron, ax in enumerate(figure.subplots(3, 1, sharex=True)):
        ax.plot(time, truth[:, neuron] / bin_width, "k--", label="true")
        for name, values in rates.items():
            ax.plot(time, values[:, neuron] / bin_width, label=name)
        ax.set_ylabel(f"neuron {neuron} (Hz)")
    ax.set_xlabel("time (s)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS with a generator written on this page.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/own_generator"), help="folder to write")
    main(**vars(parser.parse_args()))
