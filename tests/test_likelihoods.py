"""Every likelihood in a model: its start, ragged sessions, data outside the support, and the comparison in a sweep."""

import json

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx
from scipy import stats

import lfadsx
from lfadsx import cli
from lfadsx.config import LikelihoodName
from lfadsx.data import concatenate, from_arrays, write_dataset
from lfadsx.data.scored_entries import scored_mask
from lfadsx.distributions import LIKELIHOODS, NegativeBinomial, ZeroInflatedGamma
from lfadsx.models.compatibility import check_fits
from lfadsx.pipeline.sweep_grid import check_likelihoods

COUNTS = ("poisson", "negative_binomial", "zero_inflated_poisson", "bernoulli")


def values_for(name, rng, shape):
    """Data that a likelihood allows, with zeros and large values if it does."""
    size = rng.gamma(0.5, 4.0, shape) + 1e-3
    if name in COUNTS:
        counts = rng.poisson(size)
        return np.minimum(counts, 1) if name == "bernoulli" else counts
    if name == "zero_inflated_gamma":
        return size * (rng.random(shape) < 0.5)
    return size if name in ("log_normal", "gamma") else rng.standard_normal(shape)


def ragged(name, session="monday", n_channels=6, seed=0, values=None):
    """Trials of different length with missing entries, 2 forward bins and a neuron held out; even ones train."""
    rng, lengths = np.random.default_rng(seed), (9, 9, 7, 7)
    trials = values or [values_for(name, rng, (n, n_channels)) for n in lengths]
    observed = [rng.random(trial.shape) > 0.2 for trial in trials]
    kind, split = "counts" if name in COUNTS else "real", ["train", "valid"] * 2
    how = dict(observed=observed, held_out=[1], forward_bins=2, kind=kind, session=session, split=split)
    return from_arrays(trials, **how)


def test_every_name_of_the_settings_is_a_likelihood():
    assert set(LikelihoodName.__args__) == set(LIKELIHOODS)
    assert {name for name, kind in LIKELIHOODS.items() if kind.support == "counts"} == set(COUNTS)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_ragged_session_among_others_is_the_session_alone(name):
    parts = ragged(name), ragged(name, "tuesday", 4, seed=1)
    data = concatenate(*parts)
    build = lambda data: lfadsx.autonomous(data, likelihood=name, seed=0, **making.SIZES)  # noqa: E731
    model, alone = build(data), build(parts[1])
    check_fits(model, data)
    likelihood, readout, own = model.likelihood["spikes"], model.readout["spikes"], alone.readout["spikes"]
    if "gaussian" not in name and "squared_error" not in name:  # which take a static variance from the data
        assert nnx.graphdef(likelihood) == nnx.graphdef(alone.likelihood["spikes"])

    # Each channel starts at the mean of its own observed training data.
    trained, scored = data.train.targets["spikes"], scored_mask(data.train, data)
    for index, session in enumerate(data.sessions):
        rows, n = data.train.session == index, session.n_targets["spikes"]
        mean = trained[rows][:, :, :n].mean((0, 1), where=scored[rows][:, :, :n])
        bias = readout.bias[session.name][...] * readout.unit_of(index)
        half_a_count = 0.5 / scored[rows][:, :, :n].sum((0, 1)).min() if name in COUNTS else 0.0
        np.testing.assert_allclose(likelihood.mean(bias), mean, rtol=0.03, atol=1.01 * half_a_count + 1e-5)

    # The parameters, their number and the log likelihood of a trial of tuesday do not depend on monday.
    own.weight["tuesday"][...] = readout.weight["tuesday"][...]
    factors = jax.random.normal(jax.random.key(0), (1, 7, making.SIZES["factors"]))
    params, own_params = readout(factors, jnp.array([1]))[:, :, :4], own(factors, jnp.array([0]))
    values = jnp.asarray(parts[1].train.targets["spikes"][1:, :7])
    for f in (lambda p: likelihood.log_prob(p, values), likelihood.mean, likelihood.variance):
        np.testing.assert_allclose(f(params), f(own_params), rtol=1e-4, atol=1e-4)

    # Parameters that are constant are the same in all bins, but each channel has its own.
    spread, among = np.ptp(np.asarray(params), axis=(0, 1)), np.ptp(np.asarray(params), axis=2)
    varies = np.arange(likelihood.n_params) < likelihood.n_params - likelihood.n_constant
    np.testing.assert_array_equal(spread.max(0) > 0, varies)
    assert np.all(among > 0) or name == "zero_inflated_gamma"  # whose shapes start at 1
    assert readout.weight["monday"].shape == (making.SIZES["factors"], 6, varies.sum())


@pytest.mark.parametrize(
    ("name", "value", "must", "do"),
    [
        ("bernoulli", 3, "must be 0 or 1 in every bin for the likelihood Bernoulli, got 3", "Use shorter bins"),
        ("gamma", 0.0, "must be above 0 for the likelihood Gamma, got 0", "Use --likelihood zero_inflated_gamma"),
        (
            "log_normal",
            -2.5,
            "must be above 0 for the likelihood LogNormal, got -2.5",
            "gaussian_by_channel for data wi",
        ),
        ("zero_inflated_gamma", -1.0, "must be at least 0 for the likelihood ZeroInflatedGamma, got -1", "gaussian"),
    ],
)
def test_data_outside_of_the_support_are_named_before_training(name, value, must, do):
    trials = [values_for(name, np.random.default_rng(0), (n, 5)) for n in (9, 9, 7, 7)]
    trials[3][2, 4] = value  # the second validation trial
    data = ragged(name, values=trials)
    model = nnx.eval_shape(lambda: lfadsx.autonomous(data, likelihood=name, **making.SIZES))
    place = "in session 'monday', trial 3, bin 2, channel 4. "
    if not data.valid.target_observed["spikes"][1, 2, 4]:
        pytest.fail("the entry must be observed for this test")
    with pytest.raises(lfadsx.LfadsxError) as error:
        check_fits(model, data)
    assert must in str(error.value) and place in str(error.value) and do in str(error.value)
    # Where nothing is observed, any value may stand.
    data.valid.target_observed["spikes"][1, 2, 4] = False
    check_fits(model, data)


def test_an_own_threshold_of_events_is_part_of_the_support():
    data = ragged("gamma")
    model = nnx.eval_shape(
        lambda: lfadsx.autonomous(data, likelihood=ZeroInflatedGamma(loc=0.5), seed=0, **making.SIZES)
    )
    with pytest.raises(lfadsx.LfadsxError, match="must be 0 or above 0.5 .*, the first of .*Give a `loc` below"):
        check_fits(model, data)


# Comparison by log likelihood


def overdispersed(n_trials=40, n_channels=5):
    """Counts whose variance is 5 times their mean, which follows one sine."""
    rng = np.random.default_rng(0)
    rate = 2.0 * np.exp(0.5 * np.sin(np.linspace(0, 6, 10)))[None, :, None] * np.ones((n_trials, 1, n_channels))
    return from_arrays(rng.negative_binomial(0.5, 0.5 / (0.5 + rate)), bin_width=0.01)


def test_the_log_likelihood_of_hidden_entries_is_that_of_their_parameters():
    data = ragged("poisson")
    for name in ("poisson", "negative_binomial"):
        model = lfadsx.autonomous(data, likelihood=name, **making.SIZES)
        how = dict(n_masks=2, n_samples=1, seed=3)
        entries, hidden = lfadsx.masked_log_likelihood(model, data, "valid", **how)
        rates, also_hidden = lfadsx.masked_rates(model, data, "valid", **how)
        np.testing.assert_array_equal(hidden, also_hidden)
        assert hidden.any() and not entries[~hidden].any()
        counts = data.valid.targets["spikes"]
        if name == "poisson":
            expected = stats.poisson.logpmf(counts, rates)
        else:
            size = np.exp(np.pad(model.readout["spikes"].bias["monday"][...][:, 1], (0, counts.shape[2] - 6)))
            expected = stats.nbinom.logpmf(counts, size, size / (size + rates))
        np.testing.assert_allclose(entries[hidden], expected[hidden], rtol=1e-4)
    averaged, _ = lfadsx.masked_log_likelihood(model, data, "valid", n_masks=2, n_samples=4, seed=3)
    assert np.all(np.isfinite(averaged)) and np.any(averaged != entries)


@pytest.mark.slow
def test_a_sweep_compares_likelihoods_by_the_log_likelihood_of_hidden_entries(tmp_path, capsys):
    file = str(write_dataset(tmp_path / "day.h5", overdispersed())[0])
    sizes = [f"--{name.replace('_', '-')}={value}" for name, value in making.SIZES.items() if name != "readin_dim"]
    words = ["--variant", "autonomous", "--seeds", "1", "--epochs", "100", "--batch-size", "8", "--samples", "4"]
    words += ["--kl-ramp-epochs", "1", "--l2-ramp-epochs", "1", "--learning-rate", "0.02", "--devices", "1"]
    sizes = [word for word in sizes if not word.startswith("--inferred")]
    out = tmp_path / "sweep"
    command = ["sweep", file, "--out", str(out), "--likelihood", "poisson,negative_binomial", *sizes, *words]
    assert cli.main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out.strip().splitlines()[-1])["chosen"] == {"likelihood": "negative_binomial"}
    assert "masked_nats" in captured.err
    found = json.loads((out / "sweep.json").read_text())
    poisson, negative_binomial = (row["masked_nats"] for row in found["models"])
    assert found["measure"] == "masked_nats" and poisson + 0.2 < negative_binomial < 0
    model = lfadsx.load(out / "chosen")
    assert isinstance(model.likelihood["spikes"], NegativeBinomial)
    size = np.exp(np.asarray(model.readout["spikes"].bias["day"][...])[:, 1])
    np.testing.assert_allclose(size, 0.5, rtol=0.4)  # the simulation has 0.5; training starts at 2.5
    run = json.loads((out / "chosen" / "run.json").read_text())
    assert "NegativeBinomial" in json.dumps(run)


def test_likelihoods_of_different_kinds_of_data_are_not_compared(tmp_path):
    check_likelihoods(("poisson", "bernoulli", "zero_inflated_poisson"))
    check_likelihoods(("gaussian", "gamma", "log_normal", "squared_error"))
    for pair in (("poisson", "gaussian"), ("gamma", "zero_inflated_gamma")):
        with pytest.raises(lfadsx.LfadsxError, match=f"one kind of data in a sweep, got {', '.join(pair)}: .*Compare"):
            lfadsx.sweep(overdispersed(10), tmp_path / "out", sizes={"likelihood": pair})


def test_a_constant_parameter_may_follow_the_factors():
    for constant, n_varying in ((True, 1), (False, 2)):
        model = lfadsx.autonomous(ragged("poisson"), likelihood=NegativeBinomial(constant=constant), **making.SIZES)
        assert model.readout["spikes"].weight["monday"].shape[-1] == n_varying


# Several target groups


def with_muscles():
    """Spikes, licks and rectified EMG of the same trials; the encoder sees the spikes."""
    rng = np.random.default_rng(0)
    spikes, licks = (rng.poisson(1.0, (12, 8, n)) for n in (5, 1))
    emg, calcium = rng.gamma(2.0, 1.0, (12, 8, 2)), values_for("zero_inflated_gamma", rng, (12, 8, 3))
    return from_arrays(spikes, other_targets={"emg": emg, "licks": licks, "calcium": calcium}, bin_width=0.02)


def test_each_target_group_has_a_likelihood_of_its_own(tmp_path, capsys):
    file = str(write_dataset(tmp_path / "day.h5", with_muscles())[0])
    sizes = [f"--{name.replace('_', '-')}={v}" for name, v in making.SIZES.items() if not name.startswith("inferred")]
    words = ["--variant", "autonomous", "--epochs", "1", "--samples", "2", "--devices", "1", "--no-figures"]
    words += ["--likelihood", "negative_binomial", "--other-likelihoods", "emg=gamma", "calcium=zero_inflated_gamma"]
    assert cli.main(["fit", file, "--out", str(tmp_path / "run"), *sizes, *words]) == 0, capsys.readouterr().err
    model = lfadsx.load(tmp_path / "run")
    expected = dict(spikes="negative_binomial", emg="gamma", licks="poisson", calcium="zero_inflated_gamma")
    assert {group: type(part) for group, part in model.likelihood.items()} == {
        group: LIKELIHOODS[name] for group, name in expected.items()
    }
    found = lfadsx.read_posterior(tmp_path / "run" / "posterior.h5")
    for group, values in with_muscles().train.targets.items():  # after one step still near the start, the mean
        np.testing.assert_allclose(found.rates[group].mean((0, 1)), values.mean((0, 1)), rtol=0.1)
    assert set(found.variance) == {"spikes", "emg", "calcium"}  # that of Poisson counts is their rate


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("emg=gama",), "`other_likelihoods` must hold GROUP=NAME .*, got 'emg=gama' .did you mean 'gamma'"),
        (("gamma",), "must hold GROUP=NAME .*, got 'gamma'"),
        (("eng=gamma",), "`other_likelihoods` must name target groups of the data, .* got 'eng' .did you mean 'emg'"),
        (("spikes=poisson",), "must name target groups other than 'spikes'.*Give .* as `likelihood`"),
    ],
)
def test_wrong_names_of_groups_and_likelihoods_are_said(pairs, message):
    with pytest.raises(lfadsx.LfadsxError, match=message):
        lfadsx.autonomous(with_muscles(), other_likelihoods=pairs, **making.SIZES)
