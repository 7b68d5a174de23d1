"""Generated beside recorded trials: means, covariances, autocovariances."""

import numpy as np
import pytest
from example_tools.resemblance import resemblance
from example_tools.resemblance_figure import resemblance_figure


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(0)
    generated, recorded = rng.gamma(2.0, size=(7, 9, 4)), rng.poisson(2.0, size=(11, 9, 4))
    recorded[:, :, 3] = 0
    return generated, recorded


def test_statistics_are_those_of_numpy(both):
    found = resemblance(*both, n_lags=2, min_spikes=1)
    for number, values in enumerate(both):
        flat = values.reshape(-1, 4)
        np.testing.assert_allclose(found.mean[number], flat.mean(0))
        np.testing.assert_allclose(found.covariance[number], np.cov(flat.T, bias=True)[np.triu_indices(4, k=1)])
        centred = values - flat.mean(0)
        for lag in (1, 2):
            expected = [
                np.mean([trial[i, c] * trial[i + lag, c] for trial in centred for i in range(9 - lag)])
                for c in range(4)
            ]
            np.testing.assert_allclose(found.autocovariance[number, lag - 1], expected, atol=1e-12)
    assert list(found.chosen) == [True, True, True, False]
    np.testing.assert_allclose(found.mean_ratio, both[0].mean((0, 1))[:3] / both[1].mean((0, 1))[:3])


def test_other_dynamics_do_not_resemble_and_noise_does_not_count():
    """Counts drawn from rates resemble these; rates with channels exchanged do not."""
    rng = np.random.default_rng(1)
    course = np.cumsum(rng.normal(size=(2000, 20, 2)), axis=1)
    rates = np.exp(0.15 * course @ rng.normal(size=(2, 8)))
    counts = rng.poisson(rates)
    same, other = resemblance(rates, counts), resemblance(rates[:, :, ::-1], counts)
    assert same.covariance_r > 0.99 and same.autocovariance_r.min() > 0.99
    assert other.covariance_r < 0.9
    assert np.abs(same.mean_ratio - 1).max() < 0.05


def test_what_cannot_be_compared_is_said(both):
    generated, recorded = both
    with pytest.raises(ValueError, match="3 channels and recorded ones 4"):
        resemblance(generated[:, :, :3], recorded)
    with pytest.raises(ValueError, match="got 9 lags and 9 bins"):
        resemblance(generated, recorded, n_lags=9)


def test_the_figure_holds_all_pairs(both):
    found = resemblance(*both, n_lags=3, min_spikes=1)
    means, pairs, lags = resemblance_figure(found).axes
    assert len(pairs.lines[-1].get_xdata()) == 6 and len(means.lines[-1].get_xdata()) == 3
    np.testing.assert_allclose(lags.lines[-1].get_ydata(), found.autocovariance[0].mean(1))
