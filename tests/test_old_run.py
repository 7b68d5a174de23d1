"""A run folder that the program before 0.1.0 wrote (format 1), with its data and rates; goes with `old_names.py`."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lfadsx
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.errors import RunError
from lfadsx.old_names import translated
from lfadsx.pipeline import evaluate_run, report_run
from lfadsx.settings_by_name import with_settings
from lfadsx.training import RunFolder

RUN = Path(__file__).parent / "old_run"


@pytest.fixture(scope="module")
def data():
    return lfadsx.read(RUN / "data.h5", sessions=["old_data"])


def test_the_rates_are_those_that_the_old_program_wrote(data):
    posterior = lfadsx.infer(lfadsx.load(RUN), data, "valid", n_samples=0)
    np.testing.assert_allclose(posterior.rates["spikes"], np.load(RUN / "rates.npy"), rtol=0, atol=1e-6)


def test_it_is_scored_and_described(data, tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    report_run(tmp_path / "run")
    assert "rose over 1 epochs from 0 to 1" in (tmp_path / "run" / "report.md").read_text()
    (tmp_path / "run" / "metrics.json").unlink()
    outcome = evaluate_run(tmp_path / "run", data, n_samples=2)
    assert np.isfinite(outcome.evaluation.scores["co_bps"])


def test_it_is_not_resumed(data, tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    with pytest.raises(RunError, match="has format 1, but this lfadsx resumes only format 2. Give another folder; the"):
        lfadsx.fit(lfadsx.load(RUN), data, out=tmp_path / "run", epochs=3, progress=False)


def test_its_settings_have_todays_names():
    info = RunFolder(RUN).info
    later = {
        "sv_rate",
        "neuron_dropout_rate",
        "spike_jitter_rate",
        "temporal_shift",
        "amplitude_noise",
        "l2_readin_scale",
        "other_targets_scale",
        "kl_bias_scale",
    }
    assert {*info.hyper, *later} == {field.name for field in dataclasses.fields(HyperParams)}
    # Settings that were added later have the values that change nothing.
    assert all(getattr(HyperParams(**info.hyper), name) == getattr(HyperParams(), name) for name in later)
    (config,) = with_settings("fit", info.train, TrainConfig())
    expected = dict(epochs=3, kl_ramp_epochs=1, l2_ramp_epochs=1, learning_rate_factor=0.95)
    assert config == TrainConfig(**expected)


def test_settings_that_changed_their_meaning_are_converted():
    run = json.loads((RUN / "run.json").read_text())
    run["train"] |= dict(kl_ramp_steps=50, l2_ramp_start_step=7, kl_ceiling=0.5, kl_co_floor=0.25, adam_eps=0.1)
    run["train"] |= dict(schedule="exponential", learning_rate_decay=0.99)
    new = translated(run)
    (config,) = with_settings("fit", new["train"], TrainConfig())
    assert config.ramps(9) == ((0, 50), (7, 0)) and config.kl_floors == (0.0, 0.5) and config.adam[2] == 0.1
    assert new["hyper"]["kl_co_scale"] == 0.02 and config.learning_rate_factor == 0.99
