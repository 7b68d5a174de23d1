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
    return data_of(known_inputs=np.broadcast_to(values, (TRIALS, BINS, 2)).astype(float))


def sessions(n_trials):
    """Two sessions, the second with few trials."""
    first = data_of(session="first")
    return lfadsx.data.concatenate(first, data_of(SPIKES[:n_trials], session="second", split=["train"] * n_trials))


FOR_COUNTS = {
    "ordinary": lambda: data_of(),
    "a silent neuron": lambda: data_of(changed(SPIKES, np.s_[..., 0], 0)),
    "nothing but zeros in bins of 1 ms": lambda: data_of(SPIKES * 0, bin_width=0.001),
    "constant": lambda: data_of(SPIKES * 0 + 1),
    "one neuron": lambda: data_of(SPIKES[:, :, :1]),
    "one bin": lambda: data_of(SPIKES[:, :1]),
    "two bins": lambda: data_of(SPIKES[:, :2]),
    "one trial": lambda: data_of(SPIKES[:1]),
    "one trial without splits": lambda: data_of(SPIKES[:1], split=None),
    "two trials": lambda: data_of(SPIKES[:2], split=["train", "valid"]),
    "no trials": lambda: data_of(SPIKES[:0]),
    "no neurons": lambda: data_of(SPIKES[:, :, :0]),
    "no neurons held in": lambda: data_of(held_out=range(NEURONS)),
    "known inputs of 1e6": lambda: known(1e6 * NOISE[:, :, :2]),
    "constant known inputs": lambda: known(3.0),
    "infinite known inputs": lambda: known(changed(NOISE[:, :, :2], (0, 1, 1), np.inf)),
    "NaN in known inputs": lambda: known(changed(NOISE[:, :, :2], (0, 1, 1), np.nan)),
    "a trial without observed bins": lambda: data_of(observed=changed(SPIKES < 9, 0, False)),
    "a neuron never observed": lambda: data_of(observed=changed(SPIKES < 9, np.s_[..., 1], False)),
    "NaN in behaviour": lambda: data_of(behaviour=changed(NOISE[:, :, :2], (0, 1, 1), np.nan)),
    "infinite behaviour": lambda: data_of(behaviour=changed(NOISE[:, :, :2], (0, 1, 1), np.inf)),
    "a session of a single trial": lambda: sessions(1),
    "an empty session": lambda: sessions(0),
}
MANY = {
    "500 spikes in every bin": lambda: data_of(changed(SPIKES.astype(np.uint16), np.s_[..., 0], 500)),
    "uint8 of 255": lambda: data_of(changed(SPIKES, np.s_[:, 2], 255)),
    "uint16 of 65535": lambda: data_of(changed(SPIKES.astype(np.uint16), (0, 2, 1), 65535)),
    "uint16 of 65534": lambda: data_of(changed(SPIKES.astype(np.uint16), (0, 2, 1), 65534)),
    "a count of 4e9": lambda: data_of(changed(SPIKES.astype(np.uint32), (0, 2, 1), 4_000_000_000)),
}
FOR_REAL = {
    "ordinary": lambda: real(),
    "constant": lambda: real(NOISE * 0 + 2.5),
    "zeros": lambda: real(NOISE * 0),
    "values of 1e30": lambda: real(NOISE * 1e30),
    "one value of 1e30": lambda: real(changed(NOISE, (0, 1, 1), 1e30)),
    "values of 1e18": lambda: real(NOISE * 1e18),
    "values of 1e-30": lambda: real(NOISE * 1e-30),
    "a large mean": lambda: real(NOISE + 1e7),
    "a value beyond float32": lambda: real(changed(NOISE, (0, 1, 1), 1e300)),
    "NaN": lambda: real(changed(NOISE, (0, 1, 1), np.nan)),
    "NaN as missing": lambda: real(changed(NOISE, (0, 1, 1), np.nan), missing=True),
    "infinite": lambda: real(changed(NOISE, (0, 1, 1), np.inf)),
}
FOR_POSITIVE = {
    "ordinary": lambda: real(np.exp(NOISE)),
    "constant": lambda: real(NOISE * 0 + 2.5),
    "values of 1e30": lambda: real(np.exp(NOISE) * 1e30),
    "one value of 1e30": lambda: real(changed(np.exp(NOISE), (0, 1, 1), 1e30)),
    "values of 1e-30": lambda: real(np.exp(NOISE) * 1e-30),
    "zeros": lambda: real(NOISE * 0),
}
CASES = [
    (likelihood, name, make)
    for likelihoods, cases in ((COUNTS, FOR_COUNTS), (COUNTS, MANY), (REAL, FOR_REAL), (POSITIVE, FOR_POSITIVE))
    for likelihood in likelihoods
    for name, make in cases.items()
]
QUICK = ("poisson", "gaussian_by_channel")


@pytest.mark.parametrize(
    ("likelihood", "name", "make"),
    [
        pytest.param(*case, id=f"{case[0]}, {case[1]}", marks=[] if case[0] in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_extreme_inputs(likelihood, name, make):
    try:
        data = make()
        model = lfadsx.build(data, **SIZES, likelihood=likelihood, rngs=nnx.Rngs(0))
        run = lfadsx.fit(
            model, data, epochs=4, batch_size=100, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=2, progress=False
        )
    except LfadsxError as refusal:
        print("REFUSED", refusal)
        return
    assert run.skipped_steps == 0 and np.isfinite(run.history["loss"]).all(), run.history["loss"]
    assert np.isfinite(run.best_score), run
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nnx.state(run.last)))
    posterior = lfadsx.infer(run.model, data, "valid", n_samples=2)
    rates = posterior.rates
    for group, values in rates.items() if isinstance(rates, dict) else [("", rates)]:
        assert np.isfinite(values).all(), group
    found = lfadsx.evaluate(run.model, data, "valid", n_samples=2)
    print(found)
