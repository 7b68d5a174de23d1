"""Trust checks: information that rates leave out, states that nothing shows, inputs that do what dynamics should."""

import jax.numpy as jnp
import numpy as np
import pytest
from test_diagnostics import N_BINS, N_CHANNELS, N_TRIALS, found, healthy  # noqa: F401 (a fixture)

from lfadsx.dynamics import StepMap, Visited, roll_out, trust
from lfadsx.evaluation.metrics import smooth

SPIRAL = 0.99 * np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])


def visited_by(system: StepMap, inputs=None, n_trials=40, n_bins=50, seed=0) -> Visited:
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(n_trials, system.n_states))
    inputs = np.zeros((n_trials, n_bins, system.n_inputs)) if inputs is None else inputs
    states = np.asarray(roll_out(system, jnp.asarray(start, jnp.float32), jnp.asarray(inputs, jnp.float32)))
    return Visited(start, states, inputs, np.ones((n_trials, n_bins), bool))


def slow_inputs(n_trials=40, n_bins=50, n=2):
    return smooth(np.random.default_rng(1).normal(size=(n_trials, n_bins, n)), 4.0)


def names(checked):
    return {finding.name for finding in checked.findings}


def test_a_rotation_that_is_read_is_nothing_to_report():
    """Reading one of two states is enough, because the other one turns into it."""
    system = StepMap(lambda x, u: x @ SPIRAL, 2, observe=lambda x: x[:, :1])
    checked = trust(system, visited_by(system))
    assert checked.shown == pytest.approx(1.0) and checked.leakage is None and checked.alone > 0.999
    assert names(checked) == set()


def test_states_that_nothing_ever_shows():
    """Two rotations with the same variance, of which one is read."""
    system = StepMap(
        lambda x, u: jnp.concatenate([x[:, :2] @ SPIRAL, x[:, 2:] @ SPIRAL], 1), 4, observe=lambda x: x[:, :2]
    )
    checked = trust(system, visited_by(system))
    assert checked.shown == pytest.approx(0.5, abs=0.1) and names(checked) == {"unread states"}


def test_inputs_that_follow_from_the_state():
    """The same trajectories, once by dynamics with inputs of their own, once by inputs that do what dynamics should."""
    noise = 0.1 * np.random.default_rng(2).normal(size=(40, 50, 2))
    rotating = StepMap(lambda x, u: x @ SPIRAL + u, 2, n_inputs=2, n_inferred=2)
    seen = visited_by(rotating, noise)
    checked = trust(rotating, seen)
    assert checked.leakage == pytest.approx(0.0, abs=0.1) and names(checked) == set()
    lazy = StepMap(lambda x, u: x + u, 2, n_inputs=2, n_inferred=2)
    driven = Visited(seen.start, seen.states, seen.states - seen.before, seen.inside)
    checked = trust(lazy, driven)
    assert checked.leakage is not None and checked.leakage > 0.8 and "input leakage" in names(checked)
    # Inputs by chance do not follow from many states of few bins: they are predicted in other trials.
    many = StepMap(lambda x, u: 0.5 * x + u, 15, n_inputs=15, n_inferred=15)
    chance = np.random.default_rng(3).normal(size=(4, 10, 15))
    assert trust(many, visited_by(many, chance, 4, 10)).leakage < 0.1
    # Known inputs may follow from the state.
    given = StepMap(lambda x, u: x + u, 2, n_inputs=2)
    assert trust(given, driven).leakage is None


def test_a_generator_that_its_inputs_hold_in_place():
    """States that are copies of slow inputs fall to 0 without them; standing still predicts better."""
    copying = StepMap(lambda x, u: u, 2, n_inputs=2, n_inferred=2)
    checked = trust(copying, visited_by(copying, slow_inputs()))
    assert checked.alone == pytest.approx(0.0, abs=0.05) and checked.bins == 10
    assert ("autonomy gap" in names(checked)) == (checked.held > 0.3)
    integrating = StepMap(lambda x, u: x + 0.1 * u, 2, n_inputs=2, n_inferred=2)
    assert "autonomy gap" not in names(trust(integrating, visited_by(integrating, slow_inputs())))


@pytest.mark.parametrize(("n_trials", "n_bins"), [(1, 5), (3, 1), (1, 2)])
def test_few_trials_and_bins_are_no_finding(n_trials, n_bins):
    system = StepMap(lambda x, u: x @ SPIRAL + u, 2, 2, n_inferred=2)
    inputs = np.random.default_rng(0).normal(size=(n_trials, n_bins, 2)).astype(np.float32)
    checked = trust(system, visited_by(system, inputs, n_trials, n_bins))
    assert (checked.leakage is None) == (n_trials == 1) and np.isnan(checked.alone) == (n_bins == 1)
    assert names(checked) <= {"unread states", "input leakage"}
    with pytest.raises(ValueError, match="at least 2 visited states, got 1"):
        trust(system, visited_by(system, inputs[:1, :1], 1, 1))


@pytest.mark.parametrize("held_out", [True, False])
def test_information_that_rates_leave_out(healthy, held_out):  # noqa: F811
    """Rates that know only the mean of each neuron leave nearly all; true rates leave nothing (test_diagnostics)."""
    _, rates = healthy
    flat = np.broadcast_to(rates.mean((0, 1)), rates.shape).copy()
    finding = found(healthy, rates=flat, held_out=2 if held_out else 0, hidden_share=0.2)["information left"]
    assert finding.level == "warning" and finding.value > 0.9 and "underfits" in finding.remedy


def test_half_of_the_signal_is_information_left(healthy):  # noqa: F811
    """A model of log rates at half of their depth."""
    _, rates = healthy
    mean = np.log(rates).mean((0, 1))
    finding = found(healthy, rates=np.exp(mean + 0.5 * (np.log(rates) - mean)))["information left"]
    assert finding.value == pytest.approx(0.25, abs=0.15)
