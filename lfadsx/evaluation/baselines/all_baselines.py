"""All baselines at once."""

from __future__ import annotations

from collections.abc import Callable

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.baselines.averages import condition_average, mean_rate, smoothed_data, time_course
from lfadsx.evaluation.baselines.session_data import Rates, held_out_channels
from lfadsx.evaluation.baselines.spike_regression import poisson_regression

Baseline = Callable[[Dataset, Split], Rates]


def applicable(dataset: Dataset, split: Split, *, regression: bool = True) -> dict[str, Baseline]:
    """Returns the baselines that apply to a data set, by name, in the order of the table.

    The condition average needs conditions, the Poisson regression held-out neurons. The mean applies to real data
    only: bits per spike are relative to it.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        regression: If False, the Poisson regression is left out: the slowest baseline.

    Example:
        >>> import numpy as np
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> list(applicable(dataset, dataset.valid))
        ['time course', 'smoothed spikes', 'Poisson regression']
    """
    counts = dataset.is_counts()
    found: dict[str, Baseline] = {} if counts else {"mean": mean_rate}
    found["time course"] = time_course
    if split.condition is not None and dataset.train.condition is not None:
        found["condition average"] = condition_average
    found["smoothed spikes" if counts else "smoothed data"] = smoothed_data
    if counts and regression and held_out_channels(dataset).any():
        found["Poisson regression"] = poisson_regression
    return found


def fit_baselines(dataset: Dataset, split: Split, *, regression: bool = True) -> dict[str, Rates]:
    """Returns the rates of all baselines that apply, by name; arguments as in `applicable`.

    Example:
        >>> import numpy as np
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int))
        >>> fit_baselines(dataset, dataset.valid)["time course"].shape
        (2, 5, 3)
    """
    return {name: fit(dataset, split) for name, fit in applicable(dataset, split, regression=regression).items()}
