"""Rates by classical methods: smoothing in time, principal components, factor analysis, condition means, GPFA.

Each method learns from training trials and gives expected data (counts per bin; for Gaussian data their mean) of the
scored trials, shape (trial, time, neuron), for data of one session without held-out neurons. The truth is not used to
choose settings. Widths and numbers of components are chosen by the squared error of predictions on valid trials: of
a bin from the bins around it, or of neurons from other neurons.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.metrics import gaussian_kernel, smooth

WIDTHS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0)
"""Standard deviations of Gaussian smoothing in bins."""
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 20)
"""Numbers of components."""
TUTORIAL_COMPONENTS = 2
"""Number of principal components in the JAX LFADS tutorial."""
_MOST_TRIALS = 2000
_LOWEST = 1e-4


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear model of data, `x = mean + z @ loadings + noise`.

    Attributes:
        mean: Shape (neuron,).
        loadings: Shape (component, neuron).
        noise: Variance of each neuron's noise, shape (neuron,); None projects without shrinking z.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray | None

    def reconstruct(self, data: np.ndarray, width: float, seen: np.ndarray | None = None) -> np.ndarray:
        """Data (trial, time, neuron) predicted from components of the `seen` neurons, smoothed in time."""
        seen = np.ones(len(self.mean), bool) if seen is None else seen
        loadings, centred = self.loadings[:, seen], data[:, :, seen] - self.mean[seen]
        if self.noise is None:
            latents = centred @ np.linalg.pinv(loadings)
        else:
            scaled = loadings / self.noise[seen]
            latents = centred @ np.linalg.solve(scaled @ loadings.T + np.eye(len(loadings)), scaled).T
        return self.mean + smooth(latents, width) @ self.loadings


def baselines(dataset: Dataset, split: Split | str, *, gpfa: bool = False) -> dict[str, np.ndarray]:
    """Rates of all methods that apply to a data set, by name.

    Args:
        dataset: The data set, of one session.
        split: The trials that get the rates, or the name of the split.
        gpfa: If True, GPFA is added; it needs the package elephant and is slow.

    Returns:
        Expected data by method, each of shape (trial, time, neuron).
    """
    split = dataset.splits[split] if isinstance(split, str) else split
    rates = {
        "mean": np.broadcast_to(_counts(dataset.train).mean((0, 1)), _counts(split).shape),
        "Gaussian smoothing": smoothing(dataset, split),
        f"PCA, {TUTORIAL_COMPONENTS} components": pca(dataset, split, n_components=TUTORIAL_COMPONENTS, width=0.0),
        "PCA, chosen": pca(dataset, split),
        "Factor Analysis": factor_analysis(dataset, split),
    }
    if split.condition is not None and dataset.train.condition is not None:
        rates["condition mean"] = condition_mean(dataset, split)
    if gpfa:
        rates["GPFA"] = gpfa_rates(dataset, split)
    # Rates of counts are never negative; Gaussian data may be.
    is_count = np.issubdtype(dataset.train.encoder_input.dtype, np.integer)
    return {name: np.maximum(values, _LOWEST) if is_count else values for name, values in rates.items()}


def smoothing(dataset: Dataset, split: Split, *, width: float | None = None) -> np.ndarray:
    """Gaussian smoothing of each neuron, shrunk towards its mean.

    `mean + a (smoothed - mean)`; a, one number per neuron, is the slope that best predicts a bin of a training
    trial from the bins around it. With width 0, a is 1 and the data are returned.
    """

    def around(data: np.ndarray, width: float) -> np.ndarray:
        kernel = gaussian_kernel(data.shape[1], width)
        np.fill_diagonal(kernel, 0.0)
        return kernel @ data / kernel.sum(1, keepdims=True)

    def slope(width: float) -> np.ndarray:
        predictor = around(train, width)
        return (predictor * train).sum((0, 1)) / np.maximum((predictor**2).sum((0, 1)), 1e-12)

    mean = _counts(dataset.train).mean((0, 1))
    train, valid = _few(dataset.train) - mean, _few(dataset.valid) - mean
    if width is None:
        width = min(WIDTHS[1:], key=lambda width: np.mean((slope(width) * around(valid, width) - valid) ** 2))
    shrink = np.clip(slope(width), 0, 1) if width > 0 else 1.0
    return mean + shrink * smooth(_counts(split) - mean, width)


def pca(dataset: Dataset, split: Split, *, n_components: int | None = None, width: float | None = None) -> np.ndarray:
    """Spikes projected on the principal components of the training trials and back, smoothed in time."""
    data = _rows(_few(dataset.train))
    mean = data.mean(0)
    loadings = np.linalg.eigh(np.cov((data - mean).T))[1].T[::-1]
    return _linear_rates(dataset, split, lambda k: Linear(mean, loadings[:k], None), n_components, width)


def factor_analysis(
    dataset: Dataset, split: Split, *, n_components: int | None = None, width: float | None = None
) -> np.ndarray:
    """Factor analysis of the training trials: posterior mean of the factors, smoothed in time, back to data."""
    from sklearn.decomposition import FactorAnalysis

    data = _rows(_few(dataset.train))

    @functools.cache
    def fitted(k: int) -> Linear:
        model = FactorAnalysis(k, svd_method="randomized", random_state=0, max_iter=200).fit(data)
        return Linear(model.mean_, model.components_, np.maximum(model.noise_variance_, 1e-6))

    return _linear_rates(dataset, split, fitted, n_components, width)


def condition_mean(dataset: Dataset, split: Split, *, width: float | None = None) -> np.ndarray:
    """Smoothed mean of the training trials of the same condition, shrunk to the time course by one trial.

    A condition without training trials gets the smoothed time course.
    """
    train, condition = _counts(dataset.train), dataset.train.condition
    if condition is None or split.condition is None:
        raise ValueError("The condition mean needs conditions of training and scored trials. Use data that have them.")

    def means(of: Split, width: float) -> np.ndarray:
        course = smooth(train.mean(0), width)
        labels, place = np.unique(of.condition, return_inverse=True)
        alike = [train[condition == label] for label in labels]
        table = np.stack([(smooth(rows.sum(0), width) + course) / (len(rows) + 1) for rows in alike])
        return table[place]

    if width is None:
        valid = dataset.valid
        width = min(WIDTHS, key=lambda width: np.mean((means(valid, width) - _counts(valid)) ** 2))
    return means(split, width)


def gpfa_rates(dataset: Dataset, split: Split, *, n_components: int = 3, n_trials: int = 200) -> np.ndarray:
    """Gaussian-process factor analysis, see `benchmarks.gpfa`; fitted to the first `n_trials` training trials."""
    from benchmarks.gpfa import gpfa

    return gpfa(
        dataset.train.encoder_input[:n_trials],
        split.encoder_input,
        bin_width=dataset.bin_width or 1.0,
        n_components=n_components,
    )


def _linear_rates(
    dataset: Dataset,
    split: Split,
    model: Callable[[int], Linear],
    n_components: int | None,
    width: float | None,
) -> np.ndarray:
    """Rates of a linear model; settings that are None are chosen by predictions between neurons on valid trials."""
    data = _few(dataset.valid, 200)
    n_neurons = data.shape[2]
    counts = [k for k in COMPONENTS if k < 0.8 * n_neurons] if n_components is None else [n_components]
    settings = list(itertools.product(counts, WIDTHS if width is None else [width]))
    fold = np.random.default_rng(0).permutation(n_neurons) % 5

    def error(setting: tuple[int, float]) -> float:
        k, width = setting
        hidden = [fold == number for number in range(5)]
        found = [model(k).reconstruct(data, width, ~one)[:, :, one] - data[:, :, one] for one in hidden]
        return sum(float((difference**2).sum()) for difference in found)

    k, width = settings[0] if len(settings) == 1 else min(settings, key=error)
    return model(k).reconstruct(_counts(split), width)


def _counts(split: Split) -> np.ndarray:
    return split.encoder_input.astype(np.float64)


def _few(split: Split, most: int = _MOST_TRIALS) -> np.ndarray:
    """The first trials of a split, enough to choose settings and loadings."""
    return split.encoder_input[:most].astype(np.float64)


def _rows(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, data.shape[2])
