"""The benchmarks of speed: FLOPs are counted rightly, other programs are understood, every figure is there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lfadsx
from benchmarks import population, posterior, profile, scaling, train_step
from benchmarks.speed import count_flops, figure_of, forward_flops, make_data, model_config
from benchmarks.workloads import WORKLOADS


def test_flops_of_products_in_loops_branches_and_calls():
    x, w = jnp.ones((3, 4)), jnp.ones((4, 5))
    product = 2 * 3 * 4 * 5

    def loop(x, w):
        def step(total, _):
            return total + x @ w, None

        return jax.lax.scan(step, jnp.zeros((3, 5)), length=7)[0]

    def branch(x, w):
        return jax.lax.cond(x.sum() > 0, lambda: jax.jit(jnp.matmul)(x, w), lambda: jnp.zeros((3, 5)))

    assert count_flops(jax.make_jaxpr(jnp.matmul)(x, w)) == product
    assert count_flops(jax.make_jaxpr(loop)(x, w)) == 7 * product
    assert count_flops(jax.make_jaxpr(branch)(x, w)) == product
    batched = jax.make_jaxpr(lambda a, b: jnp.einsum("bij,bjk->bik", a, b))(jnp.ones((6, 3, 4)), jnp.ones((6, 4, 5)))
    assert count_flops(batched) == 6 * product


def test_flops_of_a_forward_pass_are_those_of_its_equations():
    """Every product of encoders, controller, generator, factors and read-out of the workload, by hand."""
    load = WORKLOADS["tiny"]
    data = make_data(load)
    model = lfadsx.build(data, model_config(load), rngs=nnx.Rngs(0))
    t, n = load.bins, load.neurons
    e, c, g, f, u, z = load.ic_encoder, load.controller, load.generator, load.factors, load.inputs, load.ic_dim
    bins = t + load.forward_bins
    encoders = 4 * t * (n + e) * 3 * e  # two of them, forwards and backwards
    start = 2 * e * 2 * z + z * g
    # The first factors belong to the initial state. Both recurrent parts see values inside the loop.
    controller = bins * (2 * e * 3 * c + (f + c) * 3 * c + c * 2 * u)
    generator = bins * (u + g) * 3 * g + (bins + 1) * g * f
    readout = bins * f * (n + load.held_out)
    expected = 2 * load.batch * (encoders + start + controller + generator + readout)
    assert forward_flops(model, data, load.batch) == expected


@pytest.mark.slow
def test_a_training_step_and_what_another_program_says():
    line = train_step.measure("tiny", steps=2, devices=1, repeats=1, against="echo 5.5", rounds=1)
    assert line["ms_per_step"] > 0 and line["bound_ms"] >= 0 and line["peak_memory_mb"] > 0
    # Milliseconds and ratio are rounded to two digits, each by itself.
    slowest, fastest = 5.5 / (line["ms_per_step"] + 0.005), 5.5 / (line["ms_per_step"] - 0.005)
    assert line["against_ms"] == 5.5 and slowest - 0.005 <= line["ratio"] <= fastest + 0.005


@pytest.mark.slow
def test_members_of_a_population_take_turns_with_a_single_model():
    alone, two = population.measure("tiny", [2], devices=2, repeats=1, steps=2)
    assert (alone["members"], two["members"]) == (1, 2) and alone["relative_to_one"] == 1.0
    assert two["ms_per_member_step"] > 0 and two["devices"] == 2 and two["members_at_once"] == 1


def test_posterior_samples():
    line = posterior.measure("tiny", n_samples=2, repeats=1)
    assert line["samples_per_s"] > 0 and "ratio" not in line


def test_the_last_line_of_another_program():
    assert figure_of("echo 3.5", "ms") == 3.5
    assert figure_of("""printf 'a\\n{"ms": 2}\\n'""", "ms") == 2.0
    with pytest.raises(ValueError, match="last line of 'echo nothing' is 'nothing'. It has to be a number"):
        figure_of("echo nothing", "ms")
    with pytest.raises(ValueError, match="ended with 1"):
        figure_of("false", "ms")


def test_workloads_have_the_sizes_of_their_data():
    load = WORKLOADS["tiny"]
    data = make_data(load, n_batches=2)
    assert data.train.encoder_input.shape == (2 * load.batch, load.bins, load.neurons)
    assert data.train.targets["spikes"].shape[1:] == (load.bins + load.forward_bins, load.neurons + load.held_out)
    assert np.all(data.train.encoder_length == load.bins)


@pytest.mark.slow
def test_the_time_of_a_step_is_given_to_what_it_goes_to():
    line, longest = profile.measure(WORKLOADS["tiny"], steps=2)
    assert line["products in the loops over time"] > 0 and line["whole step"] > 0
    assert {"ms", "times", "operation", "makes", "of"} == set(longest[0])
    milliseconds = [operation["ms"] for operation in longest]
    assert milliseconds == sorted(milliseconds, reverse=True)


def test_the_own_time_of_an_operation_is_without_those_inside_it():
    spans = [
        ("while.1", 0.0, 10e3),
        ("dot.1", 1e3, 2e3),
        ("dot.1", 4e3, 3e3),
        ("add", 12e3, 1e3),
        ("unknown", 0.0, 99e3),
    ]
    events = [{"ph": "X", "pid": 1, "tid": 1, "name": name, "ts": ts, "dur": dur} for name, ts, dur in spans]
    own, count = profile._own_times(events, {"while.1", "dot.1", "add"})
    assert own == {"while.1": 5.0, "dot.1": 5.0, "add": 1.0} and count["dot.1"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["trials", "bins"])
def test_a_point_of_the_scaling(axis):
    found = scaling.point(WORKLOADS["tiny"], axis, 2)
    assert found["size"] == {"trials": 64, "bins": 10}[axis] and found["ms"] > 0 and found["memory_mb"] > 0


def test_slopes_of_the_scaling_are_drawn(tmp_path):
    points = [{"size": n, "ms": 2.0 * n, "memory_mb": 7.0} for n in (1, 2, 4, 8)]
    line = {"axis": "bins", "slope_of_time": 1.0, "slope_of_memory": 0.0, "points": points}
    scaling.draw([line], tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000
