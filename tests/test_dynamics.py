"""Dynamics: the map of a generator, its fixed points and modes, on systems whose answers are known."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.cli import main
from lfadsx.dynamics import (
    Modes,
    StepMap,
    Visited,
    autonomy,
    fixed_points,
    flow_field,
    influence,
    jacobians,
    observability,
    roll_out,
    speed_between,
    step_map,
    visit,
)
from lfadsx.modules.recurrent import AbstractGenerator

BIN = 0.01


def visited_by(system: StepMap, n_trials: int = 30, n_bins: int = 60, spread: float = 1.0, centre=0.0) -> Visited:
    """Returns trajectories of a system from random starts, without inputs."""
    rng = np.random.default_rng(0)
    start = centre + spread * rng.normal(size=(n_trials, system.n_states))
    inputs = np.zeros((n_trials, n_bins, system.n_inputs))
    states = np.asarray(roll_out(system, jnp.asarray(start, jnp.float32), inputs))
    return Visited(start, states, inputs, np.ones((n_trials, n_bins), bool))


def nearest(found, place):
    """Returns the number of the point at a place, and its distance from there."""
    distance = np.linalg.norm(found.states - place, axis=1)
    return int(distance.argmin()), float(distance.min())


@pytest.mark.parametrize("mixed", [False, True])
def test_all_27_points_of_three_switches(mixed):
    """Three double wells: 8 stable corners, 12 saddles of one, 6 of two growing modes, 1 unstable point."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] if mixed else np.eye(3)

    def step(x, u):
        y = x @ turn
        return (y + 0.2 * (y - y**3)) @ turn.T

    system = StepMap(step, 3, bin_width=BIN)
    found = fixed_points(system, visited_by(system))
    corners = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
    assert len(found) == 27 and found.is_fixed.all()
    for corner in corners:
        i, distance = nearest(found, turn @ corner)
        n_growing = int((corner == 0).sum())
        assert distance < 1e-4 and found.n_growing[i] == n_growing
        assert found.kind[i] == {0: "stable", 3: "unstable"}.get(n_growing, "saddle")
        rates = np.sort(np.where(corner == 0, 1.2, 0.6))[::-1]
        np.testing.assert_allclose(found.modes.time_constants[i], -BIN / np.log(rates), rtol=0.01)


def test_lorenz_origin_and_wings():
    """The origin is a saddle, both wings are saddles with a growing rotation; rates are those of the equations."""
    dt, sigma, rho, beta = 0.005, 10.0, 28.0, 8 / 3

    def step(x, u):
        a, b, c = x.T
        return x + dt * jnp.stack([sigma * (b - a), a * (rho - c) - b, a * b - beta * c], axis=1)

    system = StepMap(step, 3, bin_width=dt)
    found = fixed_points(system, visited_by(system, 20, 1000, spread=8.0, centre=np.array([0, 0, 25])))
    wing = np.sqrt(beta * (rho - 1))
    assert len(found) == 3 and found.kind == ["saddle"] * 3
    for place, n_growing in (((0, 0, 0), 1), ((wing, wing, rho - 1), 2), ((-wing, -wing, rho - 1), 2)):
        i, distance = nearest(found, np.array(place))
        a, b, c = place
        slope = np.eye(3) + dt * np.array([[-sigma, sigma, 0], [rho - c, -1, -a], [b, a, -beta]])
        true = Modes.of(slope[None], dt)
        assert distance < 1e-4 * wing and found.n_growing[i] == n_growing
        np.testing.assert_allclose(found.modes.time_constants[i], true.time_constants[0], rtol=0.01)
        np.testing.assert_allclose(found.modes.frequencies[i], true.frequencies[0], rtol=0.01, atol=1e-6)


def test_limit_cycle_has_an_unstable_focus():
    """Inside a limit cycle is one point, whose growth and frequency are those of the equation."""
    growth, angle = 0.05, 2 * np.pi * 4 * BIN  # 4 Hz

    def step(x, u):
        size = (x**2).sum(1, keepdims=True)
        turned = jnp.stack(
            [jnp.cos(angle) * x[:, 0] - jnp.sin(angle) * x[:, 1], jnp.sin(angle) * x[:, 0] + jnp.cos(angle) * x[:, 1]],
            1,
        )
        return turned * (1 + growth * (1 - size))

    system = StepMap(step, 2, bin_width=BIN)
    found = fixed_points(system, visited_by(system))
    assert len(found) == 1 and found.kind == ["unstable"] and np.abs(found.states).max() < 1e-4
    np.testing.assert_allclose(found.modes.frequencies[0], 4.0, rtol=0.01)
    np.testing.assert_allclose(found.modes.time_constants[0], -BIN / np.log(1 + growth), rtol=0.01)


def test_line_attractor_is_a_row_of_points_with_one_lasting_mode():
    """Along the line nothing moves, across it everything decays; the mode that lasts points along the line."""
    line, across = np.array([0.6, 0.8]), np.array([-0.8, 0.6])

    def step(x, u):
        return x - 0.3 * jnp.tanh(x @ across)[:, None] * across

    system = StepMap(step, 2, bin_width=BIN)
    found = fixed_points(system, visited_by(system))
    assert len(found) > 20 and found.is_fixed.all() and set(found.kind) == {"stable"}
    assert (found.n_lasting == 1).all() and np.abs(found.states @ across).max() < 1e-4
    np.testing.assert_allclose(np.abs(found.modes.right[:, :, 0] @ line), 1.0, atol=1e-3)
    np.testing.assert_allclose(found.modes.time_constants[:, 1], -BIN / np.log(0.7), rtol=0.01)


def test_slow_points_and_points_far_away_are_told_apart():
    """Between two wells that have merged the state is slow but moves; a point far from the data is left out."""
    ghost = StepMap(lambda x, u: x + 0.1 * (x**2 + 0.05), 1)
    states = np.random.default_rng(0).uniform(-1, 1, (20, 30, 1))
    seen = Visited(states[:, 0], states, np.zeros((20, 30, 0)), np.ones((20, 30), bool))
    found = fixed_points(ghost, seen, same=0.05)
    assert len(found) == 1 and not found.is_fixed[0] and found.kind[0].startswith("slow")
    assert found.states[0, 0] == pytest.approx(0.0, abs=0.02)
    far = StepMap(lambda x, u: x + 0.1 * (x - 30.0), 1)
    assert len(fixed_points(far, seen, farthest=5.0)) == 0
    assert len(fixed_points(far, seen, farthest=100.0)) == 1


def test_inputs_move_the_point():
    """Held inputs: zero, their mean, one for all starts, one for each start; wrong shapes are named."""
    system = StepMap(lambda x, u: 0.5 * x + u, 2, 2, input_names=("a", "b"))
    rng = np.random.default_rng(0)
    states, inputs = rng.normal(size=(10, 20, 2)), 1.0 + rng.normal(size=(10, 20, 2))
    seen = Visited(states[:, 0], states, inputs, np.ones((10, 20), bool))
    np.testing.assert_allclose(fixed_points(system, seen).states, [[0, 0]], atol=1e-6)
    np.testing.assert_allclose(
        fixed_points(system, seen, inputs="mean").states, 2 * inputs.mean((0, 1))[None], atol=1e-6
    )
    given = np.array([0.25, -0.5])
    np.testing.assert_allclose(fixed_points(system, seen, inputs=given).states, [2 * given], atol=1e-6)
    each = np.repeat([[0.1, 0.2], [-0.1, 0.3]], 4, axis=0)
    found = fixed_points(system, seen, inputs=each, n_starts=8)
    np.testing.assert_allclose(found.states, 2 * found.inputs, atol=1e-6)
    assert len(found) == 2 and found.n_starts.tolist() == [4, 4]
    with pytest.raises(lfadsx.LfadsxError, match=r"shape \(2,\).*inputs are \['a', 'b'\]"):
        fixed_points(system, seen, inputs=np.zeros(3))
    broken = Visited(seen.start, np.full_like(states, np.nan), inputs, seen.inside)
    with pytest.raises(lfadsx.LfadsxError, match="visited states must be finite"):
        fixed_points(system, broken)
    with pytest.raises(lfadsx.LfadsxError, match="'zero', 'mean' or numbers"):
        fixed_points(system, seen, inputs="none")  # pyright: ignore[reportArgumentType]


def test_modes_rebuild_the_jacobian():
    """Right and left vectors are inverse, the slowest mode stands first, growth has a negative time constant."""
    jacobian = np.random.default_rng(0).normal(size=(4, 5, 5)) / 2
    modes = Modes.of(jacobian, 0.02)
    rebuilt = modes.right @ (modes.eigenvalues[:, :, None] * modes.left)
    np.testing.assert_allclose(rebuilt, jacobian, atol=1e-10)
    assert (np.diff(np.abs(modes.eigenvalues), axis=1) <= 1e-12).all()
    grows = np.abs(modes.eigenvalues) > 1
    assert grows.any() and (modes.time_constants[grows] < 0).all() and (modes.time_constants[~grows] > 0).all()


class TwoParts(AbstractGenerator):
    """A generator whose state is not one array."""

    def __init__(self, n_ic, n_known_inputs, n_inferred_inputs, n_units, *, rngs):
        self.n_state = n_units
        self.w = nnx.Param(0.3 * rngs.params.normal((n_units + n_inferred_inputs, n_units)))
        self.start = nnx.Param(rngs.params.normal((n_ic, n_units)))

    def initial_state(self, initial_condition):
        fast = jnp.tanh(initial_condition @ self.start[...])
        return {"fast": fast, "slow": jnp.stack([fast, -fast], axis=2)}

    def step(self, state, projected_t, live_t):
        fast = jnp.tanh(jnp.concatenate([state["fast"], live_t], axis=1) @ self.w[...] + state["slow"].mean(2))
        return {"fast": fast, "slow": 0.9 * state["slow"] + 0.1 * fast[:, :, None]}

    def readable(self, state):
        return state["fast"]


def model_of(kind):
    data = lfadsx.datasets.chaotic_rnn(conditions=3, duration=0.2)
    known = np.random.default_rng(0).normal(size=(data.train.n_trials + data.valid.n_trials, 20, 2)).astype(np.float32)
    how: dict[str, Any] = dict(generator_dim=6, factors=4, rngs=nnx.Rngs(0))
    if kind == "autonomous":
        return lfadsx.autonomous(data, **how), data
    if kind == "own state":
        return lfadsx.inferred_input(data, inferred_inputs=2, generator=TwoParts, **how), data
    given = lfadsx.from_arrays(
        np.concatenate([data.train.targets["spikes"], data.valid.targets["spikes"]]), known_inputs=known, bin_width=BIN
    )
    if kind == "known inputs and bias":
        return lfadsx.inferred_input(given, inferred_inputs=2, bias_dim=3, known_inputs_to="generator", **how), given
    return lfadsx.inferred_input(data, inferred_inputs=2, generator=kind, **how), data


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("autonomous", "neural_ode")),
        *("gru", "known inputs and bias", "own state"),
    ],
)
def test_the_map_of_a_model_is_its_decoder(kind):
    """States, factors and Jacobians of the map are those of the model, also for own states, known inputs and a bias."""
    model, data = model_of(kind)
    system = step_map(model, data)
    seen = visit(model, data, system)
    post = lfadsx.infer(model, data, n_samples=0)
    factors = np.asarray(system.observed(jnp.asarray(seen.states)))
    np.testing.assert_allclose(factors, post.factors, atol=1e-5)
    assert len(system.input_names) == system.n_inputs == seen.inputs.shape[2]
    if kind != "own state":
        np.testing.assert_allclose(seen.states, post.generator_states, atol=1e-5)
    else:
        assert system.n_states == 3 * 6
    before, inputs = seen.before[:2, 5], seen.inputs[:2, 5]
    of_state, of_input = jacobians(system, before, inputs)
    for of, place in ((of_state, 0), (of_input, 1)):
        for i in range(of.shape[-1]):
            moved = [before.astype(np.float32).copy(), inputs.astype(np.float32).copy()]
            moved[place][:, i] += 1e-2
            back = [before.astype(np.float32).copy(), inputs.astype(np.float32).copy()]
            back[place][:, i] -= 1e-2
            slope = (
                np.asarray(system.step(*map(jnp.asarray, moved))) - np.asarray(system.step(*map(jnp.asarray, back)))
            ) / 2e-2
            np.testing.assert_allclose(of[:, :, i], slope, atol=2e-3)
    found = fixed_points(system, seen, n_starts=16, adam_steps=100)
    assert found.states.shape[1] == system.n_states and "fixed points" in repr(found)


@pytest.mark.parametrize(("kept", "alone", "held"), [(0.0, 0.0, -1.0), (0.9, 0.81, 0.8)])
def test_autonomy_is_what_the_state_alone_predicts(kept, alone, held):
    """Of a first-order process with noise as input: the squared correlation; as if nothing moved, twice it less one."""
    system = StepMap(lambda x, u: kept * x + u, 1, 1, bin_width=BIN)
    inputs = np.random.default_rng(0).normal(size=(4000, 30, 1)).astype(np.float32)
    start = np.random.default_rng(1).normal(size=(4000, 1)) / np.sqrt(1 - kept**2)
    states = np.asarray(roll_out(system, jnp.asarray(start, jnp.float32), inputs))
    seen = Visited(start, states, inputs, np.ones((4000, 30), bool))
    found = autonomy(system, seen, 5)
    np.testing.assert_allclose(found.alone, kept ** (2 * found.bins), atol=0.03)
    np.testing.assert_allclose(found.held, 2 * kept**found.bins - 1, atol=0.03)
    assert found.alone[0] == pytest.approx(alone, abs=0.03) and found.held[0] == pytest.approx(held, abs=0.03)
    assert found.lasts == pytest.approx(BIN * (0.81**found.bins >= 0.5).sum() if kept else 0.0)
    inputs[:] = 0
    still = np.asarray(roll_out(system, jnp.asarray(start, jnp.float32), inputs))
    assert (autonomy(system, Visited(start, still, inputs, seen.inside), 5).alone[: 5 if kept else 1] > 0.999).all()


def test_the_command_writes_a_table_a_figure_and_sentences(tmp_path, capsys):
    """`lfadsx dynamics` on a run, with the data of the run and with files; wrong words end in one line."""
    data = lfadsx.datasets.chaotic_rnn(conditions=3, duration=0.2)
    [file] = lfadsx.data.write_dataset(tmp_path, data)
    data = lfadsx.read(file)
    model = lfadsx.inferred_input(data, generator_dim=6, factors=4, inferred_inputs=2, rngs=nnx.Rngs(0))
    lfadsx.fit(model, data, epochs=1, out=tmp_path / "run", progress=False)
    assert main(["dynamics", str(tmp_path / "run"), str(file), "--starts", "16", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads((tmp_path / "run" / "dynamics.json").read_text())
    summary = json.loads(shown.out.splitlines()[-1])
    assert summary["n_points"] == len(found["fixed_points"]) == sum(summary["kinds"].values())
    assert "With zero inputs the generator has" in shown.err and "roll-outs predict" in shown.err
    assert len(found["autonomy"]["alone"]) == 10
    facts = {"version": lfadsx.__version__, "which": "best", "split": "valid", "bin_width": BIN, "n_starts": 16}
    assert facts.items() <= found.items()
    if found["fixed_points"]:
        table = (tmp_path / "run" / "dynamics.csv").read_text().splitlines()
        assert len(table) == 1 + len(found["fixed_points"]) and "time_constants_s_4" in table[0]
    assert (tmp_path / "run" / "figures" / "dynamics.png").stat().st_size > 10_000
    assert main(["dynamics", str(tmp_path / "nowhere")]) == 2
    assert main(["dynamics", str(tmp_path / "run"), str(file), "--starts", "0"]) == 2
    assert "`n_starts` must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("later", [True, False])
def test_a_direction_that_is_read_later_is_not_superfluous(later):
    """Of a chain of two units only the second is read: the first one counts if it drives the second."""
    couple = np.array([[0.8, 0.3 if later else 0.0], [0.0, 0.8]])
    system = StepMap(lambda x, u: x @ couple + u, 2, 2, observe=lambda x: x[:, 1:])
    inputs = np.random.default_rng(0).normal(size=(40, 50, 2)).astype(np.float32)
    start = np.zeros((40, 2), np.float32)
    seen = Visited(start, np.asarray(roll_out(system, start, inputs)), inputs, np.ones((40, 50), bool))
    found = observability(system, seen)
    share = np.var(seen.points[:, 0]) / np.var(seen.points, axis=0).sum()
    assert found.unread == pytest.approx(0.0 if later else share, abs=0.01)
    covariance = np.cov(seen.points.T)
    assert found.dimensions == pytest.approx(np.trace(covariance) ** 2 / (covariance**2).sum(), rel=1e-3)
    # Gains are those of pushes along the directions, followed by roll-outs.
    for gain, push in zip(found.gains, found.directions.T, strict=True):
        pushed = np.asarray(roll_out(system, seen.before[:, 10] + push, inputs[:, 10:]))
        change = ((pushed - seen.states[:, 10:])[:, :, 1] / seen.points[:, 1].std()) ** 2
        assert gain == pytest.approx(np.sqrt(change.mean()), rel=0.15, abs=1e-3)


def test_observability_of_a_model_ends_with_its_trials():
    """Padding after trials does not count, and nothing is left unread if all units are read."""
    system = StepMap(lambda x, u: 0.9 * x, 3)
    start = np.random.default_rng(0).normal(size=(30, 3))
    states = np.asarray(roll_out(system, jnp.asarray(start, jnp.float32), np.zeros((30, 20, 0))))
    inside = np.arange(20) < 10
    padded = np.where(inside[:, None], states, 1e6)
    whole = Visited(start, states[:, :10], np.zeros((30, 10, 0)), np.ones((30, 10), bool))
    ragged = Visited(start, padded, np.zeros((30, 20, 0)), np.broadcast_to(inside, (30, 20)))
    one, other = observability(system, whole), observability(system, ragged)
    np.testing.assert_allclose(one.gains, other.gains, rtol=1e-5)
    assert one.unread < 1e-3 and "unread" in repr(one)


def test_models_that_differ_only_in_their_weights_share_programs():
    """Checking many models of a sweep compiles once, and keeps no weights."""
    data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
    maps = [
        step_map(lfadsx.inferred_input(data, generator_dim=5, inferred_inputs=1, seed=seed), data) for seed in (0, 1)
    ]
    start, inputs = np.ones((3, 5), np.float32), np.zeros((3, 4, 1), np.float32)
    first = roll_out(maps[0], start, inputs)
    n = roll_out._cache_size()
    assert not np.allclose(first, roll_out(maps[1], start, inputs)) and roll_out._cache_size() == n


def test_flow_is_the_movement_of_the_held_system():
    """In a plane of one's own, with the mean of the inputs held; speed counts what leaves the plane."""
    system = StepMap(lambda x, u: 0.9 * x + u @ jnp.ones((1, 3)), 3, 1)
    rng = np.random.default_rng(0)
    states, inputs = rng.normal(size=(10, 20, 3)), 0.5 + rng.normal(size=(10, 20, 1))
    seen = Visited(states[:, 0], states, inputs, np.ones((10, 20), bool))
    axes = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    field = flow_field(system, seen, inputs="mean", axes=axes, n=5)
    place = seen.centre + axes @ field.places[1, 3]
    move = -0.1 * place + inputs.mean()
    np.testing.assert_allclose(field.flow[1, 3], axes.T @ move, atol=1e-5)
    np.testing.assert_allclose(field.speed[1, 3], np.linalg.norm(move) / seen.speed, rtol=1e-4)
    line = speed_between(system, seen, np.zeros(3), np.full(3, 10.0), inputs=np.ones(1), n=3)
    np.testing.assert_allclose(line * seen.speed, np.sqrt(3) * np.array([1.0, 0.5, 0.0]), atol=1e-4)
    with pytest.raises(ValueError, match=r"must have the shape \(1,\)"):
        flow_field(system, seen, inputs=np.ones(2))


def test_who_moves_what_is_observed_in_trials_of_two_lengths():
    """Padding counts for neither; a bin that no trial has is NaN."""
    system = StepMap(lambda x, u: x + 1.0 + u, 1, 1)
    inside = np.arange(6) < np.array([[3], [5]])
    inputs = np.where(inside[:, :, None], np.array([0.0, 2.0])[:, None, None], 0.0).astype(np.float32)
    start = np.zeros((2, 1), np.float32)
    seen = Visited(start, np.asarray(roll_out(system, start, inputs)), inputs, inside)
    found, spread = influence(system, seen), seen.points.std()
    np.testing.assert_allclose(found.own[:5] * spread, 1.0, rtol=1e-5)
    np.testing.assert_allclose(found.inputs[:5] * spread, [np.sqrt(2)] * 3 + [2.0] * 2, rtol=1e-5)
    assert np.isnan(found.own[5]) and np.isnan(found.inputs[5])


def test_every_trial_has_its_own_point_with_its_bias():
    """A decay towards the bias, beside an input that must be held at zero."""
    system = StepMap(lambda x, u: 0.8 * x + 0.2 * u[:, 1:] + u[:, :1], 1, 2, n_inferred=1, n_bias=1)
    bias = np.array([-1.0, 0.5, 2.0])
    inputs = np.stack([np.random.default_rng(0).normal(size=(3, 30)), np.tile(bias[:, None], 30)], axis=2)
    start = np.zeros((3, 1), np.float32)
    states = np.asarray(roll_out(system, start, inputs.astype(np.float32)))
    seen = Visited(start, states, inputs, np.ones((3, 30), bool))
    found = fixed_points(system, seen, inputs="bias", n_starts=64)
    order = np.argsort(found.states[:, 0])
    np.testing.assert_allclose(found.states[order, 0], bias, atol=1e-4)
    np.testing.assert_allclose(found.inputs[order], np.stack([0 * bias, bias], 1))
    with pytest.raises(ValueError, match="must be 'zero', 'mean' or numbers, got 'bias'"):
        fixed_points(StepMap(lambda x, u: 0.8 * x + u[:, :1], 1, 2), seen, inputs="bias")
