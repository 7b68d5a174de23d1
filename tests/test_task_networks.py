"""Simulations of trained networks, and of the Lorenz system."""

import dataclasses
from importlib.resources import files

import numpy as np
import pytest
from example_tools import train_networks

from lfadsx.data import read
from lfadsx.datasets import pendulum, roessler
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.lorenz import Lorenz, stationary
from lfadsx.datasets.task_network import load_network
from lfadsx.errors import DataError


@pytest.fixture(scope="module")
def integrator():
    recipe = IntegratorRNN(trials=600)
    return recipe, recipe.simulate()[0]


@pytest.fixture(scope="module")
def bound():
    recipe = IntegrationToBound(conditions=60)
    return recipe, recipe.simulate()[0]


@pytest.fixture(scope="module")
def lorenz():
    recipe = Lorenz(conditions=40, split="conditions")
    return recipe, recipe.simulate()[0]


@pytest.mark.parametrize(("name", "largest"), [("integrator_rnn", 6e-5), ("itb_rnn", 1.5e-3)])
def test_shipped_networks_solve_their_task_with_the_error_they_state(name, largest):
    draw, network = train_networks.TASKS[name].draw, load_network(name)
    inputs, targets = map(np.asarray, draw(train_networks.jax.random.key(3), 2000))
    error = np.mean((network.read_out(network.run(network.h0, inputs)) - targets) ** 2)
    with np.load(files("lfadsx.datasets") / "weights" / f"{name}.npz") as stored:
        stated = stored["squared_error"]
    assert stated < largest
    assert error == pytest.approx(stated, rel=0.3)


def test_integrator_has_a_line_attractor():
    """One eigenvalue of the recurrent weights is 1, which remembers, and all others are far below, which forget."""
    sizes = np.sort(np.abs(np.linalg.eigvals(load_network("integrator_rnn").W_R)))[::-1]
    assert sizes[0] == pytest.approx(1, abs=0.01) and sizes[1] < 0.7


def test_integrator_adds_up_its_input(integrator):
    arrays = integrator[1].arrays
    targets, inputs = arrays["train_targets"], arrays["input_train_truth"]
    start = load_network("integrator_rnn").read_out(arrays["train_h0s"])
    np.testing.assert_allclose(targets[:, :, 0], start[:, None] + np.cumsum(inputs[:, :, 0], 1), atol=1e-5)
    assert np.mean((arrays["train_outputs"] - targets) ** 2) < 5e-4
    assert np.var(targets) > 0.2


def test_integrator_states_obey_the_recursion(integrator):
    arrays, net = integrator[1].arrays, load_network("integrator_rnn")
    h = np.concatenate([arrays["train_h0s"][:, None], arrays["train_hiddens"]], axis=1)
    u = arrays["input_train_truth"]
    np.testing.assert_allclose(np.tanh(h[:, :-1] @ net.W_R.T + u * net.W_in + net.b_R), h[:, 1:], atol=1e-5)
    np.testing.assert_allclose(arrays["train_truth"], (arrays["train_hiddens"] + 1) / 2 * 80 * 0.04, atol=1e-5)


def test_integrator_trial_is_a_function_of_34_normal_numbers(integrator):
    recipe, simulation = integrator
    normals, net = recipe.normals(), recipe.network()
    assert normals.shape == (600, 34)
    # The function written out once more, number by number, for one trial.
    z, h = normals[7], net.h0
    lead = [0.02 * (z[0] - 0.5) + 0.125 * z[k] for k in range(1, 8)] + [0.0]
    for u in lead + [0.02 * (z[8] - 0.5) + 0.125 * z[k] for k in range(9, 34)]:
        h = np.tanh(net.W_R @ h + net.W_in * u + net.b_R)
    np.testing.assert_allclose(simulation.arrays["train_hiddens"][7, -1], h, atol=1e-5)
    np.testing.assert_allclose(recipe.from_normals(normals).expected[:540], simulation.arrays["train_truth"], atol=1e-6)


def test_integrator_may_start_after_fewer_bins():
    recipe = IntegratorRNN(trials=20, start_bins=0)
    run = recipe.from_normals(recipe.normals())
    # With no bins before the trial, all start where one bin without input leads from the network's first state.
    net = recipe.network()
    np.testing.assert_allclose(run.starts, np.tile(np.tanh(net.W_R @ net.h0 + net.b_R), (20, 1)), atol=1e-12)
    assert recipe.normals().shape == (20, 27)
    with pytest.raises(DataError, match="`start_bins` must be at least 0, got -1"):
        IntegratorRNN(start_bins=-1).simulate()


def test_integrator_law_of_inputs_and_counts(integrator):
    arrays = integrator[1].arrays
    u = arrays["input_train_truth"][:, :, 0]
    bias = u.mean(axis=1)
    assert bias.mean() == pytest.approx(-0.01, abs=0.005)
    assert bias.std() == pytest.approx(np.sqrt(0.02**2 + 0.125**2 / 25), rel=0.1)
    assert np.std(u - bias[:, None], ddof=25) == pytest.approx(0.125, rel=0.1)
    assert arrays["train_data"].mean() == pytest.approx(1.6, abs=0.02)
    residual = (arrays["train_data"] - arrays["train_truth"]) / np.sqrt(arrays["train_truth"])
    assert residual.var() == pytest.approx(1, abs=0.01)


def test_integrator_file_is_read(integrator, tmp_path):
    recipe, simulation = integrator
    data = read(simulation.write(tmp_path / "integrator.h5"))
    assert (len(data.train.encoder_input), len(data.valid.encoder_input)) == (540, 60)
    assert (data.bin_width, data.truth_unit) == (0.04, "counts per bin")
    np.testing.assert_array_equal(data.valid.encoder_input, simulation.arrays["valid_data"])
    np.testing.assert_array_equal(data.valid.true_inputs, simulation.arrays["input_valid_truth"])
    assert data.train.truth.mean() == pytest.approx(data.train.encoder_input.mean(), rel=0.01)
    assert data.source["integrator"]["made_from"]["trials"] == 600


def test_integrator_splits_in_order_and_seeds_differ():
    recipe = IntegratorRNN(trials=20, train_fraction=0.5, test_fraction=0.2)
    arrays = recipe.simulate()[0].arrays
    assert [arrays[f"{name}_inds"].tolist() for name in ("train", "valid", "test")] == [
        list(range(10)),
        list(range(10, 16)),
        list(range(16, 20)),
    ]
    other = dataclasses.replace(recipe, seed=6).simulate()[0].arrays
    assert not np.array_equal(arrays["train_data"], other["train_data"])


def test_integrator_refuses_fractions_without_validation():
    with pytest.raises(DataError, match="sum below 1, got 0.9 and 0.1"):
        IntegratorRNN(train_fraction=0.9, test_fraction=0.1).simulate()


def test_bound_outputs_follow_the_cut_running_sum(bound):
    arrays = bound[1].arrays
    targets = np.clip(np.cumsum(arrays["train_inputs_u"][:, :, 0], axis=1), -1, 1)
    assert np.mean((arrays["train_outputs_u"] - targets) ** 2) < 3e-3
    assert np.mean(np.abs(targets) == 1) > 0.3


def test_bound_draws_in_the_order_of_the_original(bound):
    recipe, simulation = bound
    mixture, inputs = np.random.RandomState(5), np.random.RandomState(6)
    np.testing.assert_array_equal(simulation.arrays["P_sxn"], mixture.randn(50, 50) / np.sqrt(50))
    first = 0.25 * inputs.randn(100)
    np.testing.assert_allclose(simulation.arrays["train_inputs_u"][0, :, 0], first, rtol=1e-5)
    # The first neuron of the first trial is drawn first.
    rate = recipe.from_normals(recipe.normals()).expected[0, :, 0]
    np.testing.assert_array_equal(simulation.arrays["train_data"][0, :, 0], mixture.poisson(rate))


def test_bound_truth_is_relative_and_the_factor_brings_it_to_counts(bound, tmp_path):
    recipe, simulation = bound
    truth = simulation.arrays["train_truth"]
    assert simulation.arrays["conversion_factor"] == pytest.approx(10 / 3)
    np.testing.assert_array_equal(truth.min(axis=1), 0)
    np.testing.assert_array_equal(truth.max(axis=1), 1)
    data = read(simulation.write(tmp_path / "itb.h5"))
    assert data.truth_unit == "counts per bin"
    np.testing.assert_allclose(data.train.truth, truth * 0.3, atol=1e-6)
    assert data.train.truth.mean() == pytest.approx(data.train.encoder_input.mean(), rel=0.02)
    np.testing.assert_array_equal(data.train.true_inputs, simulation.arrays["train_inputs_u"])
    assert (len(data.train.encoder_input), len(data.valid.encoder_input)) == (240, 60)


def test_bound_trials_of_a_condition_share_input_and_truth(bound):
    arrays = bound[1].arrays
    label = arrays["condition_labels_train"]
    np.testing.assert_array_equal(label, np.repeat(np.arange(60), 4))
    np.testing.assert_array_equal(arrays["train_truth"][0], arrays["train_truth"][3])
    np.testing.assert_array_equal(arrays["train_truth"][0], arrays["valid_truth"][0])
    assert not np.array_equal(arrays["train_data"][0], arrays["train_data"][3])
    apart = dataclasses.replace(bound[0], split="conditions").simulate()[0].arrays
    test = set(apart["condition_labels_test"])
    assert len(test) == 12 and test.isdisjoint(apart["condition_labels_train"])


def test_bound_refuses_another_number_of_units():
    with pytest.raises(DataError, match="`units` must be 50, the units of the trained network, got 49"):
        IntegrationToBound(units=49).simulate()


def test_lorenz_states_obey_the_euler_steps(lorenz):
    recipe, simulation = lorenz
    states, label = simulation.arrays["train_states"], simulation.arrays["condition_labels_train"]
    start = simulation.arrays["starts"][label[0]]
    for t in range(3):
        x, y, z = start if t == 0 else states[0, t - 1]
        for _ in range(10):
            dx, dy, dz = 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z
            x, y, z = x + 0.006 * dx, y + 0.006 * dy, z + 0.006 * dz
        np.testing.assert_allclose(states[0, t], [x, y, z], rtol=1e-9)


def test_lorenz_log_rates_are_linear_in_the_state_with_the_stated_depth(lorenz):
    recipe, simulation = lorenz
    arrays = simulation.arrays
    states, log = arrays["train_states"].reshape(-1, 3), np.log(arrays["train_truth"]).reshape(-1, 30)
    standard = (states - arrays["readout_mean"]) / arrays["readout_std"]
    np.testing.assert_allclose(log, np.log(5) + standard @ arrays["readout_weights"], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(arrays["readout_weights"], axis=0), 1)
    rates = recipe.rates(stationary(2000, 1))
    assert rates.max() < 400, "no rate is cut"
    assert np.log(rates).var(axis=0).mean() == pytest.approx(1, abs=0.3)


def test_lorenz_trials_of_a_condition_share_rates_and_conditions_do_not(lorenz):
    arrays = lorenz[1].arrays
    truth, label = arrays["train_truth"], arrays["condition_labels_train"]
    np.testing.assert_array_equal(truth[label == label[0]], np.broadcast_to(truth[0], (16, 100, 30)))
    assert not np.allclose(truth[0], truth[16])
    assert len(arrays["test_data"]) == 160 and len(arrays["valid_data"]) == 128
    assert set(arrays["condition_labels_test"]).isdisjoint(label)


def test_lorenz_file_is_read_with_rates_as_counts(lorenz, tmp_path):
    recipe, simulation = lorenz
    data = read(simulation.write(tmp_path / "lorenz.h5"))
    np.testing.assert_allclose(data.train.truth, simulation.arrays["train_truth"] * 0.01, rtol=1e-5)
    assert data.train.encoder_input.mean() == pytest.approx(data.train.truth.mean(), rel=0.03)
    assert 0.05 < data.train.encoder_input.mean() < 0.15
    assert data.test is not None and data.bin_width == 0.01


def test_stationary_law_has_the_moments_of_the_attractor_and_stays():
    """With a small Euler step they are the known ones of the flow; the law of a step does not move with time."""
    states = stationary(4000, 2)
    np.testing.assert_allclose(states.mean(axis=0), [0, 0, 24.53], atol=0.6)
    np.testing.assert_allclose(states.std(axis=0), [8.1, 9.1, 8.05], atol=0.3)
    later = Lorenz(conditions=4).run(states)[:, -1]
    np.testing.assert_allclose(later.mean(axis=0), states.mean(axis=0), atol=0.7)
    assert stationary(1000, 2, step=0.002)[:, 2].mean() == pytest.approx(23.8, abs=0.8)


def test_roessler_states_obey_the_flow_and_keep_their_law():
    state = np.array([[1.0, -2.0, 0.5], [-4.0, 3.0, 0.1]])
    x, y, z = state.T
    slope = np.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)], axis=-1)
    np.testing.assert_allclose(roessler.euler(state, 1e-6, 1), state + 1e-6 * slope, rtol=1e-12)
    states = roessler.stationary(3000)
    for turns in (0.25, 0.5, 3.0):
        later = roessler.euler(states, 0.01, round(100 * turns * roessler.TURN))
        assert np.all(np.abs(later.mean(0) - states.mean(0)) < [0.4, 0.4, 0.25])
        np.testing.assert_allclose(later.std(0), states.std(0), rtol=0.15)


def test_pendulums_obey_their_equation_and_swing_at_their_frequency():
    start, gravity = np.array([[0.4, -0.1], [0.7, 0.3]]), np.array([0.5, 4.0])
    angle, velocity = start.T
    slope = np.stack([velocity, -velocity / 25 - gravity / 5 * np.sin(angle)], axis=-1)
    states = pendulum.swing(start, gravity, 1, step=1e-6)[:, 0]
    np.testing.assert_allclose(states, start + 1e-6 * slope, rtol=1e-12)
    small = pendulum.swing(np.array([[1e-3, 0.0], [1e-3, 0.0]]), gravity, 300, step=0.01, steps_per_bin=2)[:, :, 0]
    quarter = 0.02 * (1 + np.argmax(small < 0, axis=1))
    np.testing.assert_allclose(quarter, np.pi / 2 * np.sqrt(5 / gravity), rtol=0.05)


def test_lorenz_highest_rate_cuts():
    arrays = Lorenz(conditions=3, max_rate=20.0).simulate()[0].arrays
    assert arrays["train_truth"].max() == 20


@pytest.mark.slow
def test_training_lowers_the_error_and_writes_weights(tmp_path, capsys, monkeypatch):
    small = dataclasses.replace(train_networks.TASKS["itb_rnn"], batch_size=32)
    monkeypatch.setitem(train_networks.TASKS, "itb_rnn", small)
    key = train_networks.jax.random.key
    before = small.error(small.start(key(0)), small.draw(key(1), 500))
    train_networks.main(["itb_rnn", "--steps", "60", "--out", str(tmp_path / "net.npz")])
    with np.load(tmp_path / "net.npz") as arrays:
        assert arrays["squared_error"] < 0.5 * before
        assert arrays["W_R"].shape == (50, 50) and arrays["W_R"].dtype == np.float32
        assert np.abs(arrays["h0"]).max() == 0, "this network starts at 0 and does not learn another start"
    assert "batch     60" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", [IntegratorRNN(trials=20), IntegrationToBound(conditions=2)])
def test_data_of_a_network_of_ones_own(recipe, tmp_path):
    """Weights of the library from a file give the library's data; others give others, under the same noise."""
    name = "integrator_rnn" if isinstance(recipe, IntegratorRNN) else "itb_rnn"
    own, other = tmp_path / "own.npz", tmp_path / "other.npz"
    weights = load_network(name)
    train_networks.save_network(own, weights)
    train_networks.save_network(other, weights._replace(W_R=0.5 * weights.W_R))
    (plain,), (same,), (changed,) = (
        dataclasses.replace(recipe, network_file=file).simulate() for file in ("", str(own), str(other))
    )
    np.testing.assert_array_equal(same.arrays["train_data"], plain.arrays["train_data"])
    assert (changed.arrays["train_truth"] != plain.arrays["train_truth"]).any()


def test_files_that_hold_no_network(tmp_path):
    (tmp_path / "text.npz").write_text("not weights")
    np.savez(tmp_path / "half.npz", W_R=np.eye(3))
    with pytest.raises(DataError, match=r"text.npz' cannot be read as weights of a network.*Give an npz file of"):
        IntegratorRNN(network_file=str(tmp_path / "text.npz")).simulate()
    with pytest.raises(
        DataError, match=r"half.npz' must hold all weights of a network, but lacks W_in, b_R, W_O, b_O, h0\. Give"
    ):
        IntegrationToBound(network_file=str(tmp_path / "half.npz")).simulate()
