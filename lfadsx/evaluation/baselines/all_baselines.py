"""All baselines at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.baselines.averages import condition_average, time_course
from lfadsx.evaluation.baselines.poisson_regression import poisson_regression
from lfadsx.evaluation.baselines.scored_entries import held_out_channels
from lfadsx.evaluation.baselines.smoothed_spikes import smoothed_spikes


def fit_baselines(
    dataset: Dataset, split: Split, *, regression: bool = True
) -> dict[str, Float[np.ndarray, "trial time target_channel"]]:
    """Rates of all baselines that apply to a data set, by name, in the order of the table.

    Without conditions there is no condition average; without held-out neurons no Poisson regression.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        regression: False leaves out the Poisson regression, by far the slowest and the only one that needs
            scikit-learn.

    Returns:
        Counts per bin by name, each of shape (trial, time, target_channel).

    Raises:
        MissingExtraError: There are held-out neurons and scikit-learn is not installed.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> list(fit_baselines(dataset, dataset.valid))
        ['time course', 'smoothed spikes', 'Poisson regression']
    """
    rates = {"time course": time_course(dataset, split)}
    if split.condition is not None and dataset.train.condition is not None:
        rates["condition average"] = condition_average(dataset, split)
    rates["smoothed spikes"] = smoothed_spikes(dataset, split)
    if regression and held_out_channels(dataset).any():
        rates["Poisson regression"] = poisson_regression(dataset, split)
    return rates
