"""The flip-flop of the Computation-through-Dynamics benchmark: task, teacher, simulated data, and the measures."""

import dataclasses
import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example_tools import train_networks
from flax import nnx

import lfadsx
from benchmarks.dynamics import __main__ as dynamics
from benchmarks.dynamics.corners import compared, corners_of, teacher_points
from benchmarks.dynamics.flip_flop_optimum import Teacher, posterior_means
from benchmarks.dynamics.measures import Pair, co_bps, cycle_consistency, mapped_r2
from benchmarks.dynamics.verdicts import agreement, labels_of
from lfadsx.datasets import FlipFlop, flip_flop_task
from lfadsx.dynamics import StepMap, Visited, fixed_points
from lfadsx.errors import DataError
from lfadsx.evaluation.metrics import r2_pooled


@pytest.fixture(scope="module")
def flip_flop():
    recipe = FlipFlop(trials=60, bins=200)
    return recipe, recipe.simulate()[0].arrays


def test_pulses_bits_flips_and_scored_bins_by_the_words_of_the_task():
    """The rules written out once more, bin by bin; arrays of JAX give the same."""
    uniform = np.random.default_rng(0).random((6, 300, 3))
    pulses = flip_flop_task.pulses_from(uniform)
    bits, flips, scored = (f(pulses) for f in (flip_flop_task.bits_of, flip_flop_task.flips, flip_flop_task.scored))
    for trial in range(6):
        for bit in range(3):
            state, change = 0, -100
            for t, r in enumerate(uniform[trial, :, bit]):
                pulse = 0 if t < 3 else 1 if r > 0.99 else -1 if r < 0.01 else 0
                new = {1: 1, -1: 0, 0: state}[pulse]
                change = t if new != state else change
                where = trial, t, bit
                assert (pulses[where], bits[where], flips[where]) == (pulse, new, new != state)
                assert scored[where] == (t >= 5 and not 1 <= t - change <= 4)
                state = new
    assert flips.sum() > 20 and (pulses != 0).sum() > flips.sum()
    for name in ("bits_of", "flips", "scored"):
        function = getattr(flip_flop_task, name)
        np.testing.assert_array_equal(jax.jit(function)(jnp.asarray(pulses)), function(pulses))


def test_teacher_remembers_the_bits(flip_flop):
    recipe, arrays = flip_flop
    task, network = train_networks.TASKS["nbff"], recipe.network()
    weights = type(network)(*(jnp.asarray(values, jnp.float32) for values in network))
    assert float(task.error(weights, task.draw(jax.random.key(7), 100))) < 0.015
    scored = flip_flop_task.scored(arrays["train_pulses"])
    right = (arrays["train_outputs"] > 0.5) == (arrays["train_bits"] > 0.5)
    assert right[scored].mean() > 0.98


def test_teacher_has_a_stable_point_for_every_set_of_bits(flip_flop):
    """Eight corners, whose outputs are the bits; the teacher stays there for long, with zero input and no noise."""
    recipe, arrays = flip_flop
    network = recipe.network()
    found = teacher_points(network, arrays["valid_latents"], arrays["input_valid_truth"], n_starts=96, adam_steps=300)
    corners = corners_of(network, found)
    bits = network.read_out(corners) > 0.5
    assert len(corners) == 8 and len(np.unique(bits, axis=0)) == 8 and "saddle" in found.kind
    later = network.run(corners, np.zeros((8, 300, 3)))[:, -1]
    np.testing.assert_allclose(network.read_out(later), network.read_out(corners), atol=0.05)


def test_states_follow_the_network_and_rates_the_states(flip_flop):
    recipe, arrays = flip_flop
    network, latents = recipe.network(), arrays["train_latents"]
    before, inputs = latents[:, :-1].reshape(-1, 64), arrays["input_train_truth"][:, 1:].reshape(-1, 3)
    noise = latents[:, 1:].reshape(-1, 64) - network.step(before.astype(float), inputs)
    assert noise.std() == pytest.approx(0.01, rel=0.01) and abs(noise.mean()) < 1e-4
    units = arrays["perm_neurons"]
    assert len(set(units)) == 60
    log_rates = 0.5 * (latents[:, :, units] - arrays["orig_mean"]) / arrays["orig_std"]
    np.testing.assert_allclose(np.log(arrays["train_truth"]), log_rates, atol=1e-4)
    counts = arrays["train_recon_data"]
    np.testing.assert_array_equal(arrays["train_encod_data"], counts[:, :, :50])
    assert ((counts - arrays["train_truth"]) ** 2 / arrays["train_truth"]).mean() == pytest.approx(1, abs=0.02)
    noise = arrays["input_train_truth"] - arrays["train_pulses"]
    assert noise.std() == pytest.approx(0.15, rel=0.02)


def test_more_neurons_than_units_show_units_again():
    (session,) = FlipFlop(trials=5, bins=20, neurons=150, held_out=0).simulate()
    units = session.arrays["perm_neurons"]
    assert len(units) == 150 and set(units[:64]) == set(units[64:128]) == set(range(64))
    assert session.arrays["train_encod_data"].shape[2] == 150


@pytest.mark.parametrize("known", [False, True])
def test_file_is_read_with_held_out_neurons_and_known_inputs_if_wanted(known, tmp_path):
    [file] = lfadsx.datasets.simulate("nbff", tmp_path / "nbff.h5", trials=20, bins=40, known_inputs=known)
    data = lfadsx.read(file)
    assert (data.train.n_trials, data.valid.n_trials, data.bin_width) == (16, 4, None)
    assert data.valid.encoder_input.shape[2] == 50 and data.valid.targets["spikes"].shape[2] == 60
    assert data.n_known_inputs == (3 if known else 0) and data.truth_unit == "counts per bin"
    with h5py.File(file) as stored:
        np.testing.assert_array_equal(data.valid.true_inputs, stored["input_valid_truth"])
        np.testing.assert_allclose(data.valid.truth, stored["valid_truth"])
        if known:
            np.testing.assert_array_equal(data.valid.known_inputs, stored["input_valid_truth"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": 60}, "`held_out` must be at least 0 and below the number of neurons, 60, got 60"),
        ({"train_fraction": 1.0}, "`train_fraction` must be between 0 and 1, got 1.0"),
        ({"state_noise": -1.0}, "`state_noise` must be at least 0, got -1.0"),
        ({"trials": 0}, "`trials` must be a finite number above 0, got 0"),
    ],
)
def test_settings_out_of_range_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        FlipFlop(**changes).simulate()


def pair(values):
    return Pair(values[:30], values[30:])


@pytest.fixture(scope="module")
def true():
    return np.random.default_rng(0).normal(size=(40, 50, 3)) * [3.0, 2.0, 1.0]


def test_state_r2_is_one_for_a_turned_copy_and_punishes_invention_alone(true):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    invented = np.random.default_rng(2).normal(size=(40, 50, 1)) * np.sqrt(14)
    copy, fewer = 5 + true @ turn, true[:, :, :1]
    more = np.concatenate([copy, invented], axis=2)
    assert mapped_r2(pair(true), pair(copy)) == pytest.approx(1)
    assert mapped_r2(pair(true), pair(more)) == pytest.approx(0.5, abs=0.03)  # half of the variance is invented
    assert mapped_r2(pair(more), pair(true)) == pytest.approx(1)
    assert mapped_r2(pair(true), pair(fewer)) == pytest.approx(1)
    assert mapped_r2(pair(fewer), pair(true)) == pytest.approx(9 / 14, abs=0.03)


def test_every_pulse_and_no_noise_gives_an_input_r2_of_47_percent():
    rng = np.random.default_rng(0)
    pulses = flip_flop_task.pulses_from(rng.random((100, 400, 3)))
    inputs = pulses + 0.15 * rng.normal(size=pulses.shape)
    assert mapped_r2(Pair(inputs[:50], inputs[50:]), Pair(pulses[:50], pulses[50:])) == pytest.approx(0.47, abs=0.01)


def test_cycle_consistency_is_the_share_of_variance_that_log_rates_show(true):
    """One if all directions are kept; a direction that hardly shows is cut, and its variance is lost."""
    shown = np.eye(3)
    assert cycle_consistency(pair(true), pair(true @ shown).train) == pytest.approx(1)
    shown[2, 2] = 0.05
    assert cycle_consistency(pair(true), pair(true @ shown).train) == pytest.approx(13 / 14, abs=0.01)
    longer = np.concatenate([true, true @ np.ones((3, 4))], axis=2)  # more values than dimensions
    assert cycle_consistency(pair(longer), pair(true).train) == pytest.approx(1)


def test_co_bps_counts_the_neurons_from_the_split_on():
    counts = np.random.default_rng(0).poisson(np.tile([1.0, 4.0], 30)[:, None, None], (60, 20, 4))
    known = np.broadcast_to(np.tile([1.0, 4.0], 30)[:, None, None], counts.shape).copy()
    known[:, :, 2:] = counts[:, :, 2:].mean((0, 1))  # the last two neurons have their mean rates
    assert co_bps(known, counts, 2) == pytest.approx(0, abs=1e-9)
    assert co_bps(known, counts, 0) > 0.1


def test_corners_are_found_where_the_teacher_has_them():
    """A model of two of three switches: its four stable points lie at four of the eight, up to a linear map."""

    def well(x, u):
        return x + 0.2 * (x - x**3)

    def points(n, shown=lambda x: x):
        states = np.random.default_rng(0).normal(size=(20, 50, n))
        seen = Visited(states[:, 0], states, np.zeros((20, 50, 0)), np.ones((20, 50), bool))
        return fixed_points(StepMap(well, n), seen, n_starts=512, adam_steps=200)

    teacher, states = points(3), np.random.default_rng(1).uniform(-1, 1, (40, 50, 3))
    corners = teacher.states[np.array(teacher.kind) == "stable"]
    same = compared(teacher, corners, pair(states), pair(states))
    assert (same["stable"], same["saddles"], same["corners"]) == (8, 18, 8) and same["corner_error"] < 1e-3
    third = np.concatenate([states[:, :, :2], np.ones((40, 50, 1))], axis=2)  # the third bit is always set
    two = compared(points(2), corners, pair(states[:, :, :2]), pair(third))
    assert (two["stable"], two["corners"]) == (4, 4)
    assert compared(teacher, corners, pair(states), pair(0.2 * states))["corners"] == 0


def test_optimum_finds_the_pulses_that_show():
    """Pulses that change a bit are found in their bin, and mean states follow the true ones."""
    recipe = FlipFlop(trials=5, bins=100)
    (session,) = recipe.simulate()
    arrays, teacher = session.arrays, Teacher.of(recipe, session.arrays)
    found = posterior_means(teacher, jnp.asarray(arrays["train_encod_data"][0]), jax.random.key(0), 1000)
    found = {name: np.asarray(values)[None] for name, values in found.items()}
    pulses, flips = arrays["train_pulses"][:1], flip_flop_task.flips(arrays["train_pulses"][:1])
    assert flips.any() and (found["pulses"] * pulses)[flips].min() > 0.5
    assert np.abs(found["pulses"][pulses == 0]).mean() < 0.03
    assert r2_pooled(found["latents"], arrays["train_latents"][:1]) > 0.8
    assert r2_pooled(found["rates"], arrays["train_truth"][:1]) > 0.8
    assert r2_pooled(found["inputs"], arrays["input_train_truth"][:1]) > 0.1


def test_dynamics_of_a_model_that_infers_nothing(tmp_path):
    """With known inputs and a trained start alone, states are visited and points are searched like those of others."""
    [file] = lfadsx.datasets.simulate("nbff", tmp_path, trials=10, bins=30, known_inputs=True)
    data = lfadsx.read(file)
    model = lfadsx.external_input(data, inferred_inputs=0, ic_dim=0, generator_dim=8, factors=4, rngs=nnx.Rngs(0))
    system = lfadsx.dynamics.step_map(model, data)
    seen = lfadsx.dynamics.visit(model, data, system)
    post = lfadsx.infer(model, data, n_samples=1)
    np.testing.assert_allclose(seen.states, post.generator_states, atol=1e-5)
    np.testing.assert_array_equal(seen.inputs, data.valid.known_inputs)


def test_known_inputs_change_no_data():
    plain, known = (FlipFlop(trials=5, bins=20, known_inputs=known).simulate()[0].arrays for known in (False, True))
    assert set(known) - set(plain) == {"train_ext_input", "valid_ext_input"}
    assert all(np.array_equal(values, known[name]) for name, values in plain.items())
    other = dataclasses.replace(FlipFlop(trials=5, bins=20), seed=6).simulate()[0].arrays
    assert not np.array_equal(other["train_pulses"], plain["train_pulses"])


@pytest.mark.slow
def test_the_benchmark_runs_and_prints_a_line_for_each_model(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["dynamics", "nbff", "--quick", "--seeds", "0", "1"])
    dynamics.main()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(line["inputs"], line["seed"]) for line in printed] == [
        *(("known", 0), ("known", 1), ("inferred", 0), ("inferred", 1))
    ]
    assert all(np.isfinite(line["state_r2"]) and line["co_bps"] < 1 for line in printed)
    assert "input_r2" in printed[2] and "input_r2" not in printed[0]


def test_checks_are_compared_with_what_the_truth_says():
    """The third model underfits beside the first; the second invents and nothing says so."""
    line = dict(inputs="known", trials=10, bins=20, rate_r2=0.9, state_r2=0.95, findings=[])
    lines = [line, line | {"state_r2": 0.5}, line | {"rate_r2": 0.8, "findings": ["information left"]}]
    rows = {row["label"]: row for row in agreement([*lines, {"inputs": "optimum", "rate_r2": 1.0}])}
    assert (rows["underfits"]["label is true"], rows["underfits"]["both"], rows["underfits"]["agree"]) == (1, 1, 1.0)
    assert (rows["invents"]["finding is there"], rows["invents"]["agree"]) == (0, pytest.approx(2 / 3))
    other = line | {"trials": 99, "rate_r2": 2.0}  # of other data
    assert not labels_of(line, [line, other])["underfits"]
