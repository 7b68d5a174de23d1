"""Priors (each with its posterior family) and likelihoods."""

from lfadsx.distributions.correlated_priors import AutoregressivePrior as AutoregressivePrior
from lfadsx.distributions.correlated_priors import CorrelatedPrior as CorrelatedPrior
from lfadsx.distributions.correlated_priors import SmoothPrior as SmoothPrior
from lfadsx.distributions.count_likelihoods import Bernoulli as Bernoulli
from lfadsx.distributions.count_likelihoods import NegativeBinomial as NegativeBinomial
from lfadsx.distributions.count_likelihoods import Poisson as Poisson
from lfadsx.distributions.count_likelihoods import ZeroInflatedPoisson as ZeroInflatedPoisson
from lfadsx.distributions.independent_priors import GaussianPrior as GaussianPrior
from lfadsx.distributions.independent_priors import PointPrior as PointPrior
from lfadsx.distributions.independent_priors import StudentTPrior as StudentTPrior
from lfadsx.distributions.likelihood import AbstractLikelihood as AbstractLikelihood
from lfadsx.distributions.likelihood import exp_soft_clip as exp_soft_clip
from lfadsx.distributions.likelihood import soft_clip as soft_clip
from lfadsx.distributions.mixture_prior import MixturePrior as MixturePrior
from lfadsx.distributions.named_likelihoods import LIKELIHOODS as LIKELIHOODS
from lfadsx.distributions.positive_likelihoods import Gamma as Gamma
from lfadsx.distributions.positive_likelihoods import LogNormal as LogNormal
from lfadsx.distributions.positive_likelihoods import ZeroInflatedGamma as ZeroInflatedGamma
from lfadsx.distributions.prior import AbstractPrior as AbstractPrior
from lfadsx.distributions.prior import DiagonalGaussian as DiagonalGaussian
from lfadsx.distributions.real_likelihoods import Gaussian as Gaussian
from lfadsx.distributions.real_likelihoods import GaussianByChannel as GaussianByChannel
from lfadsx.distributions.real_likelihoods import SquaredError as SquaredError
from lfadsx.distributions.real_likelihoods import SquaredErrorByChannel as SquaredErrorByChannel
