"""The benchmark of small latents, without its training: data, horizon, scores and the file of results."""

import dataclasses

import numpy as np
import pytest

import lfadsx
from benchmarks import small_latents


@pytest.fixture(scope="module", params=small_latents.SYSTEMS)
def simulated(request):
    budget = dataclasses.replace(small_latents.QUICK, trials=200)
    return small_latents.simulated(small_latents.SYSTEMS[request.param], budget)


def test_log_rates_are_standardised_maps_of_the_states(simulated):
    data, states = simulated
    truth = np.concatenate([split.truth for split in data.splits.values()])
    rows = np.concatenate([split.row for split in data.splits.values()])
    log_rates = np.log(truth)
    np.testing.assert_allclose(log_rates.std((0, 1)), 1.0, rtol=1e-4)
    flat = states[rows].reshape(-1, 3) - states.reshape(-1, 3).mean(0)
    fit = np.linalg.lstsq(flat, log_rates.reshape(-1, 10), rcond=None)
    assert np.sqrt(fit[1].max() / len(flat)) < 1e-4
    assert [split.n_trials for split in data.splits.values()] == [128, 32, 40]


def test_the_horizon_hides_late_targets_from_the_loss_alone(simulated):
    data, _ = simulated
    early = small_latents.up_to(data, 5)
    batch = lfadsx.data.batch(early)
    scored = np.asarray(batch.scored("spikes"))
    assert scored[:, :5].all() and not scored[:, 5:].any() and np.asarray(batch.seen()).all()
