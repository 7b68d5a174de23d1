"""Similarity of generated and recorded trials: means, covariances between neurons and over time."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Num

from lfadsx import LfadsxError


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """Statistics of generated and of recorded trials.

    Covariances are about each channel's mean over all trials and bins, so that what varies between trials counts as
    well as what varies within. Those of one channel with itself at the same bin are left out: recorded counts have the
    noise of the likelihood there, and rates do not.

    Attributes:
        mean: Mean of each channel, generated and recorded, shape (2, channel).
        covariance: Covariance of each pair of different channels at the same bin, generated and recorded, shape
            (2, pair).
        autocovariance: Covariance of each channel with itself 1, 2, ... bins later, generated and recorded, shape
            (2, lag, channel).
        chosen: Channels with enough spikes for their mean to be compared, shape (channel,).
    """

    mean: Float[np.ndarray, "2 channel"]
    covariance: Float[np.ndarray, "2 pair"]
    autocovariance: Float[np.ndarray, "2 lag channel"]
    chosen: np.ndarray

    @property
    def mean_ratio(self) -> Float[np.ndarray, " chosen"]:
        """Generated mean divided by recorded mean, for the chosen channels."""
        return self.mean[0, self.chosen] / self.mean[1, self.chosen]

    @property
    def covariance_r(self) -> float:
        """Correlation between generated and recorded covariances, over pairs of channels."""
        return float(np.corrcoef(self.covariance)[0, 1])

    @property
    def autocovariance_r(self) -> Float[np.ndarray, " lag"]:
        """Correlation between generated and recorded autocovariances, over channels, for each lag."""
        return np.array([np.corrcoef(self.autocovariance[:, lag])[0, 1] for lag in range(self.autocovariance.shape[1])])


def resemblance(
    generated: Float[np.ndarray, "generated time channel"],
    recorded: Num[np.ndarray, "recorded time channel"],
    *,
    n_lags: int = 10,
    min_spikes: int = 100,
) -> Resemblance:
    """Returns means and covariances of generated and of recorded trials.

    Args:
        generated: Rates of generated trials in the unit of the data, from `lfadsx.generate`.
        recorded: Recorded trials of the same channels, all of them of full length and observed.
        n_lags: Largest lag in bins.
        min_spikes: Channels with a smaller sum of recorded data are not `chosen`.

    Raises:
        LfadsxError: The channels differ, or there are no more bins than lags.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rates = np.exp(rng.normal(size=(200, 1, 1)) * rng.normal(size=(1, 12, 6)))
        >>> found = resemblance(rates, rng.poisson(rates), n_lags=3)
        >>> bool(found.covariance_r > 0.9), bool((found.autocovariance_r > 0.9).all())
        (True, True)
    """
    if generated.shape[2] != recorded.shape[2]:
        raise LfadsxError(
            f"Generated trials must have the channels of the recorded ones, got {generated.shape[2]} channels and "
            f"recorded ones {recorded.shape[2]}. Pass those of the same session."
        )
    n_bins = min(generated.shape[1], recorded.shape[1])
    if n_lags >= n_bins:
        raise LfadsxError(f"`n_lags` must be below the number of bins, got {n_lags} lags and {n_bins} bins.")
    both = [np.asarray(values, np.float64) for values in (generated, recorded)]
    means = np.stack([values.mean((0, 1)) for values in both])
    centred = [values - mean for values, mean in zip(both, means, strict=True)]
    pairs = np.triu_indices(generated.shape[2], k=1)
    covariance = [np.tensordot(x, x, axes=((0, 1), (0, 1)))[pairs] / (x.shape[0] * x.shape[1]) for x in centred]
    later = [[(x[:, :-lag] * x[:, lag:]).mean((0, 1)) for lag in range(1, n_lags + 1)] for x in centred]
    return Resemblance(means, np.stack(covariance), np.array(later), both[1].sum((0, 1)) >= min_spikes)
