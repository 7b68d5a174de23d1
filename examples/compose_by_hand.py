"""LFADS composed by hand: every part on its own line, then run, differentiated and trained.

`lfadsx.inferred_input(data)` composes the usual model in one call. This page does the same part by part, as you need
to once a width or a part differs. Each part is a Flax NNX module with explicit arguments. The data are simulated
spikes of 30 neurons of a chaotic network.

    python examples/compose_by_hand.py          # a few minutes on a CPU
    python examples/compose_by_hand.py --quick  # tiny sizes, to check that it works

Writes runs/compose_by_hand: checkpoints, parts.txt, scores.txt and loss.png.
The figure needs matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx

import lfadsx
from lfadsx.distributions import AutoregressivePrior, GaussianPrior, Poisson
from lfadsx.modules import BidirectionalGRU, Decoder, GRUController, GRUGenerator, LinearReadin, LinearReadout


def compose(data: lfadsx.Dataset, n_factors: int, n_units: int, rngs: nnx.Rngs) -> lfadsx.LFADS:
    """Composes an LFADS with inferred inputs for the first session of a data set."""
    n_ic, n_inputs, session = n_factors, 1, data.sessions[0]

    # Read-in: a linear map from the neurons that the encoders see to n_factors features. Its weights have the
    # session's name; with more entries ((name, number), ...) it serves several sessions.
    readin = LinearReadin(((session.name, session.n_channels),), n_factors, rngs=rngs)

    # Encoders: one summarises a trial for its initial condition, the other encodes each bin for the controller.
    # With lag 1 the input of a bin is inferred without the data of that bin.
    ic_encoder = BidirectionalGRU(readin.n_features, n_units, rngs=rngs)
    input_encoder = BidirectionalGRU(readin.n_features, n_units, lag=1, rngs=rngs)

    # Priors of the initial condition and of the inputs. Each prior also defines the family of its posterior. The
    # AR(1) prior expects inputs to change slowly; its time constant is trained.
    ic_prior = GaussianPrior(n_ic, variance=0.1)
    input_prior = AutoregressivePrior(n_inputs, tau=10.0, variance=0.1)

    # Controller: infers the inputs from the encoding and the factors of the last bin.
    controller = GRUController(input_encoder.n_states, n_factors, n_units, rngs=rngs)

    # Generator: the dynamics. It starts from the initial condition; inferred inputs (and here 0 known ones) drive it.
    generator = GRUGenerator(n_ic, 0, n_inputs, n_units, rngs=rngs)

    # Decoder: runs controller and generator bin by bin and maps the generator's state to the factors. Without
    # controller and input_prior the decoder is autonomous.
    decoder = Decoder(generator, n_factors, controller=controller, input_prior=input_prior, rngs=rngs)

    # Likelihood and read-out: the read-out maps factors linearly to the parameters of the likelihood (one log rate
    # per neuron for Poisson). Its weights start small, so that the model starts near the mean rates.
    likelihood = Poisson()
    targets = ((session.name, session.n_targets["spikes"]),)
    readout = LinearReadout(n_factors, targets, n_params=likelihood.n_params, scale=0.1, rngs=rngs)

    # The model. Read-outs and likelihoods are given by target group; a second group could hold muscle activity.
    model = lfadsx.LFADS(
        readin,
        ic_encoder,
        ic_prior,
        decoder,
        {"spikes": readout},
        {"spikes": likelihood},
        input_encoder=input_encoder,
        rngs=rngs,
    )
    # Last, initial values from the training data, such as the read-out's bias at each neuron's mean rate.
    lfadsx.initialise(model, data)
    return model


def main(quick: bool, out: Path) -> None:
    """Composes the model, runs it on a batch, takes a gradient, and trains it."""
    out = out / "quick" if quick else out  # keeps a quick run apart from the full run
    out.mkdir(parents=True, exist_ok=True)
    data = lfadsx.datasets.chaotic_rnn(
        conditions=4 if quick else 40, trials_per_condition=10, neurons=30, duration=0.3, max_rate=60.0
    )
    model = compose(data, n_factors=6 if quick else 16, n_units=12 if quick else 48, rngs=nnx.Rngs(0))

    # Parts, their arrays, and the number of trained weights.
    print(lfadsx.summary(model))
    (out / "parts.txt").write_text(lfadsx.summary(model) + "\n")

    # `check` tests a part of your own against its seam: shapes, gradients, float64, padded trials, populations,
    # saving. The error message says in words what is wrong. Here it checks a built-in part.
    lfadsx.testing.check(model.decoder.generator)

    # A model holds no random state. Called on a batch alone, the model uses posterior means. For a sample, all noise
    # is drawn beforehand and passed in, so the same noise gives the same output.
    run_model = nnx.jit(lambda model, batch, noise: model(batch, noise))
    batch = lfadsx.data.batch(data, "train", rows=np.arange(16))
    means = run_model(model, batch, None)
    print("Factors of the posterior means:", means.factors.shape, "(trial, time, factor)")
    noise = model.draw(jax.random.key(0), batch)
    sample = run_model(model, batch, noise)
    print("Spread of the inputs of one sample:", round(float(sample.inputs.std()), 3))

    # The gradient in plain JAX: split the model into structure and parameters, and merge them inside the function.
    structure, parameters, fixed = nnx.split(model, nnx.Param, ...)

    def negative_bound(parameters, noise):
        model = nnx.merge(structure, parameters, fixed)
        return -lfadsx.objective.elbo(model, batch, model(batch, noise)).mean()

    value, gradient = jax.jit(jax.value_and_grad(negative_bound))(parameters, noise)
    print(f"Bound {-float(value):.1f} nats per trial, norm of its gradient {float(optax.tree.norm(gradient)):.1f}")

    # Training. `fit` returns a trained copy; `model` itself stays untrained.
    epochs, batch_size = (30, 16) if quick else (150, 40)
    settings = {"kl_ramp_epochs": epochs // 5, "l2_ramp_epochs": 0, "learning_rate": 0.01, "dropout_rate": 0.1}
    run = lfadsx.fit(model, data, epochs=epochs, batch_size=batch_size, patience=epochs, out=out, **settings)
    lfadsx.plotting.loss_figure(run.history).savefig(out / "loss.png", dpi=150)

    # The evidence lower bound of the validation trials, averaged over 16 samples of each trial.
    before, after = (lfadsx.bounds(of, data, "valid", n_samples=16).elbo.mean() for of in (model, run.model))
    print(f"Bound before training: {before:.1f} nats per trial")
    print(f"Bound after training: {after:.1f} nats per trial")
    (out / "scores.txt").write_text(f"{lfadsx.evaluate(run.model, data)}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Composes LFADS from its parts, one by one.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/compose_by_hand"), help="folder to write")
    main(**vars(parser.parse_args()))
