"""Findings about the parts of a model: latents, generator units, factors, rates, counts, and the course of training."""

import dataclasses

import numpy as np
import pytest
from test_evaluation import posterior
from test_fit_arguments import findings as training

from lfadsx.data import from_arrays
from lfadsx.evaluation import score_posteriors

N_TRIALS, N_BINS, N_CHANNELS = 120, 20, 10


@pytest.fixture(scope="module")
def healthy():
    """Rates of three latent signals, and counts that are Poisson."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(N_TRIALS, 1, 3)) * np.sin(np.linspace(0, 5, N_BINS)[:, None] + np.arange(3))
    return factors, np.exp(0.5 + factors @ rng.normal(0, 0.5, (3, N_CHANNELS)))


def found(healthy, counts=None, rates=None, masked=None, held_out=2, hidden_share=1.0, **fields):
    """The findings of a model with given rates; by default those of hidden entries are the true ones."""
    factors, true = healthy
    counts = np.random.default_rng(1).poisson(true) if counts is None else counts
    data = from_arrays(counts, split=["train"] * 40 + ["valid"] * (N_TRIALS - 40), held_out=held_out)
    own = slice(40, None)
    rates = true if rates is None else rates
    hidden = np.zeros(data.valid.targets["spikes"].shape, bool)
    hidden[:, :, :8] = np.random.default_rng(6).random(hidden[:, :, :8].shape) < hidden_share
    masked = (rates if masked is None else masked)[own], hidden
    made = dataclasses.replace(posterior(data.valid, rates[own]), factors=factors[own])
    n = len(factors[own])
    states = np.tanh(np.random.default_rng(2).normal(size=(n, N_BINS, 8)))
    made = dataclasses.replace(
        made, **{"generator_states": states, **{name: value(n) for name, value in fields.items()}}
    )
    scored = score_posteriors(data, {"valid": made}, masked, split="valid", baselines={}, n_bootstrap=50)
    return {finding.name: finding for finding in scored.findings if finding.name != "copying"}


def test_true_rates_are_nothing_to_report(healthy):
    assert found(healthy) == {}


def test_latents_of_which_some_carry_nothing(healthy):
    kl_ic = lambda n: np.tile([3.0, 1e-4, 2.0, 0.0], (n, 1))  # noqa: E731
    finding = found(healthy, kl_ic=kl_ic)["unused dimensions"]
    assert (finding.value, finding.level, finding.where) == (2, "note", "initial condition")
    assert "ic_dim=2" in finding.remedy
    kl_inputs = lambda n: np.tile([0.5, 1e-5], (n, N_BINS, 1))  # noqa: E731
    finding = found(healthy, kl_inputs=kl_inputs)["unused dimensions"]
    assert (finding.value, finding.where) == (1, "inferred inputs") and "inferred_inputs=1" in finding.remedy
    assert found(healthy, kl_ic=lambda n: np.full((n, 4), 1e-4)) == {}  # a collapse, which training reports


def test_units_that_never_move_or_never_leave_an_end(healthy):
    states = np.tanh(np.random.default_rng(0).normal(size=(N_TRIALS, N_BINS, 8)))
    dead = np.where(np.arange(8) < 3, 0.4, states)
    finding = found(healthy, generator_states=lambda n: dead[:n])["dead units"]
    assert finding.value == 3 / 8 and finding.level == "warning" and "3 of 8 units" in finding.sentence
    stuck = np.where(np.arange(8) < 4, np.sign(states), states)
    assert found(healthy, generator_states=lambda n: stuck[:n])["saturated units"].value == 0.5
    few = np.where(np.arange(8) < 1, 0.4, states)
    assert found(healthy, generator_states=lambda n: few[:n]) == {}


def test_factors_beyond_those_that_the_rates_need(healthy):
    many = np.random.default_rng(0).normal(size=(N_TRIALS, N_BINS, 20))
    finding = found((many, healthy[1]))["superfluous factors"]
    assert finding.value == 3 and finding.level == "note" and "the model has 20 factors" in finding.sentence


def test_counts_that_vary_more_or_less_than_poisson(healthy):
    true, rng = healthy[1], np.random.default_rng(3)
    more = found(healthy, counts=rng.poisson(true * rng.gamma(0.5, 2.0, true.shape)))["overdispersed counts"]
    assert more.value > 1.5 and more.level == "note"
    less = found(healthy, counts=np.round(true).astype(int))["underdispersed counts"]
    assert less.value < 0.5


def test_counts_that_vary_as_much_as_their_likelihood_says(healthy):
    """Counts of a negative binomial are overdispersed beside Poisson counts, but not beside its own variance."""
    true, rng = healthy[1], np.random.default_rng(3)
    counts = rng.poisson(true * rng.gamma(0.5, 2.0, true.shape))  # of size 0.5
    names = found(healthy, counts=counts, variance=lambda n: {"spikes": (true + true**2 / 0.5)[-n:]})
    assert "overdispersed counts" not in names and "underdispersed counts" not in names


def test_rates_that_vary_more_than_the_counts(healthy):
    noise = np.random.default_rng(4).normal(0, 1.0, healthy[1].shape)
    finding = found(healthy, rates=healthy[1] * np.exp(noise))["overconfident rates"]
    assert finding.value < 0.5 and finding.level == "warning"


def test_rates_that_follow_their_own_counts(healthy):
    true = healthy[1]
    counts = np.random.default_rng(5).poisson(true)
    copies = true + 0.5 * (counts - true)
    inputs = lambda n: np.zeros((n, N_BINS, 1))  # noqa: E731
    finding = found(healthy, counts=counts, rates=copies, masked=true, inputs=inputs)["pass-through"]
    assert finding.value == pytest.approx(0.5, abs=0.01) and "50 % of its own count" in finding.sentence
    assert "pass-through" not in found(healthy, counts=counts, rates=copies, masked=true)  # there is no controller


def course(values, **others):
    n = len(values)
    kl = {"valid_kl_ic": np.full(n, 3.0), "valid_kl_inputs": np.full(n, 3.0)}
    return kl | {"reconstruction": np.array(values)} | others


def test_a_reconstruction_that_rises():
    smooth = 100 + 100 * np.exp(-np.arange(20) / 5.0)
    assert training(course(smooth)) == []
    burst = np.where(np.arange(20) == 3, 300.0, smooth)
    assert training(course(burst)) == ["learning rate too high"]
    assert training(course(burst[:3])) == []  # too few epochs to tell
    trained = 100 + np.random.default_rng(0).standard_normal(20)  # trained before: noise alone rises and falls
    assert training(course(trained)) == []


def test_gradients_that_are_clipped_in_most_epochs_are_named():
    smooth, norms = 100 + 100 * np.exp(-np.arange(20) / 5.0), np.where(np.arange(20) < 4, 5000.0, 300.0)
    assert training(course(smooth, grad_norm=norms)) == []  # long at the start only, else 1.5 times max_grad_norm
    assert training(course(smooth, grad_norm=2 * norms)) == ["clipped gradients"]


def test_ramps_that_did_not_end_are_named():
    from lfadsx.config import HyperParams, TrainConfig
    from lfadsx.training.training_findings import training_findings

    weights = dict(kl_ic_weight=np.linspace(0, 0.4, 5), kl_co_weight=np.ones(5), l2_weight=np.linspace(0, 0.6, 5))
    settings = dict(
        reason="epochs", best_epoch=0, skipped_steps=0, hyper=HyperParams(), config=TrainConfig(), n_bins=10
    )
    (finding,) = training_findings(course(np.ones(5), **weights), **settings)
    assert finding.name == "no selected model" and "(kl_ic_weight) was 0.40 of 1" in finding.sentence
