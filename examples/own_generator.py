"""A generator of your own: a vanilla RNN in place of the GRU.

The generator is the part of LFADS that holds the dynamics. This page writes one, puts it into a model that is
otherwise the usual one, trains both on simulated spikes whose true rates are known, and loads the model again.
It is meant to be copied: replace `TanhGenerator` by the dynamics that you want to study.

    python examples/own_generator.py          # some minutes on a CPU
    python examples/own_generator.py --quick  # a moment, to see that it works

Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import r2_per_trial
from lfadsx.modules import AbstractGenerator, Linear
from lfadsx.modules.linear import scaled_normal
from lfadsx.training import ProgressBar


class TanhGenerator(AbstractGenerator):
    """The vanilla RNN g_t = tanh(W g_{t-1} + B u_t + b), started at g_0 = tanh(A z + a).

    A generator must set `n_state` and write `initial_state` and `step`; the rest of this class is optional.
    The decoder runs the loop over time, samples the inputs u_t, applies dropout to what is read out, and maps
    the state to factors. A generator never sees a random key.

    Args:
        n_ic: Width of the initial condition z.
        n_inputs: Number of inferred inputs u.
        n_units: Number of units.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_ic: int, n_inputs: int, n_units: int, *, rngs: nnx.Rngs) -> None:
        # A run folder records a part by its arguments. Keep each as an attribute of the same name.
        self.n_ic, self.n_inputs, self.n_units = n_ic, n_inputs, n_units
        # How many numbers `step` returns for each trial: the width of what the factors are read out from.
        self.n_state = n_units
        # Whatever trains is an nnx.Param, or a module made of them such as Linear.
        self.start = Linear(n_ic, n_units, rngs=rngs)
        self.recurrent = nnx.Param(scaled_normal(rngs, (n_units, n_units), n_units))
        self.drive = Linear(n_inputs, n_units, rngs=rngs)

    def initial_state(self, initial_condition):
        """Returns g_0, shape (trial, n_units), from z, shape (trial, n_ic)."""
        return jnp.tanh(self.start(initial_condition))

    def step(self, state, projected_t, live_t):
        """Returns g_t, shape (trial, n_units).

        `live_t` holds the inputs u_t, shape (trial, n_inputs), which exist only inside the loop. Known inputs,
        if the data have any, come as `projected_t`; override `project` to multiply them by their weights once
        for all bins before the loop.
        """
        return jnp.tanh(state @ self.recurrent[...] + self.drive(live_t))

    def recurrent_weights(self):
        """Returns the matrices that `HyperParams.l2_gen_scale` penalises."""
        return (self.recurrent[...],)


def gru_model(data: lfadsx.Dataset, config: lfadsx.ModelConfig) -> lfadsx.LFADS:
    """Builds the usual model."""
    return lfadsx.inferred_input(data, config, rngs=nnx.Rngs(0))


def tanh_model(data: lfadsx.Dataset, config: lfadsx.ModelConfig) -> lfadsx.LFADS:
    """Builds the usual model and exchanges its generator; encoders, controller and read-out stay."""
    model = gru_model(data, config)
    # The factors' weights were made for generator_dim units, so the new generator has as many. For other widths
    # compose the model from its parts, as examples/compose_by_hand.py does.
    model.decoder.generator = TanhGenerator(
        config.ic_dim, config.inferred_inputs, config.generator_dim, rngs=nnx.Rngs(1)
    )
    return model


def main(quick: bool, out: Path) -> None:
    """Trains both models, compares their rates with the true ones, and loads the second one."""
    out = out / "quick" if quick else out  # a trial run must not stand in the way of the real one
    data = lfadsx.datasets.chaotic_rnn(
        conditions=5 if quick else 40, trials_per_condition=10, neurons=30, duration=0.3, max_rate=60.0
    )
    config = lfadsx.ModelConfig(
        factors=8 if quick else 16,
        generator_dim=16 if quick else 64,
        ic_dim=8 if quick else 16,
        ic_encoder_dim=12 if quick else 32,
        input_encoder_dim=12 if quick else 32,
        controller_dim=12 if quick else 32,
        inferred_inputs=1,
    )
    epochs = 40 if quick else 150
    train = lfadsx.TrainConfig(
        epochs=epochs, batch_size=10 if quick else 40, kl_ramp_epochs=epochs // 5, l2_ramp_epochs=0, patience=epochs
    )
    hyper = lfadsx.HyperParams(learning_rate=0.01, dropout_rate=0.1)

    truth, rows, rates = data.valid.truth, [], {}
    for name, build in {"GRU": gru_model, "tanh RNN": tanh_model}.items():
        # A part of your own needs nothing further: it trains, joins checkpoints and resumes like the others.
        run = out / name.replace(" ", "_")
        result = lfadsx.fit(build(data, config), data, hyper=hyper, config=train, out=run, callbacks=[ProgressBar()])
        rates[name] = lfadsx.infer(result.model, data, "valid").rates["spikes"]
        parameters = sum(weight.size for weight in jax.tree.leaves(nnx.state(result.model, nnx.Param)))
        rows.append({"generator": name, "rates_r2": r2_per_trial(rates[name], truth), "parameters": parameters})
    table = format_table(rows)
    print(f"Squared correlation with the true rates, {len(truth)} validation trials:\n{table}")
    (out / "scores.txt").write_text(table + "\n")
    draw(truth[0], {name: r[0] for name, r in rates.items()}, data.bin_width).savefig(out / "rates.png", dpi=150)

    # Loading runs no code that a file names. So a model with a part of your own is loaded by giving a function
    # that builds it; its weights are then read from the run folder.
    loaded = lfadsx.load(out / "tanh_RNN", build=lambda: tanh_model(data, config))
    again = lfadsx.infer(loaded, data, "valid").rates["spikes"]
    print("The loaded model infers the same rates:", np.array_equal(again, rates["tanh RNN"]))


def draw(truth: np.ndarray, rates: dict[str, np.ndarray], bin_width: float) -> Figure:
    """Draws true and inferred rates of three neurons in one trial, in Hz."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    time = bin_width * np.arange(len(truth))
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
