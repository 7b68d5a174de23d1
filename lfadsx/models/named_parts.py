"""Built-in parts that settings choose by name: generators and priors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lfadsx import distributions, modules
from lfadsx.config import ModelConfig
from lfadsx.errors import LfadsxError

Maker = Callable[..., Any]
"""Makes a part from its widths, by the names of its seam, and the source of random weights."""


def gates_of(config: ModelConfig) -> dict[str, Any]:
    """Returns the settings of all GRUs."""
    keep_bias, reset_bias = config.gate_biases
    return {"clip": config.cell_clip, "keep_bias": keep_bias, "reset_bias": reset_bias}


def generator_of(config: ModelConfig) -> Maker:
    """Returns the generator of the settings."""
    network = dict(width=config.generator_width, depth=config.generator_depth, substeps=config.generator_substeps)
    chosen = {
        "gru": partial(modules.GRUGenerator, **gates_of(config)),
        "linear": modules.LinearGenerator,
        "rnn": modules.RNNGenerator,
        "low_rank": partial(modules.LowRankGenerator, rank=config.generator_rank),
        "neural_ode": partial(modules.NeuralODEGenerator, **network),
    }[config.generator]
    _, input_scale, recurrent_scale = config.weight_scales
    scales = dict(input_scale=input_scale, recurrent_scale=recurrent_scale)
    initial = config.initial_state if ic_dim_of(config) else "identity"
    return partial(chosen, initial=initial, clip=config.cell_clip, **scales)


def ic_dim_of(config: ModelConfig) -> int:
    """Returns the dimension of the inferred initial condition; 0 if all trials start in one trained state."""
    return 0 if config.ic_prior == "none" else config.ic_dim


def ic_prior_of(config: ModelConfig) -> Maker:
    """Returns the prior of the initial condition."""
    if not ic_dim_of(config):
        return distributions.PointPrior
    return _trial_prior(config, config.ic_prior, config.ic_prior_variance, config.ic_prior_variance_bounds)


def bias_prior_of(config: ModelConfig) -> Maker:
    """Returns the prior of the bias."""
    return _trial_prior(config, config.bias_prior, config.bias_prior_variance, (0.0, 0.0))


def _trial_prior(config: ModelConfig, name: str, variance: float, bounds: tuple[float, float]) -> Maker:
    """Returns the prior of a latent variable that is the same in all bins of a trial."""
    shared: dict[str, Any] = dict(post_var_min=config.post_var_min[0])
    if name == "mixture":
        components = config.ic_prior_components
        return partial(distributions.MixturePrior, components=components, variance=variance, **shared)
    if name == "student_t":
        fixed = dict(train_mean=True, train_scale=False, train_df=False)
        return partial(distributions.StudentTPrior, df=config.ic_prior_df, scale=variance**0.5, **fixed, **shared)
    low, high = bounds
    shared |= dict(train_variance=high > low, variance_bounds=bounds if high > low else None)
    return partial(distributions.GaussianPrior, variance=variance, **shared)


def input_prior_of(config: ModelConfig, bin_width: float | None) -> Maker:
    """Returns the prior of the inferred inputs.

    Args:
        config: The settings.
        bin_width: Bin width of the data in seconds, or None.

    Raises:
        LfadsxError: If a time constant is given in seconds and the bin width is unknown.
    """
    variance, trained = config.input_prior_variance, "variance" in config.train_input_prior
    train_mean, post_var_min = "mean" in config.train_input_prior, config.post_var_min[1]
    shared: dict[str, Any] = dict(mean=config.input_prior_mean, train_mean=train_mean, post_var_min=post_var_min)
    if config.input_prior == "gaussian":
        return partial(distributions.GaussianPrior, variance=variance, train_variance=trained, **shared)
    if config.input_prior == "student_t":
        df, scale = config.input_prior_df, variance**0.5
        return partial(distributions.StudentTPrior, df=df, scale=scale, train_df=trained, train_scale=trained, **shared)
    correlated = {"ar1": distributions.AutoregressivePrior, "smooth": distributions.SmoothPrior}[config.input_prior]
    return partial(
        correlated,
        tau=_in_bins(config, bin_width),
        variance=variance,
        train_tau="tau" in config.train_input_prior,
        train_variance=trained,
        **shared,
    )


def _in_bins(config: ModelConfig, bin_width: float | None) -> float:
    """Returns the time constant of the inputs' prior in bins."""
    if not config.input_prior_tau_s:
        return config.input_prior_tau
    if bin_width is None:
        raise LfadsxError(
            f"`input_prior_tau_s` is in seconds ({config.input_prior_tau_s}), so the data must have a known bin width. "
            "Give the bin width, or input_prior_tau in bins."
        )
    return config.input_prior_tau_s / bin_width
