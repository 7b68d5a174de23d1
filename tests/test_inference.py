"""Inference: averages over posterior samples, posterior means, and rates of hidden entries."""

import dataclasses
import importlib
import re
import sys

import jax
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.data.splits import choose
from lfadsx.errors import LfadsxError, MissingExtraError
from lfadsx.inference import infer_trials, memory
from lfadsx.inference import masked as hidden_entries
from lfadsx.inference.posterior_inference import _summarise
from lfadsx.parallel import make_mesh
from lfadsx.random import derive
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import join_posteriors
from lfadsx.types import TargetGroup, TimeAxis

N_SAMPLES = 6
TIMED = ("factors", "generator_states", "inputs", "input_mean", "input_std", "controller_states", "encoding")


def close(ours, theirs, tolerance=3e-6):
    """Within a tolerance relative to the largest entry, NaN in the same places."""
    theirs = np.asarray(theirs)
    if theirs.dtype.kind == "U":
        np.testing.assert_array_equal(ours, theirs)
        return
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
    return lfadsx.infer(model, data, "valid", n_samples=N_SAMPLES, seed=3, samples=True)


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
@pytest.mark.parametrize("n_trials", making.each([1, 3, 4], 3))
def test_trials_spread_over_two_devices_are_inferred_as_on_one(model, data, n_samples, samples, n_trials):
    trials, mesh = choose(data.valid, np.arange(n_trials)), make_mesh(2)
    one, two = (
        infer_trials(model, Labels.of(data), trials, n_samples, 3, samples=samples, mesh=of) for of in (None, mesh)
    )
    assert two.trial_id.shape == (n_trials,)
    assert_equal(two, one, 3e-6)


@pytest.fixture
def meshes(monkeypatch):
    """The meshes of all inferences of a test."""
    module = importlib.import_module("lfadsx.inference.posterior_inference")
    found, original = [], module.map_trials

    def spy(*arguments, mesh, **settings):
        found.append(mesh)
        return original(*arguments, mesh=mesh, **settings)

    monkeypatch.setattr(module, "map_trials", spy)
    return found


def test_averages_and_means_use_the_devices_of_a_mesh(model, data, meshes):
    mesh = make_mesh(2)
    for n_samples in (2, 0):
        one, two = (lfadsx.infer(model, data, n_samples=n_samples, mesh=of) for of in (None, mesh))
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


@pytest.mark.slow
def test_memory_changes_nothing(model, data, posterior, monkeypatch):
    assert memory.chunks(model, data.valid, N_SAMPLES, memory.MEMORY, True, 1) == (4, 1)
    monkeypatch.setattr(memory, "_limits", lambda: (256, 512))  # those of a GPU
    found = set()
    for size, samples in ((1e-6, True), (0.013, False), (0.04, False)):
        found.add(memory.chunks(model, data.valid, N_SAMPLES, size, samples, 1))
        small = lfadsx.infer(model, data, "valid", n_samples=N_SAMPLES, seed=3, memory=size, samples=samples)
        assert_equal(small, posterior if samples else dataclasses.replace(posterior, samples={}), 2e-5)
    # One trial and sample at a time, and other ways between that and all at once.
    assert len(found) == 3 and (1, 1) in found
    assert memory.chunks(model, data.valid, N_SAMPLES, memory.MEMORY, True, 1) == (4, N_SAMPLES)


def test_samples_depend_on_seed_and_trial_alone(model, data, posterior):
    few = choose(data.valid, np.array([True, True, False, False]))
    part = infer_trials(model, Labels.of(data), few, N_SAMPLES, 3)
    close(part.factors, posterior.factors[:2])
    other = infer_trials(model, Labels.of(data), few, N_SAMPLES, 4)
    assert np.all((other.factors != part.factors)[~np.isnan(part.factors)])


# Labels


def test_a_posterior_knows_its_trials_bins_and_channels(model, data):
    names = dataclasses.replace(data.sessions[0], channel_names={"spikes": ("a", "b", "c", "d", "e", "f")})
    behaviour = np.ones((4, data.valid.n_bins, 2), np.float32)
    valid = dataclasses.replace(data.valid, condition=np.array(["left", "", "left", "up"]), behaviour=behaviour)
    told = dataclasses.replace(
        data,
        valid=valid,
        sessions=(names, data.sessions[1]),
        time=TimeAxis(0.02),
        behaviour_lag=0.1,
        source={"file": 1},
    )
    post = lfadsx.infer(model, told, n_samples=2)
    assert (post.split, post.sessions, post.input_group) == ("valid", ("monday", "tuesday"), "spikes")
    assert post.groups == {"spikes": TargetGroup("counts", "counts per bin")}
    assert (post.time.bin_width, post.behaviour_lag, post.behaviour_name) == (0.02, 0.1, "velocity")
    assert post.version == lfadsx.__version__ and post.source == {"file": 1}
    np.testing.assert_array_equal(post.condition, valid.condition)
    np.testing.assert_array_equal(post.behaviour, behaviour)
    np.testing.assert_array_equal(post.channel_names, [["a", "b", "c", "d", "e", "f"], [""] * 6])
    np.testing.assert_array_equal(np.flatnonzero(post.held_out[0]), [1, 4])
    np.testing.assert_array_equal(np.flatnonzero(post.held_out[1]), [1])  # of 4 neurons; the padding is not held out
    np.testing.assert_allclose(post.times, 0.02 * (np.arange(9) + 0.5))
    np.testing.assert_array_equal(post.rates_hz(), post.rates["spikes"] / 0.02)


def test_the_split_is_the_test_if_there_is_one_else_valid(model, data):
    assert lfadsx.infer(model, data, n_samples=0).split == "valid"
    tested = dataclasses.replace(data, test=data.train)
    post = lfadsx.infer(model, tested, n_samples=0)
    assert post.split == "test"
    np.testing.assert_array_equal(post.trial_id, data.train.trial_id)


def test_all_trials_come_in_the_order_of_the_input():
    data = making.one_session()
    post = lfadsx.infer(making.build(data, variant="autonomous"), data, "all", n_samples=0)
    assert post.split == "all"
    np.testing.assert_array_equal(post.trial_id, np.arange(6))
    train = lfadsx.infer(making.build(data, variant="autonomous"), data, "train", n_samples=0)
    close(post.factors[::2], train.factors)


def test_joined_posteriors_are_padded_and_sorted(posterior):
    short = {name: getattr(posterior, name)[:2, :7] for name in TIMED}
    short |= {name: {"spikes": getattr(posterior, name)["spikes"][:2, :7]} for name in ("rates", "rates_std")}
    short |= {name: getattr(posterior, name)[:2] for name in ("trial_id", "session", "length", "initial_condition")}
    short |= {"samples": {name: values[:, :2, :7] for name, values in posterior.samples.items()}, "n_samples": 2}
    first = dataclasses.replace(posterior, row=np.array([5, 1, 0, 7]))
    joined = join_posteriors([first, dataclasses.replace(posterior, **short, row=np.array([3, 0]))])
    # Both sessions are in the order of the input; the trials of the second posterior are of the first session.
    np.testing.assert_array_equal(joined.trial_id, [10, 10, 70, 70, 40, 20])
    np.testing.assert_array_equal(joined.session, [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(joined.factors[3], posterior.factors[0])
    assert np.isnan(joined.factors[0, 7:]).all()
    np.testing.assert_array_equal(joined.samples["factors"][:, 0, :7], posterior.samples["factors"][:, 1, :7])
    assert (joined.split, joined.n_samples) == ("all", 2) and joined.held_out is posterior.held_out


def test_rates_in_hz_need_counts_and_a_bin_width(posterior):
    with pytest.raises(LfadsxError, match="Rates in Hz need the width of a bin, which is unknown. Give the data set"):
        posterior.rates_hz()
    with pytest.raises(LfadsxError, match="`group` must be one of 'spikes', got 'spike' .did you mean 'spikes'"):
        posterior.rates_hz("spike")
    real = dataclasses.replace(posterior, groups={"spikes": TargetGroup("real", "mV")})
    for of, what in ((real.rates_hz, "Rates in Hz"), (real.log_rates, "Log rates")):
        with pytest.raises(LfadsxError, match=f"{what} need data that are counts, but those of 'spikes' are real"):
            of()


def test_only_real_numbers_have_a_variance(posterior):
    assert posterior.variance == {}
    data = making.one_session(likelihood="gaussian")
    post = lfadsx.infer(making.build(data, likelihood="gaussian", variant="autonomous"), data, n_samples=2)
    assert post.groups["spikes"].kind == "real" and np.all(post.variance["spikes"] > 0)


def test_the_repr_is_short(posterior):
    lines = repr(posterior).splitlines()
    assert lines[0] == "Posterior of 4 trials, split 'valid'" and "  sessions: monday, tuesday" in lines
    assert "  time: 7 to 9 bins of unknown width (trial start)" in lines
    assert "  rates['spikes']: (4, 9, 6) counts, counts per bin" in lines
    many = {f"group{i}": posterior.rates["spikes"] for i in range(30)}
    crowded = dataclasses.replace(posterior, rates=many, sessions=tuple(map(str, range(99))), condition=np.ones(4))
    assert len(repr(crowded).splitlines()) <= 20 and "0, 1, 2, 3 and 95 more" in repr(crowded)


def test_an_xarray_has_dimensions_coordinates_and_units(posterior):
    xarray = pytest.importorskip("xarray")
    names = np.array([["a", "b", "c", "d", "e", "f"], ["g", "h", "i", "j", "", ""]])
    told = dataclasses.replace(
        posterior, time=TimeAxis(0.02, -0.1, "go cue"), channel_names=names, condition=np.array([3, 1, 3, 2])
    )
    found = told.to_xarray()
    assert found.rates_hz.dims == ("trial", "time", "channel") and found.rates_hz.attrs["unit"] == "Hz"
    assert found.factors.dims == ("trial", "time", "factor") and found.factors.attrs["description"] == "Factors"
    np.testing.assert_allclose(found.time, -0.1 + 0.02 * (np.arange(9) + 0.5))
    assert found.time.attrs["unit"] == "s" and "go cue" in found.time.attrs["description"]
    np.testing.assert_array_equal(found.rates_counts.sel(trial=found.trial_id == 10)[0], posterior.rates["spikes"][1])
    assert np.isnan(found.factors.isel(trial=1, time=8)).all()
    assert found.session.values.tolist() == ["monday"] * 2 + ["tuesday"] * 2
    assert found.channel_name.isel(trial=2).values.tolist() == names[1].tolist()
    np.testing.assert_array_equal(found.held_out.isel(trial=0), posterior.held_out[0])
    assert found.attrs["split"] == "valid" and found.attrs["bin_width_s"] == 0.02
    assert found.groupby("condition").mean().sizes["condition"] == 3

    emg = posterior.rates["spikes"][..., :2]
    one = dataclasses.replace(
        told,
        rates=told.rates | {"emg": emg},
        groups=told.groups | {"emg": TargetGroup("real", "mV")},
        sessions=("monday",),
        session=np.zeros(4, int),
        held_out=posterior.held_out[:1],
        channel_names=names[:1],
    ).to_xarray()
    assert one.emg_rates.dims == ("trial", "time", "emg_channel") and one.emg_rates.attrs["unit"] == "mV"
    np.testing.assert_array_equal(
        one.rates_counts.sel(channel=one.channel_name == "c")[..., 0], told.rates["spikes"][..., 2]
    )
    assert isinstance(one, xarray.Dataset)


def test_without_xarray_the_extra_is_named(posterior, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "lfadsx[xarray]"')):
        posterior.to_xarray()


# Means


def test_posterior_mean_is_the_model_without_noise(model, data):
    mean = lfadsx.infer(model, data, "valid", n_samples=0)
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
    mean = lfadsx.infer(model, data, "valid", n_samples=0)
    order = np.array([2, 0, 3, 1])
    turned = jax.tree.map(
        lambda x: x[order], {f.name: getattr(data.valid, f.name) for f in dataclasses.fields(data.valid)}
    )
    turned = dataclasses.replace(data, valid=dataclasses.replace(data.valid, **turned))
    again = lfadsx.infer(model, turned, "valid", n_samples=0)
    np.testing.assert_array_equal(again.trial_id, [40, 70, 20, 10])
    np.testing.assert_array_equal(again.session, mean.session[order])
    close(again.factors, mean.factors[order])
    close(again.rates["spikes"], mean.rates["spikes"][order])


def test_many_samples_tend_to_the_posterior_of_the_initial_condition(model, data):
    n = 400
    many = lfadsx.infer(model, data, "valid", n_samples=n, memory=2)
    assert np.all(np.abs(many.initial_condition - many.ic_mean) < 5 * many.ic_std / np.sqrt(n))


def test_a_model_without_controller_has_no_inputs(data):
    model = making.build(data, variant="autonomous")
    for posterior in (
        lfadsx.infer(model, data, "valid", n_samples=0),
        lfadsx.infer(model, data, "valid", n_samples=2, samples=True),
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


@pytest.mark.slow
def test_every_held_in_entry_is_hidden_once(model, data, monkeypatch):
    rates, hidden = masked(model, data)
    np.testing.assert_array_equal(hidden, held_in(data))
    assert np.all(rates[hidden] > 0) and 0.2 < hidden.mean() < 0.8

    ones = dataclasses.replace(data.valid, encoder_input=np.ones_like(data.valid.encoder_input))
    seen = []

    def spy(model, labels, trials, *args, **names):
        seen.append(trials.encoder_input)
        return original(model, labels, trials, *args, **names)

    original = hidden_entries.infer_trials
    monkeypatch.setattr(hidden_entries, "infer_trials", spy)
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
    alone = infer_trials(model, Labels.of(data), dataclasses.replace(data.valid, encoder_input=kept), 3, 1).rates[
        "spikes"
    ]
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
        (lambda m, d: lfadsx.infer(m, d, n_samples=-1), "`n_samples` must be at least 0, got -1"),
        (
            lambda m, d: lfadsx.infer(m, d, "test"),
            "`split` must be one of 'train', 'valid', 'all', got 'test'.",
        ),
        (lambda m, d: lfadsx.infer(m, d, "validation"), "got 'validation' (did you mean 'valid'?)"),
        (lambda m, d: lfadsx.masked_rates(m, d, "trian"), "got 'trian' (did you mean 'train'?)"),
        (lambda m, d: lfadsx.masked_rates(m, d, "valid", n_masks=1), "`n_masks` must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_inferred_is_named(model, data, call, message):
    with pytest.raises(LfadsxError, match=re.escape(message)):
        call(model, data)


def test_splits_numbers_of_samples_and_masks_share_one_program(model, data):
    lfadsx.infer(model, data, "train", n_samples=4)
    compiled = memory._compiled(_summarise, None)
    n_programs = compiled._cache_size()
    lfadsx.infer(model, data, "valid", n_samples=8)
    lfadsx.inference.masked_rates(model, data, "valid", n_samples=2)
    assert compiled._cache_size() == n_programs
