"""Priors (each with its posterior family) and likelihoods."""

from lfadsx.distributions.correlated_priors import AutoregressivePrior as AutoregressivePrior
from lfadsx.distributions.correlated_priors import CorrelatedPrior as CorrelatedPrior
from lfadsx.distributions.correlated_priors import SmoothPrior as SmoothPrior
from lfadsx.distributions.independent_priors import GaussianPrior as GaussianPrior
from lfadsx.distributions.independent_priors import PointPrior as PointPrior
from lfadsx.distributions.independent_priors import StudentTPrior as StudentTPrior
from lfadsx.distributions.likelihoods import AbstractLikelihood as AbstractLikelihood
from lfadsx.distributions.likelihoods import Gaussian as Gaussian
from lfadsx.distributions.likelihoods import Poisson as Poisson
from lfadsx.distributions.likelihoods import exp_soft_clip as exp_soft_clip
from lfadsx.distributions.likelihoods import soft_clip as soft_clip
from lfadsx.distributions.mixture_prior import MixturePrior as MixturePrior
from lfadsx.distributions.prior import AbstractPrior as AbstractPrior
from lfadsx.distributions.prior import DiagonalGaussian as DiagonalGaussian
