"""The built-in likelihoods by name."""

from __future__ import annotations

from lfadsx.distributions.count_likelihoods import Bernoulli, NegativeBinomial, Poisson, ZeroInflatedPoisson
from lfadsx.distributions.likelihood import AbstractLikelihood
from lfadsx.distributions.positive_likelihoods import Gamma, LogNormal, ZeroInflatedGamma
from lfadsx.distributions.real_likelihoods import (
    Gaussian,
    GaussianByChannel,
    SquaredError,
    SquaredErrorByChannel,
)

LIKELIHOODS: dict[str, type[AbstractLikelihood]] = {
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "gaussian_by_channel": GaussianByChannel,
    "squared_error": SquaredError,
    "squared_error_by_channel": SquaredErrorByChannel,
    "log_normal": LogNormal,
    "gamma": Gamma,
    "zero_inflated_gamma": ZeroInflatedGamma,
}
"""Values of `ModelConfig.likelihood`."""
