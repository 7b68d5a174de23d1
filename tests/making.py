"""Tiny data sets, batches and models for tests, with everything that makes real ones awkward."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.cli import command_flags, command_line
from lfadsx.data import concatenate, from_arrays
from lfadsx.modules.augmentations import combine
from lfadsx.objective import Objective, RampWeights
from lfadsx.training.state import path_name

SIZES = dict(
    factors=3,
    generator_dim=5,
    ic_dim=4,
    ic_encoder_dim=4,
    input_encoder_dim=3,
    controller_dim=4,
    inferred_inputs=2,
    readin_dim=4,
)


def one_session(n_trials=6, n_bins=8, n_channels=5, *, known=0, likelihood="poisson", seed=0, **changes):
    """Trials of one length, all observed; even ones train, odd ones validate."""
    lengths = [n_bins] * n_trials
    return _dataset("session", lengths, n_channels, known, likelihood, seed, changes)


def ragged(session="monday", lengths=(9, 9, 7, 7), n_channels=6, *, known=0, likelihood="poisson", seed=0, **changes):
    """Trials of different length with 2 forward bins, 2 neurons held out and a fifth of the entries missing.

    The encoder sees the channels 0, 2, 3, 5, ... of the targets; even trials train, odd ones validate.
    """
    rng = np.random.default_rng(seed + 1)
    observed = [rng.random((n, n_channels)) > 0.2 for n in lengths]
    settings = dict(held_out=[1, 4] if n_channels > 4 else [1], forward_bins=2, observed=observed)
    return _dataset(session, lengths, n_channels, known, likelihood, seed, settings | changes)


def apart(*, known=0, likelihood="poisson", seed=0):
    """Two ragged sessions, "monday" of 6 neurons and "tuesday" of 4, 2 trials of each in train and valid."""
    shared = dict(known=known, likelihood=likelihood)
    monday = ragged("monday", n_channels=6, seed=seed, **shared)
    return monday, ragged("tuesday", n_channels=4, seed=seed + 10, **shared)


def several_sessions(**settings):
    """The sessions that `apart` returns, in one data set."""
    return concatenate(*apart(**settings))


def _dataset(session, lengths, n_channels, known, likelihood, seed, changes):
    rng = np.random.default_rng(seed)
    shapes = [(n, n_channels) for n in lengths]
    if likelihood == "poisson":
        trials = [rng.poisson(1.5, shape) for shape in shapes]
    else:
        trials = [rng.standard_normal(shape) for shape in shapes]
    known = [rng.standard_normal((n, known)) for n in lengths] if known else None
    settings = dict(
        known_inputs=known,
        kind=None if likelihood == "poisson" else "real",
        session=session,
        split=["valid" if i % 2 else "train" for i in range(len(lengths))],
    )
    return from_arrays(trials, **(settings | changes))


def build(data, *, seed=0, **changes):
    """A tiny model of the data whose parameters are all away from special values such as 0."""
    structure = None

    def make():
        nonlocal structure
        model = lfadsx.build(data, rngs=nnx.Rngs(seed), **(SIZES | changes))
        stir(model, seed=seed)
        structure, state = nnx.split(model)
        return state

    # One cached compilation instead of a hundred small ones that are not.
    state = jax.jit(make)()
    return nnx.merge(structure, state)


def outline(data, **changes):
    """A tiny model with the shapes of its arrays in place of their values; takes no time."""
    return nnx.eval_shape(lambda: lfadsx.build(data, rngs=nnx.Rngs(0), **(SIZES | changes)))


def stir(part, scale=0.3, seed=0):
    """Adds noise to every parameter of a part, in place."""
    rng = np.random.default_rng(seed)
    noisy = jax.tree.map(
        lambda x: x + jnp.asarray(scale * rng.standard_normal(x.shape), x.dtype), nnx.state(part, nnx.Param)
    )
    nnx.update(part, noisy)


def alone(batch, trial, sessions=None):
    """One trial of a batch, cut to its own length; with sessions, also cut to its own session's channels."""
    one = jax.tree.map(lambda x: x[trial : trial + 1], batch)
    n_encoder, n_bins = int(one.encoder_length[0]), int(one.target_length[0])
    n_channels, n_targets = one.encoder_input.shape[2], {g: x.shape[2] for g, x in one.targets.items()}
    if sessions is not None:
        session = sessions[int(one.session[0])]
        n_channels, n_targets = session.n_channels, session.n_targets

    def cut(arrays):
        return {g: None if x is None else x[:, :n_bins, : n_targets[g]] for g, x in arrays.items()}

    def cut_encoder(x):
        return None if x is None else x[:, :n_encoder, :n_channels]

    return dataclasses.replace(
        one,
        encoder_input=cut_encoder(one.encoder_input),
        encoder_observed=cut_encoder(one.encoder_observed),
        targets=cut(one.targets),
        target_observed=cut(one.target_observed),
        known_inputs=None if one.known_inputs is None else one.known_inputs[:, :n_bins],
        target_index=one.target_index[:, :n_channels],
    )


def lengthen(batch, extra, junk=3):
    """The same trials with `extra` more bins of padding that hold junk."""

    def pad(x, value):
        return None if x is None else jnp.pad(x, ((0, 0), (0, extra), (0, 0)), constant_values=value)

    return dataclasses.replace(
        batch,
        encoder_input=pad(batch.encoder_input, junk),
        encoder_observed=pad(batch.encoder_observed, True),
        targets={g: pad(x, junk) for g, x in batch.targets.items()},
        target_observed={g: pad(x, True) for g, x in batch.target_observed.items()},
        known_inputs=pad(batch.known_inputs, junk),
    )


def rows(batch, index):
    """The trials of a batch that an index names, in its order."""
    return jax.tree.map(lambda x: x[np.asarray(index)], batch)


def hyper(**changes):
    """Hyperparameters with every term of the loss switched on."""
    settings = dict(
        dropout_rate=0.3,
        cd_rate=0.4,
        cd_pass_rate=0.1,
        kl_ic_scale=0.7,
        kl_co_scale=0.6,
        l2_ic_enc_scale=2.0,
        l2_ci_enc_scale=3.0,
        l2_gen_scale=4.0,
        l2_con_scale=5.0,
    )
    return lfadsx.HyperParams(**(settings | changes))


def split(model):
    """Structure, trained parameters and fixed arrays of a model."""
    return nnx.split(model, nnx.Param, ...)


def forward(model):
    """A compiled (batch, noise) -> output."""
    graphdef, state = nnx.split(model)
    run = jax.jit(lambda state, batch, noise: nnx.merge(graphdef, state)(batch, noise))
    return lambda batch, noise=None: run(state, batch, noise)


def drawer(model):
    """A compiled (batch, seed, hyper) -> noise."""
    graphdef, state = nnx.split(model)
    draw = jax.jit(lambda state, key, batch, hyper: nnx.merge(graphdef, state).draw(key, batch, hyper))
    return lambda batch, seed=0, **changes: draw(state, jax.random.key(seed), batch, hyper(**changes))


def training_loss(model, objective=None, ramps=None, augmentations=()):
    """A compiled (params, batch, key, hyper) -> ((loss, (parts, output)), gradient), noise and dropout on."""
    graphdef, _, fixed = split(model)
    objective, ramps = objective or Objective(), ramps or RampWeights()

    def value(params, batch, key, hyper):
        model = nnx.merge(graphdef, params, fixed)
        keys = jax.random.split(jax.random.fold_in(key, 1), len(augmentations))
        changed, weights, opened = combine(augmentations, batch, hyper, list(keys))
        output = model(changed, model.draw(key, changed, hyper))
        total, parts = objective(model, changed, output, hyper, ramps, weights, opened)
        return total, (parts, output)

    return jax.jit(jax.value_and_grad(value, has_aux=True))


def flat(state):
    """Arrays of a state by path, such as "decoder/generator/gru/bias"."""
    return {path_name(path): np.asarray(value[...]) for path, value in nnx.to_flat_state(state)}


def allow_skipped_steps(monkeypatch, n):
    """Training stops after more than `n` steps that are not finite."""
    for module in ("loop", "populations", "stopping", "training_findings"):
        monkeypatch.setattr(f"lfadsx.training.{module}.MAX_SKIPPED_STEPS", n)


def parse(words):
    """Returns the command that the words of a command line describe."""
    command, prog, others = command_line.find(words)
    return command_flags.parse(command, others, prog)


def each(cases, *quick):
    """Returns all cases as parameters; those that are not named here belong to the slow tests."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
