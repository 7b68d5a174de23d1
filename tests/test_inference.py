"""Inference: averages over posterior samples, posterior means, and rates of hidden entries."""

import dataclasses

import jax
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.data.splits import choose
from lfadsx.inference import infer, memory
from lfadsx.inference import masked as hidden_entries
from lfadsx.inference import posterior as posterior_module
from lfadsx.random import derive
from lfadsx.training import make_mesh

N_SAMPLES = 6
TIMED = ("factors", "generator_states", "inputs", "input_mean", "input_std", "controller_states", "encoding")


def close(ours, theirs, tolerance=3e-6):
    """Within a tolerance relative to the largest entry, NaN in the same places."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * np.nanmax(np.abs(theirs)))


@pytest.fixture(scope="module")
def data():
    """Two ragged sessions with known inputs; ids of the trials are the user's."""
    data = making.several_sessions(known=2)
    valid = dataclasses.replace(data.valid, trial_id=np.array([70, 10, 40, 20]))
    return dataclasses.replace(data, valid=valid)


@pytest.fixture(scope="module")
def model(data):
    return making.build(data, variant="external_input")


@pytest.fixture(scope="module")
def posterior(model, data):
    return lfadsx.posterior_sample_and_average(model, data, "valid", n_samples=N_SAMPLES, seed=3, samples=True)


@pytest.fixture(scope="module")
def outputs(model, data):
    """Every sample, from one call of the whole model after another."""
    batch, (graphdef, state) = batch_of(data, "valid"), nnx.split(model)

    @jax.jit
    def one(state, key, batch):
        model = nnx.merge(graphdef, state)
        return model(batch, model.draw(key, batch))

    keys = [derive(jax.random.key(3), number) for number in range(N_SAMPLES)]
    return [one(state, key, batch) for key in keys]


def outside(data, split="valid"):
    """True for bins after a trial's end, with an axis for channels."""
    chosen = data.splits[split]
    return (np.arange(chosen.n_bins) >= chosen.target_length[:, None])[..., None]


def absent(data, split="valid"):
    """True for entries of the targets after a trial's end or of channels that its session lacks."""
    chosen = data.splits[split]
    n_targets = np.array([data.sessions[i].n_targets["spikes"] for i in chosen.session])
    channels = np.arange(chosen.targets["spikes"].shape[2]) >= n_targets[:, None]
    return outside(data, split) | channels[:, None]


def assert_equal(left, right, tolerance=0.0):
    """Compares posteriors field by field, NaN included."""
    for field in dataclasses.fields(left):
        one, two = getattr(left, field.name), getattr(right, field.name)
        assert jax.tree.structure(one) == jax.tree.structure(two), field.name
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            if isinstance(x, np.ndarray) and tolerance:
                close(x, y, tolerance)
            else:
                np.testing.assert_array_equal(x, y, err_msg=field.name)


# Averages


@pytest.mark.parametrize(("n_samples", "samples"), [(N_SAMPLES, True), (0, False)])
@pytest.mark.parametrize("n_trials", [1, 3, 4])
def test_trials_spread_over_two_devices_are_inferred_as_on_one(model, data, n_samples, samples, n_trials):
    trials, mesh = choose(data.valid, np.arange(n_trials)), make_mesh(2)
    one, two = (infer(model, data.sessions, trials, n_samples, 3, samples=samples, mesh=of) for of in (None, mesh))
    assert two.trial_id.shape == (n_trials,)
    assert_equal(two, one, 3e-6)


@pytest.fixture
def meshes(monkeypatch):
    """The meshes of all inferences of a test."""
    found, original = [], posterior_module.summariser
    monkeypatch.setattr(posterior_module, "summariser", lambda mesh: found.append(mesh) or original(mesh))
    return found


def test_averages_and_means_use_the_devices_of_a_mesh(model, data, meshes):
    mesh = make_mesh(2)
    for of in (lfadsx.posterior_sample_and_average, lfadsx.posterior_mean):
        one, two = of(model, data, "valid"), of(model, data, "valid", mesh=mesh)
        assert_equal(two, one, 3e-6)
    assert meshes == [None, mesh] * 2


def test_averages_are_those_of_a_plain_loop(model, data, posterior, outputs):
    likelihood, prior = model.likelihood["spikes"], model.decoder.input_prior

    def stacked(of):
        return np.stack([np.asarray(of(output), np.float64) for output in outputs])

    samples = {
        "factors": stacked(lambda o: o.factors),
        "generator_states": stacked(lambda o: o.generator_states),
        "inputs": stacked(lambda o: o.inputs),
        "input_mean": stacked(lambda o: prior.posterior_mean(o.input_params)),
        "input_std": stacked(lambda o: prior.posterior_std(o.input_params)),
        "controller_states": stacked(lambda o: o.controller_states),
        "encoding": stacked(lambda o: o.encoding),
    }
    assert set(samples) == set(TIMED)
    for name, values in samples.items():
        close(getattr(posterior, name), np.where(outside(data), np.nan, values.mean(0)))
    close(posterior.inputs_std, np.where(outside(data), np.nan, samples["inputs"].std(0)), 2e-5)
    assert np.nanmin(posterior.inputs_std) > 0

    rates = stacked(lambda o: likelihood.mean(o.params["spikes"]))
    close(posterior.rates["spikes"], np.where(absent(data), np.nan, rates.mean(0)))
    close(posterior.rates_std["spikes"], np.where(absent(data), np.nan, rates.std(0)), 2e-5)
    for name in ("initial_condition", "initial_state"):
        close(getattr(posterior, name), stacked(lambda o, name=name: getattr(o, name)).mean(0))
    params = outputs[0].ic_params
    close(posterior.ic_mean, model.ic_prior.posterior_mean(params))
    close(posterior.ic_std, model.ic_prior.posterior_std(params))
    close(posterior.log_rates(), np.log(posterior.rates["spikes"]))


def test_single_samples_are_those_averaged(model, data, posterior, outputs):
    assert set(posterior.samples) == {"rates", "factors", "inputs"}
    assert posterior.samples["rates"].shape == (N_SAMPLES, 4, 9, 6)
    likelihood = model.likelihood["spikes"]
    for number, output in enumerate(outputs):
        rates = likelihood.mean(output.params["spikes"])
        close(posterior.samples["rates"][number], np.where(absent(data), np.nan, rates))
        close(posterior.samples["factors"][number], np.where(outside(data), np.nan, output.factors))
        close(posterior.samples["inputs"][number], np.where(outside(data), np.nan, output.inputs))
    close(posterior.samples["rates"].mean(0), posterior.rates["spikes"])
    close(posterior.samples["rates"].std(0), posterior.rates_std["spikes"], 2e-5)
    assert np.nanmin(posterior.rates_std["spikes"]) > 0


def test_what_a_posterior_says_of_itself(data, posterior):
    np.testing.assert_array_equal(posterior.trial_id, [70, 10, 40, 20])
    np.testing.assert_array_equal(posterior.session, [0, 0, 1, 1])
    np.testing.assert_array_equal(posterior.length, data.valid.target_length)
    assert (posterior.n_samples, posterior.seed) == (N_SAMPLES, 3)
    timed = {name: getattr(posterior, name) for name in TIMED}
    for name, values in timed.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(outside(data), values.shape), name)
    np.testing.assert_array_equal(np.isnan(posterior.rates["spikes"]), absent(data))
    assert 0 < absent(data).mean() < 0.5


def test_memory_changes_nothing(model, data, posterior, monkeypatch):
    assert memory.chunks(model, data.valid, N_SAMPLES, memory.MEMORY, True, 1) == (4, 1)
    monkeypatch.setattr(memory, "_limits", lambda: (256, 512))  # those of a GPU
    found = set()
    for size, samples in ((1e-6, True), (0.013, False), (0.04, False)):
        found.add(memory.chunks(model, data.valid, N_SAMPLES, size, samples, 1))
        small = lfadsx.posterior_sample_and_average(
            model, data, "valid", n_samples=N_SAMPLES, seed=3, memory=size, samples=samples
        )
        assert_equal(small, posterior if samples else dataclasses.replace(posterior, samples={}), 2e-5)
    # One trial and sample at a time, and other ways between that and all at once.
    assert len(found) == 3 and (1, 1) in found
    assert memory.chunks(model, data.valid, N_SAMPLES, memory.MEMORY, True, 1) == (4, N_SAMPLES)


def test_samples_depend_on_seed_and_trial_alone(model, data, posterior):
    few = choose(data.valid, np.array([True, True, False, False]))
    part = infer(model, data.sessions, few, N_SAMPLES, 3)
    close(part.factors, posterior.factors[:2])
    other = infer(model, data.sessions, few, N_SAMPLES, 4)
    assert np.all((other.factors != part.factors)[~np.isnan(part.factors)])


# Means


def test_posterior_mean_is_the_model_without_noise(model, data):
    mean = lfadsx.posterior_mean(model, data, "valid")
    output = making.forward(model)(batch_of(data, "valid"))
    for name in ("factors", "generator_states", "inputs", "controller_states", "encoding"):
        close(getattr(mean, name), np.where(outside(data), np.nan, getattr(output, name)))
    rates = np.exp(np.asarray(output.params["spikes"])[..., 0])
    close(mean.rates["spikes"], np.where(absent(data), np.nan, rates))
    close(mean.initial_condition, output.initial_condition)
    close(mean.ic_mean, output.initial_condition)
    np.testing.assert_array_equal(mean.input_mean, mean.inputs)
    assert np.nanmax(mean.rates_std["spikes"]) == np.nanmax(mean.inputs_std) == 0
    assert mean.n_samples == 0 and mean.samples == {}


def test_trials_come_back_in_the_order_of_the_input(model, data):
    mean = lfadsx.posterior_mean(model, data, "valid")
    order = np.array([2, 0, 3, 1])
    turned = jax.tree.map(
        lambda x: x[order], {f.name: getattr(data.valid, f.name) for f in dataclasses.fields(data.valid)}
    )
    turned = dataclasses.replace(data, valid=dataclasses.replace(data.valid, **turned))
    again = lfadsx.posterior_mean(model, turned, "valid")
    np.testing.assert_array_equal(again.trial_id, [40, 70, 20, 10])
    np.testing.assert_array_equal(again.session, mean.session[order])
    close(again.factors, mean.factors[order])
    close(again.rates["spikes"], mean.rates["spikes"][order])


def test_many_samples_tend_to_the_posterior_of_the_initial_condition(model, data):
    n = 400
    many = lfadsx.posterior_sample_and_average(model, data, "valid", n_samples=n, memory=2)
    assert np.all(np.abs(many.initial_condition - many.ic_mean) < 5 * many.ic_std / np.sqrt(n))


def test_a_model_without_controller_has_no_inputs(data):
    model = making.build(data, variant="autonomous")
    for posterior in (
        lfadsx.posterior_mean(model, data, "valid"),
        lfadsx.posterior_sample_and_average(model, data, "valid", n_samples=2, samples=True),
    ):
        fields = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding")
        assert all(getattr(posterior, name) is None for name in fields)
        assert "inputs" not in posterior.samples and np.all(np.isfinite(posterior.initial_condition))


# Hidden entries


def held_in(data, split="valid"):
    """True for target entries that the encoder sees, by a plain loop."""
    chosen = data.splits[split]
    found = np.zeros(chosen.targets["spikes"].shape, bool)
    for trial in range(chosen.n_trials):
        session = data.sessions[chosen.session[trial]]
        for channel, target in enumerate(session.target_index):
            for t in range(chosen.encoder_length[trial]):
                found[trial, t, target] = chosen.encoder_observed[trial, t, channel]
    return found


def masked(model, data, **changes):
    return lfadsx.masked_rates(model, data, "valid", **(dict(n_masks=3, n_samples=2, seed=1) | changes))


def test_every_held_in_entry_is_hidden_once(model, data, monkeypatch):
    rates, hidden = masked(model, data)
    np.testing.assert_array_equal(hidden, held_in(data))
    assert np.all(rates[hidden] > 0) and 0.2 < hidden.mean() < 0.8

    ones = dataclasses.replace(data.valid, encoder_input=np.ones_like(data.valid.encoder_input))
    seen = []

    def spy(model, sessions, split, *args, **names):
        seen.append(split.encoder_input)
        return original(model, sessions, split, *args, **names)

    original = hidden_entries.infer
    monkeypatch.setattr(hidden_entries, "infer", spy)
    masked(model, dataclasses.replace(data, valid=ones))
    seen = np.stack(seen)
    assert len(seen) == 3
    assert np.all((seen == 0).sum(0) == 1) and np.all(seen[seen != 0] == np.float32(1.5))
    assert np.all(np.abs((seen == 0).mean((1, 2, 3)) - 1 / 3) < 0.15)


def test_hidden_entries_spread_over_two_devices_are_inferred_as_on_one(model, data, meshes):
    mesh = make_mesh(2)
    rates, hidden = masked(model, data)
    rates_of_two, hidden_of_two = masked(model, data, mesh=mesh)
    close(rates_of_two, rates)
    np.testing.assert_array_equal(hidden_of_two, hidden)
    assert meshes == [None] * 3 + [mesh] * 3


def test_hidden_entries_get_the_rate_inferred_without_them(model, data):
    rates, hidden = masked(model, data, n_samples=3)
    # The same parts, with the draw that the function documents: one number for every encoder entry.
    part = np.random.default_rng(1).integers(3, size=data.valid.encoder_input.shape)
    kept = np.where(part == 0, 0, data.valid.encoder_input * 1.5).astype(np.float32)
    alone = infer(model, data.sessions, dataclasses.replace(data.valid, encoder_input=kept), 3, 1).rates["spikes"]
    found = 0
    for trial, t, channel in zip(*np.nonzero(part == 0), strict=True):
        session = data.sessions[data.valid.session[trial]]
        if channel < session.n_channels and hidden[trial, t, session.target_index[channel]]:
            target = session.target_index[channel]
            np.testing.assert_allclose(rates[trial, t, target], alone[trial, t, target], rtol=1e-5)
            found += 1
    assert found > 10


def test_a_hidden_value_does_not_reach_its_own_rate(model, data):
    rates, hidden = masked(model, data)
    channels = np.arange(data.valid.encoder_input.shape[2])
    own = channels < np.array([data.sessions[i].n_channels for i in data.valid.session])[:, None]
    seen = np.argwhere(data.valid.encoder_observed & own[:, None])
    for trial, t, channel in seen[:: len(seen) // 4]:
        target = data.sessions[data.valid.session[trial]].target_index[channel]
        changed = data.valid.encoder_input.copy()
        changed[trial, t, channel] += 5
        changed = dataclasses.replace(data.valid, encoder_input=changed)
        other, _ = masked(model, dataclasses.replace(data, valid=changed))
        assert hidden[trial, t, target] and other[trial, t, target] == rates[trial, t, target]
        # It does reach the rates of entries that are hidden at another time.
        assert np.mean((other != rates)[trial][hidden[trial]]) > 0.3
        np.testing.assert_array_equal(np.delete(other, trial, 0), np.delete(rates, trial, 0))


# What is wrong is said


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, d: lfadsx.posterior_sample_and_average(m, d, "valid", n_samples=0),
            "n_samples = 0 is no number of samples. Give at least 1, or use posterior_mean",
        ),
        (lambda m, d: lfadsx.posterior_mean(m, d), r"no split 'test', only \['train', 'valid'\]"),
        (lambda m, d: lfadsx.posterior_sample_and_average(m, d, "validation"), "no split 'validation'"),
        (lambda m, d: lfadsx.masked_rates(m, d, "tset"), "no split 'tset'"),
        (lambda m, d: lfadsx.masked_rates(m, d, "valid", n_masks=1), "n_masks = 1"),
    ],
)
def test_what_cannot_be_inferred_is_named(model, data, call, message):
    with pytest.raises(ValueError, match=message):
        call(model, data)
