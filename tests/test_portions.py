"""Trials of a step that a device computes in portions: the same numbers, in less memory."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from flax import nnx
from test_training import CONFIG, SCHEDULE, begin, build, close, ragged_sessions

import lfadsx
from lfadsx import parallel
from lfadsx.data.batching import take
from lfadsx.parallel import make_mesh
from lfadsx.training.step import StepReport, run_block


@pytest.fixture(scope="module")
def data():
    return ragged_sessions()


@pytest.mark.slow
def test_trials_computed_in_portions_train_and_validate_as_all_at_once():
    """Ten trials of a step are two portions of three on each of two devices, two of them padding."""
    config = dataclasses.replace(CONFIG, batch_size=10)
    settings = ((make_mesh(2), dataclasses.replace(config, trials_at_once=3)), (None, config))
    with jax.enable_x64(True):
        data = ragged_sessions(1)
        portions, whole = [lfadsx.fit(build(data), data, config=config, mesh=mesh) for mesh, config in settings]
    close(nnx.state(portions.last), nnx.state(whole.last), 1e-9)
    for name in ("loss", "reconstruction", "kl_inputs", "l2", "score", "valid_kl_ic"):
        np.testing.assert_allclose(portions.history[name], whole.history[name], rtol=1e-9)


@pytest.mark.slow
def test_fewer_trials_at_once_take_less_memory(data):
    def temporary(at_once):
        config = dataclasses.replace(CONFIG, trials_at_once=at_once)
        program, state = begin(build(data), data, config)
        block = take(data.sessions, data.train, np.arange(16)[None])
        compiled = run_block.lower(program, state, lfadsx.HyperParams(), SCHEDULE, block).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(2) < 0.5 * temporary(16)


def test_cores_that_are_devices_compute_32_trials_at_once_and_other_devices_all():
    class Card:
        platform = "gpu"

    cards = types.SimpleNamespace(devices=np.array([[Card()], [Card()]]), size=2)
    found = [parallel.portion_limit(0, mesh) for mesh in (None, make_mesh(1), make_mesh(2), cards)]
    assert found == [0, 0, 32, 0]
    assert {parallel.portion_limit(7, mesh) for mesh in (None, make_mesh(2), cards)} == {7}


@pytest.mark.slow
def test_the_loss_of_a_step_does_not_depend_on_portions_nor_its_rows_on_the_batch_size(data):
    def of(rows, at_once):
        program, state = begin(build(data), data, dataclasses.replace(CONFIG, trials_at_once=at_once))
        block = take(data.sessions, data.train, np.arange(rows)[None])
        return StepReport.of(run_block(program, state, lfadsx.HyperParams(), SCHEDULE, block)[1]).loss

    np.testing.assert_allclose(of(4, 4), of(4, 0), rtol=1e-5)
    np.testing.assert_allclose(of(12, 4), of(12, 0), rtol=1e-5)
    with pytest.raises(ValueError, match="7 trials of a device must make 2 equal portions of at most 4. Arrange"):
        of(7, 4)


@pytest.mark.parametrize(
    ("compiled", "what"),
    [
        ("block_runner", "The trials of a step"),
        pytest.param("run_validate", "The validation trials of a step", marks=pytest.mark.slow),
    ],
)
def test_a_step_that_does_not_fit_into_memory_is_a_matter_of_settings(data, monkeypatch, tmp_path, compiled, what):
    def full(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    config = dataclasses.replace(CONFIG, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(f"lfadsx.training.cohort.{compiled}", (lambda _: full) if compiled == "block_runner" else full)
        with pytest.raises(ValueError, match=f"{what} do not fit .* Set trials_at_once, e.g. to 32"):
            lfadsx.fit(build(data), data, config=config, out=tmp_path / "run")
    result = lfadsx.fit(build(data), data, config=dataclasses.replace(config, trials_at_once=4), out=tmp_path / "run")
    assert result.reason == "epochs"
