"""Alignments of sessions: in files, and as the start of read-ins and read-outs."""

import dataclasses

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from making import SIZES, several_sessions

import lfadsx
from lfadsx.data import concatenate, from_arrays, read, write_dataset
from lfadsx.errors import DataError
from lfadsx.models.initialization import initialise

N_COMPONENTS = 3
WIDTHS = {**SIZES, "readin_dim": 0, "factors": N_COMPONENTS}


def build(data, **changes):
    """A tiny model as it starts."""
    return lfadsx.build(data, rngs=nnx.Rngs(0), **(WIDTHS | changes))


def with_alignment(data, n_components=N_COMPONENTS, scale=1.0, bias=True):
    """The data with a random alignment of every session."""
    rng = np.random.default_rng(5)
    sessions = tuple(
        dataclasses.replace(
            session,
            alignment=scale * rng.standard_normal((session.n_channels, n_components)),
            alignment_bias=rng.random(session.n_channels) if bias else None,
        )
        for session in data.sessions
    )
    return dataclasses.replace(data, sessions=sessions)


@pytest.fixture(scope="module")
def data():
    """Two sessions of 6 and 4 neurons, some held out and out of order, with an alignment of 3 components."""
    return with_alignment(several_sessions())


@pytest.fixture(scope="module")
def model(data):
    """A tiny model of the aligned sessions as it starts."""
    return build(data)


# Files


def test_round_trip_through_files(tmp_path, data):
    files = write_dataset(tmp_path, data)
    with h5py.File(files[0]) as file:
        assert file["alignment_matrix_cxf"].shape == (data.sessions[0].n_channels, N_COMPONENTS)
    for session, again in zip(data.sessions, read(*files).sessions, strict=True):
        np.testing.assert_array_equal(again.alignment, session.alignment)
        np.testing.assert_array_equal(again.alignment_bias, session.alignment_bias)


def test_files_without_alignment_or_bias(tmp_path):
    (session,) = read(*_one_file(tmp_path, {})).sessions
    assert session.alignment is None and session.alignment_bias is None and session.n_components == 0
    (session,) = read(*_one_file(tmp_path, {"alignment_matrix_cxf": np.ones((5, 2))})).sessions
    assert session.n_components == 2 and session.alignment_bias is None


def test_names_of_lfads_torch(tmp_path):
    weight, bias = np.arange(10.0).reshape(5, 2), np.arange(5.0)
    (session,) = read(*_one_file(tmp_path, {"readin_weight": weight, "readout_bias": bias})).sessions
    np.testing.assert_array_equal(session.alignment, weight)
    np.testing.assert_array_equal(session.alignment_bias, bias)


MATRIX, BIAS = "alignment_matrix_cxf", "alignment_bias_c"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({MATRIX: np.ones((4, 2))}, r"alignment of 'day.h5' has 4 channels and .* has 5\. Give both"),
        ({MATRIX: np.ones((5, 2)), BIAS: np.ones(6)}, r"alignment bias of 'day.h5' has 6 channels and .* has 5\."),
        ({MATRIX: np.ones(5)}, r"'alignment_matrix_cxf' of 'day.h5' has shape \(5,\)\. .*\(channel, component\)"),
        ({MATRIX: np.ones((5, 2)), BIAS: np.ones((5, 2))}, r"shape \(5, 2\)\. Give it the axes \(channel\)"),
        ({MATRIX: np.ones((5, 0))}, r"shape \(5, 0\)"),
        ({MATRIX: np.diag([1, 1, np.nan, 1, 1])}, r"got nan at channel 2, component 2\. Fit"),
        ({MATRIX: np.ones((5, 2)), BIAS: np.array([0, np.inf, 0, 0, 0])}, r"got inf at channel 1\. Fit"),
        ({BIAS: np.ones(5)}, r"holds 'alignment_bias_c' or .* without 'alignment_matrix_cxf' or .* leave the bias out"),
        ({MATRIX: np.ones((5, 2)), "readin_weight": np.ones((5, 2))}, r"which mean the same\. Keep one"),
    ],
)
def test_wrong_alignments_in_files(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        read(*_one_file(tmp_path, arrays))


def test_sessions_must_agree(tmp_path, data):
    """Joined from memory or read from files: as many components in each, or none in any."""
    first = write_dataset(tmp_path, data)[0]
    with h5py.File(first, "a") as file:
        del file[BIAS], file[MATRIX]
    with pytest.raises(DataError, match=r"session 'monday' is 0 and that of session 'tuesday' is 3\. Give all"):
        read(*sorted(tmp_path.iterdir()))
    with h5py.File(first, "a") as file:
        file[MATRIX] = np.ones((data.sessions[0].n_channels, 2))
    with pytest.raises(DataError, match=r"session 'monday' is 2 and that of session 'tuesday' is 3\. Give all"):
        read(*sorted(tmp_path.iterdir()))


def _one_file(folder, arrays):
    spikes = np.random.default_rng(0).poisson(1.0, (4, 6, 5))
    with h5py.File(folder / "day.h5", "w") as file:
        for name, values in {"train_data": spikes, "valid_data": spikes, **arrays}.items():
            file[name] = values
    return [folder / "day.h5"]


# The start of models


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_readin_starts_at_the_aligned_components(likelihood):
    """The features of every session are (x - b) W; channels that only a wider session has do not matter.

    Real-valued data have features times one gain for all sessions, in any unit.
    """
    data = with_alignment(several_sessions(likelihood=likelihood))
    model = build(data, likelihood=likelihood)
    assert model.readin.n_features == N_COMPONENTS
    assert (model.standardiser is None) == (likelihood == "poisson")
    gains = []
    x = np.random.default_rng(1).poisson(2.0, (2, 7, max(s.n_channels for s in data.sessions)))
    for index, session in enumerate(data.sessions):
        seen, number = jnp.asarray(x, jnp.float32), jnp.full(2, index)
        features = model.readin(seen if model.standardiser is None else model.standardiser(seen, number), number)
        wanted = (x[:, :, : session.n_channels] - session.alignment_bias) @ session.alignment
        gain = 1.0 if likelihood == "poisson" else float((features * wanted).sum() / (wanted**2).sum())
        gains.append(gain)
        np.testing.assert_allclose(features, gain * wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gains, gains[0], rtol=1e-5)


def test_without_bias_nothing_is_subtracted():
    unbiased = with_alignment(several_sessions(), bias=False)
    model = build(unbiased)
    assert all(not np.any(bias[...]) for bias in model.readin.bias.values())


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_readout_moves_the_mean_back_along_the_components(likelihood):
    """The change of the expected data with the factors is the pseudo-inverse of W times one gain for all sessions."""
    data = with_alignment(several_sessions(likelihood=likelihood))
    model = build(data, likelihood=likelihood)
    readout, ratios = model.readout["spikes"], []
    for index, session in enumerate(data.sessions):
        seen, unit = session.target_index, readout.unit_of(index)
        weight, bias = unit * readout.weight[session.name][...], unit * readout.bias[session.name][...]
        change = weight[:, seen, 0] * (jnp.exp(bias[seen, 0]) if likelihood == "poisson" else 1.0)
        ratios.append(np.asarray(change) / np.linalg.pinv(session.alignment))
    gain = ratios[0][0, 0]
    assert gain > 0
    for ratio in ratios:
        np.testing.assert_allclose(ratio, gain, rtol=1e-3)


def test_size_of_the_readout_is_that_of_a_random_start(data):
    """Root mean square scale / sqrt(factors), for any unit of the components."""
    weights = {}
    for scale in (1.0, 1000.0):
        readout = build(with_alignment(data, scale=scale), readout_scale=0.2).readout["spikes"]
        weights[scale] = [readout.weight[s.name][:, s.target_index, 0] for s in data.sessions]
    every = np.concatenate(weights[1.0], axis=1)
    np.testing.assert_allclose(np.sqrt(np.mean(every**2)), 0.2 / np.sqrt(N_COMPONENTS), rtol=1e-4)
    np.testing.assert_allclose(np.concatenate(weights[1000.0], axis=1), every, rtol=1e-3)


def test_what_no_alignment_knows_starts_as_before(data, model):
    """Held-out neurons keep their random weights and every neuron the bias at its mean rate."""
    plain = tuple(dataclasses.replace(s, alignment=None, alignment_bias=None) for s in data.sessions)
    other = build(dataclasses.replace(data, sessions=plain)).readout["spikes"]
    readout = model.readout["spikes"]
    for session in data.sessions:
        held_out = np.setdiff1d(np.arange(session.n_targets["spikes"]), session.target_index)
        weight, before = readout.weight[session.name][...], other.weight[session.name][...]
        assert len(held_out)
        np.testing.assert_array_equal(weight[:, held_out], before[:, held_out])
        assert np.all(weight[:, session.target_index] != before[:, session.target_index])
        np.testing.assert_array_equal(readout.bias[session.name][...], other.bias[session.name][...])


def test_features_and_factors_beyond_the_components_start_at_random(data, model):
    plain = tuple(dataclasses.replace(s, alignment=None, alignment_bias=None) for s in data.sessions)
    wide, other = build(data, factors=5), build(dataclasses.replace(data, sessions=plain), factors=5)
    assert wide.readin.n_features == 5
    readout, random = wide.readout["spikes"], other.readout["spikes"]
    for session in data.sessions:
        name, seen = session.name, session.target_index
        weight, before = wide.readin.weight[name][...], other.readin.weight[name][...]
        np.testing.assert_allclose(weight[:, :N_COMPONENTS], session.alignment, rtol=1e-6)
        np.testing.assert_array_equal(weight[:, N_COMPONENTS:], before[:, N_COMPONENTS:])
        assert not wide.readin.bias[name][N_COMPONENTS:].any()
        weight, narrow = readout.weight[name][:, seen], model.readout["spikes"].weight[name][:, seen]
        # The same directions, of the size of a random start of five factors.
        np.testing.assert_allclose(weight[:N_COMPONENTS], narrow * np.sqrt(N_COMPONENTS / 5), rtol=1e-4)
        np.testing.assert_array_equal(weight[N_COMPONENTS:], random.weight[name][N_COMPONENTS:, seen])


def test_readout_is_random_with_fewer_factors_than_components(data):
    plain = tuple(dataclasses.replace(s, alignment=None, alignment_bias=None) for s in data.sessions)
    readout = build(data, factors=2).readout["spikes"]
    other = build(dataclasses.replace(data, sessions=plain), factors=2, readin_dim=N_COMPONENTS).readout["spikes"]
    for session in data.sessions:
        np.testing.assert_array_equal(readout.weight[session.name][...], other.weight[session.name][...])


def test_one_session_uses_its_alignment_on_request_only():
    spikes = np.random.default_rng(0).poisson(1.0, (8, 6, 5))
    data = with_alignment(from_arrays(spikes))
    assert isinstance(build(data).readin, lfadsx.modules.IdentityReadin)
    readin = build(data, readin="linear").readin
    np.testing.assert_allclose(readin.weight["session"][...], data.sessions[0].alignment, rtol=1e-6)


def test_zeros_as_alignment_give_finite_weights(data):
    readout = build(with_alignment(data, scale=0.0)).readout["spikes"]
    assert all(np.isfinite(weight[...]).all() for weight in readout.weight.values())


def test_wrong_widths(data, model):
    with pytest.raises(
        ValueError, match=r"`readin_dim` must be at least 3, the number of components of the alignment, got 2\."
    ):
        build(data, readin_dim=2)
    first, second = data.sessions
    mixed = dataclasses.replace(data, sessions=(first, dataclasses.replace(second, alignment=None)))
    with pytest.raises(
        ValueError, match=r"must have the same number .*, got 3 in session 'monday' and 0 in session 'tuesday'\."
    ):
        build(mixed)
    short = dataclasses.replace(first, alignment=first.alignment[:-1])
    with pytest.raises(ValueError, match=r"'monday' must have one row for each of the 4 channels .*, got 3 rows\."):
        build(dataclasses.replace(data, sessions=(short, second)))
    with pytest.raises(ValueError, match=r"must be at least 4, the number of components of the alignment, got 3"):
        initialise(model, with_alignment(data, n_components=4))


# The purpose of the alignment


def test_sessions_of_one_latent_start_with_the_same_features():
    """Condition averages of two sets of neurons agree in the aligned features, and not in random ones."""
    sessions, averages = _recordings_of_one_latent()
    components = np.linalg.svd(np.concatenate(averages, axis=1), full_matrices=False)
    scores = components.U[:, :N_COMPONENTS] * components.S[:N_COMPONENTS]
    weights = [np.linalg.lstsq(average, scores, rcond=None)[0] for average in averages]
    data = concatenate(*sessions)
    aligned = tuple(
        dataclasses.replace(session, alignment=weight) for session, weight in zip(data.sessions, weights, strict=True)
    )
    assert _agreement(build(dataclasses.replace(data, sessions=aligned)), averages).min() > 0.95
    random = build(data, readin_dim=N_COMPONENTS)
    assert np.abs(_agreement(random, averages)).mean() < 0.8


def _recordings_of_one_latent():
    """Sessions of 20 and 16 neurons driven by 3 latents, and their averages (condition * time, neuron)."""
    rng = np.random.default_rng(3)
    n_conditions, n_repeats, n_bins = 6, 40, 15
    latent = rng.standard_normal((n_conditions, n_bins, N_COMPONENTS))
    condition, sessions, averages = np.repeat(np.arange(n_conditions), n_repeats), [], []
    for name, n_neurons in (("monday", 20), ("tuesday", 16)):
        rates = np.exp(0.5 + 0.4 * latent @ rng.standard_normal((N_COMPONENTS, n_neurons)))
        trials = rng.poisson(rates[condition])
        average = np.stack([trials[condition == c].mean(0) for c in range(n_conditions)]).reshape(-1, n_neurons)
        averages.append(average - average.mean(0))
        sessions.append(from_arrays(trials, condition=condition, session=name))
    return sessions, averages


def _agreement(model, averages):
    """Correlation of each feature between the two sessions."""
    width = max(average.shape[1] for average in averages)
    features = []
    for index, average in enumerate(averages):
        padded = jnp.asarray(np.pad(average, ((0, 0), (0, width - average.shape[1]))), jnp.float32)
        features.append(np.asarray(model.readin(padded[None], jnp.full(1, index))[0]))
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(features[0].T, features[1].T, strict=True)])
