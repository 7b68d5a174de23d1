"""Steps that are not finite: their causes are named, and a rescue halves the learning rate from the last good state."""

import dataclasses
import itertools
import os
import signal

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.distributions import GaussianByChannel
from lfadsx.objective import Objective
from lfadsx.search import Ensemble
from lfadsx.search.strategy import repeat
from lfadsx.training import cohort
from lfadsx.training.loop import Loop
from lfadsx.training.rescue import go_back, keep_good
from lfadsx.training.schedules import Monitor
from lfadsx.training.state import TrainState

CONFIG = lfadsx.TrainConfig(epochs=2, batch_size=2, kl_ramp_epochs=0, l2_ramp_epochs=0, validate_every=1)
QUIET = dict(progress=False, hyper=lfadsx.HyperParams(dropout_rate=0.1))


def trials(place=(), value=0.0):
    """12 real-valued trials with the ids 100 to 111; those of even number train."""
    values = np.random.default_rng(0).standard_normal((12, 4, 3))
    if place:
        values[place] = value
    split = ["valid" if trial % 2 else "train" for trial in range(12)]
    return lfadsx.from_arrays(values, kind="real", split=split, trial_id=np.arange(100, 112), session="day1")


class _Fragile(GaussianByChannel):
    """A likelihood that is not finite for values above 100."""

    def log_prob(self, params, data):
        return jnp.where(data > 100.0, -jnp.inf, super().log_prob(params, data))


@pytest.fixture(scope="module")
def model():
    return making.build(trials(), likelihood=_Fragile, inferred_inputs=1)


def test_a_skipped_step_names_trial_term_and_entry(model, caplog):
    result = lfadsx.fit(model, trials((8, 2, 1), 1e3), config=CONFIG, **QUIET)
    assert result.skipped_steps == 2  # one in each epoch
    cause = (
        "because the reconstruction of spikes was not finite in trial 108 of session 'day1' (bin 2, channel 1, value "
        "1000). Look for extreme values in the data of these trials, or leave the trials out."
    )
    assert f"A step of epoch 1 was skipped {cause}" in caplog.text and f"epoch 2 was skipped {cause}" in caplog.text
    assert "In epoch 1, the reconstruction of spikes was not finite in trial 108" in result.findings[0].sentence


@pytest.mark.slow
def test_causes_are_found_with_the_parameters_before_the_step(model, monkeypatch):
    """A block of one step begins with them; in a longer block they are computed again."""
    seen, find = {}, cohort.find_causes
    for steps in (1, 3):
        monkeypatch.setattr(
            cohort, "find_causes", lambda *args, steps=steps: seen.setdefault(steps, args[1:]) and find(*args)
        )
        config = dataclasses.replace(CONFIG, epochs=1, steps_per_block=steps, seed=3)
        result = lfadsx.fit(model, trials((8, 2, 1), 1e3), config=config, **QUIET)
        assert result.skipped_steps == 1
    (one, *_), (other, *_) = seen[1], seen[3]
    assert int(one.step) == int(other.step) > 0  # not the first step of the epoch
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one.params, other.params)
    first, last = making.flat(one.params), making.flat(nnx.state(result.last, nnx.Param))
    assert any(not np.allclose(first[path], last[path], atol=1e-5) for path in first)


@dataclasses.dataclass(frozen=True)
class _RootOfBias(Objective):
    """Adds a term whose value is finite and whose gradient by one parameter is not."""

    def __call__(self, model, *args):
        value, parts = super().__call__(model, *args)
        return value + jnp.sqrt(0.0 * jnp.sum(model.decoder.factor_map.weight[...])), parts


class _Breaks(Ensemble):
    """Member 1 has a KL of the inferred inputs that is infinite in float32."""

    def start(self, rng, n, hyper):
        return dataclasses.replace(repeat(hyper, n), kl_co_scale=np.where(np.arange(n) == 1, 1e39, 0.1))


@pytest.mark.slow
def test_gradients_and_members_are_named(model, caplog):
    lfadsx.fit(model, trials(), config=dataclasses.replace(CONFIG, epochs=1), objective=_RootOfBias(), **QUIET)
    said = "the gradient of decoder/factor_map/weight was not finite in all 2 trials of the step, such as 1"
    assert said in caplog.text and "; 3 steps of its block were skipped. If this continues, lower" in caplog.text
    result = lfadsx.population(model, trials(), members=2, strategy=_Breaks(), config=CONFIG, **QUIET)
    assert "Member 1: A step of epoch 1 was skipped because the KL of the inferred inputs was not" in caplog.text
    assert [own.skipped_steps for own in result.members] == [0, 6]
    assert "Members [1]: 6 steps had a loss or gradient" in result.findings[0].sentence


@dataclasses.dataclass(frozen=True)
class _Fence(Objective):
    """Infinite where the biases of the factors' read-out have moved far, as they do with a high learning rate."""

    def __call__(self, model, *args):
        value, parts = super().__call__(model, *args)
        moved = jnp.max(jnp.abs(model.decoder.generator.gru.bias[...]))
        return value + jnp.where(moved > 2.5, jnp.inf, 0.0), parts


RESCUED = dataclasses.replace(CONFIG, epochs=5, rescue=2, steps_per_block=2, schedule="constant", learning_rate_stop=0)
FAST = lfadsx.HyperParams(learning_rate=1.0, dropout_rate=0.1)


def rescued(model, n_members=0, **settings):
    """A training that breaks down twice; of `n_members` models, or of a single one."""
    settings = dict(config=RESCUED, hyper=FAST, objective=_Fence(), progress=False) | settings
    if n_members:
        return lfadsx.population(model, trials(), members=n_members, **settings)
    return lfadsx.fit(model, trials(), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("n_members", [0, 2])
def test_rescued_runs_halve_the_learning_rate_and_resume_bit_for_bit(model, tmp_path, monkeypatch, caplog, n_members):
    making.allow_skipped_steps(monkeypatch, 1)
    whole = rescued(model, n_members)
    said = "Rescue 1 of 2 in epoch 2: 3 steps were not finite, so training continues from the last good state with half"
    assert caplog.text.count(said) == max(n_members, 1)
    original, n_blocks = Loop._train_block, itertools.count(1)

    def train(self):
        if next(n_blocks) == 5:  # after a rescue, in the middle of an epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_block", train)
        assert rescued(model, n_members, out=tmp_path).reason == "interrupted"
    again = rescued(model, n_members, out=tmp_path)
    for one, other in zip(*(getattr(run, "members", [run]) for run in (whole, again)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, nnx.state(one.last), nnx.state(other.last))
        assert one.skipped_steps == other.skipped_steps and one.findings == other.findings
        assert one.history["learning_rate"][[0, -1]].tolist() in ([1.0, 0.5], [1.0, 0.25])
        assert "The model was rescued 2 times (epoch 2, " in " ".join(map(str, one.findings))


def test_a_rescue_takes_parameters_and_moments_back_and_nothing_else():
    monitor = Monitor.start({"w": jnp.zeros(2)})
    fields = dict(
        fixed={}, augmentations={}, key=jax.random.key(0), monitor=monitor, good=({"w": jnp.zeros(2)}, (0.0,))
    )
    kept = TrainState({"w": jnp.ones(2)}, optimizer=(1.0,), step=jnp.array(5), skipped=jnp.array(0), **fields)
    moved = dataclasses.replace(keep_good(kept, jnp.array(True)), params={"w": jnp.full(2, 7.0)}, optimizer=(7.0,))
    moved = dataclasses.replace(moved, step=jnp.array(9), skipped=jnp.array(21))
    same = go_back(keep_good(moved, jnp.array(False)), jnp.array(False))
    assert same.params["w"].tolist() == [7.0, 7.0] and same.skipped == 21 and same.monitor.rate_scale == 1.0
    back = go_back(go_back(same, jnp.array(True)), jnp.array(True))
    assert back.params["w"].tolist() == [1.0, 1.0] and back.optimizer == (1.0,)
    assert (back.step, back.skipped, back.monitor.rate_scale) == (9, 0, 0.25)


def test_a_run_that_breaks_off_leaves_its_best_model(model, tmp_path, monkeypatch):
    making.allow_skipped_steps(monkeypatch, 1)
    config = dataclasses.replace(RESCUED, rescue=0)
    run = rescued(model, config=config, out=tmp_path)
    assert run.reason == "not finite" and "rescue=3 (--rescue 3)" in run.findings[0].remedy
    for which, kept in (("best", run.model), ("last", run.last)):
        loaded = lfadsx.load(tmp_path, which=which, parts=[_Fragile])
        jax.tree.map(np.testing.assert_array_equal, nnx.state(kept), nnx.state(loaded))
