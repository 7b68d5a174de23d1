"""Extreme inputs: each trains, is inferred and scored with finite numbers, or is refused in words."""

import jax
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.errors import LfadsxError

TRIALS, BINS, NEURONS = 8, 6, 4
SPLIT = ["valid" if trial % 4 == 3 else "train" for trial in range(TRIALS)]
SIZES = dict(generator_dim=5, factors=3, ic_encoder_dim=4, input_encoder_dim=3, controller_dim=4, inferred_inputs=1)
TRAINING = dict(epochs=4, batch_size=100, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=2, progress=False)
COUNTS = ("poisson", "negative_binomial", "zero_inflated_poisson", "bernoulli")
REAL = ("gaussian", "gaussian_by_channel", "squared_error", "squared_error_by_channel")
POSITIVE = ("log_normal", "gamma", "zero_inflated_gamma")
NOISE = np.random.default_rng(0).standard_normal((TRIALS, BINS, NEURONS))
SPIKES = np.random.default_rng(1).binomial(1, 0.3, (TRIALS, BINS, NEURONS)).astype(np.uint8)


def changed(values, place, value):
    """A copy with another value at a place."""
    values = values.copy()
    values[place] = value
    return values


def data_of(values=SPIKES, **settings):
    return lfadsx.from_arrays(values, **{"split": SPLIT[: len(values)], "kind": "counts"} | settings)


def real(values=NOISE, **settings):
    return data_of(values, kind="real", **settings)


def known(values):
    return data_of(known_inputs=values)


def behaving(value):
    """Spikes with behaviour that has one odd value."""
    return data_of(behaviour=changed(NOISE[:, :, :2], (0, 1, 1), value))


def sessions(n_trials):
    """Two sessions, the second with few trials."""
    first = data_of(session="first")
    return lfadsx.data.concatenate(first, data_of(SPIKES[:n_trials], session="second", split=["train"] * n_trials))


REFUSED = {
    "one trial": (lambda: data_of(SPIKES[:1]), "no trial is 'valid'"),
    "one trial without splits": (lambda: data_of(SPIKES[:1], split=None), "no trials would be left to train on"),
    "no trials": (lambda: data_of(SPIKES[:0]), "holds no trials"),
    "no neurons": (lambda: data_of(SPIKES[:, :, :0]), "leave out empty arrays"),
    "no bins": (lambda: data_of(SPIKES[:, :0]), "leave out empty arrays"),
    "no neurons held in": (lambda: data_of(held_out=range(NEURONS)), "Leave at least one for the encoder"),
    "an empty session": (lambda: sessions(0), "holds no trials"),
    "a session of a single trial": (lambda: sessions(1), "no trial is 'valid'"),
    "infinite known inputs": (
        lambda: known(changed(NOISE, (0, 1, 1), np.inf)),
        "infinite at trial 0, bin 1, channel 1",
    ),
    "NaN in known inputs": (
        lambda: known(changed(NOISE, (0, 1, 1), np.nan)),
        "must be known in every bin",
    ),
    "infinite behaviour": (lambda: behaving(np.inf), "'behaviour' is infinite at trial 0, bin 1, channel 1"),
    "behaviour beyond float32": (lambda: behaving(1e300), "'behaviour' is infinite at trial 0, bin 1, channel 1"),
    "uint16 of 65535": (lambda: data_of(changed(SPIKES.astype(np.uint16), (0, 2, 1), 65535)), "or a fill value"),
    "values of 1e30": (lambda: real(NOISE * 1e30), "at most 1e[+]15 in size, got 1.2573e[+]29 in session"),
    "one value of 1e30": (
        lambda: real(changed(NOISE, (0, 1, 1), 1e30)),
        "got 1e[+]30 in session 'session', trial 0, bin 1, channel 1",
    ),
    "a value of -1e300": (lambda: real(changed(NOISE, (0, 1, 1), -1e300)), "got -1e[+]300 at trial 0, bin 1"),
    "values of 1e-30": (lambda: real(NOISE * 1e-30), "at least 1e-15 in size, got 2.39823e-30"),
    "NaN": (lambda: real(changed(NOISE, (0, 1, 1), np.nan)), "holds 1 NaN, .* Use --missing"),
    "infinite": (lambda: real(changed(NOISE, (0, 1, 1), np.inf)), "infinite at trial 0, bin 1, channel 1"),
}
FOR_COUNTS = {
    "a silent neuron": lambda: data_of(changed(SPIKES, np.s_[..., 0], 0)),
    "nothing but zeros in bins of 1 ms": lambda: data_of(SPIKES * 0, bin_width=0.001),
    "constant": lambda: data_of(SPIKES * 0 + 1),
    "one neuron": lambda: data_of(SPIKES[:, :, :1]),
    "one bin": lambda: data_of(SPIKES[:, :1]),
    "two bins": lambda: data_of(SPIKES[:, :2]),
    "two trials": lambda: data_of(SPIKES[:2], split=["train", "valid"]),
    "known inputs of 1e6": lambda: known(1e6 * NOISE),
    "constant known inputs": lambda: known(np.full_like(NOISE, 3.0)),
    "a trial without observed bins": lambda: data_of(observed=changed(SPIKES < 9, 0, False)),
    "a neuron never observed": lambda: data_of(observed=changed(SPIKES < 9, np.s_[..., 1], False)),
    "NaN in behaviour": lambda: behaving(np.nan),
}
MANY = {
    "500 spikes in every bin": lambda: data_of(changed(SPIKES.astype(np.uint16), np.s_[..., 0], 500)),
    "uint8 of 255": lambda: data_of(changed(SPIKES, np.s_[:, 2], 255)),
    "uint16 of 65534": lambda: data_of(changed(SPIKES.astype(np.uint16), (0, 2, 1), 65534)),
    "a count of 4e9": lambda: data_of(changed(SPIKES.astype(np.uint32), (0, 2, 1), 4_000_000_000)),
}
FOR_REAL = {
    "constant": lambda: real(NOISE * 0 + 2.5),
    "zeros": lambda: real(NOISE * 0),
    "values of 1e14": lambda: real(NOISE * 1e14),
    "one value of 1e15": lambda: real(changed(NOISE, (0, 1, 1), 1e15)),
    "values of 1e-14": lambda: real(NOISE * 1e-14),
    "a large mean": lambda: real(NOISE + 1e7),
    "NaN as missing": lambda: real(changed(NOISE, (0, 1, 1), np.nan), missing=True),
}
FOR_POSITIVE = {
    "constant": lambda: real(NOISE * 0 + 2.5),
    "values of 1e13": lambda: real(np.exp(NOISE) * 1e13),
    "one value of 1e15": lambda: real(changed(np.exp(NOISE), (0, 1, 1), 1e15)),
    "values of 1e-14": lambda: real(np.exp(NOISE) * 1e-14),
}
CASES = [
    *((likelihood, name, make) for likelihood in COUNTS for name, make in FOR_COUNTS.items()),
    *((likelihood, name, make) for likelihood in COUNTS[:3] for name, make in MANY.items()),
    *((likelihood, name, make) for likelihood in REAL for name, make in FOR_REAL.items()),
    *((likelihood, name, make) for likelihood in POSITIVE for name, make in FOR_POSITIVE.items()),
    ("zero_inflated_gamma", "zeros", FOR_REAL["zeros"]),
]
# The counts have one shape and type, so they share their programs.
QUICK = {
    "poisson": ("a silent neuron", "nothing but zeros in bins of 1 ms", "uint8 of 255"),
    "gaussian_by_channel": ("values of 1e14",),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_data_that_cannot_be_trained_on_are_refused(make, words):
    with pytest.raises(LfadsxError, match=words):
        lfadsx.build(make(), seed=0)


@pytest.mark.parametrize(
    ("likelihood", "make"),
    [
        pytest.param(
            likelihood,
            make,
            id=f"{likelihood}, {name}",
            marks=[] if name in QUICK.get(likelihood, ()) else pytest.mark.slow,
        )
        for likelihood, name, make in CASES
    ],
)
def test_extreme_data_are_trained_on_with_finite_numbers(likelihood, make):
    data = make()
    variant = "external_input" if data.n_known_inputs else "inferred_input"
    model = lfadsx.build(data, **SIZES, variant=variant, likelihood=likelihood, rngs=nnx.Rngs(0))
    run = lfadsx.fit(model, data, **TRAINING)
    assert run.skipped_steps == 0 and np.isfinite(run.history["loss"]).all() and np.isfinite(run.best_score)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nnx.state(run.last)))
    post = lfadsx.infer(run.model, data, "valid", n_samples=2)
    assert np.isfinite(post.rates["spikes"]).all() and np.isfinite(post.factors).all()
    found = lfadsx.evaluate(run.model, data, "valid", n_samples=2)
    assert all(score is None or isinstance(score, str) or np.isfinite(score) for score in found.scores.values())
