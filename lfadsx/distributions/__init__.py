"""Priors (each with its posterior family) and likelihoods."""

from lfadsx.distributions.autoregressive_prior import AutoregressivePrior as AutoregressivePrior
from lfadsx.distributions.gaussian import DiagonalGaussian as DiagonalGaussian
from lfadsx.distributions.gaussian_prior import GaussianPrior as GaussianPrior
from lfadsx.distributions.likelihoods import AbstractLikelihood as AbstractLikelihood
from lfadsx.distributions.likelihoods import Gaussian as Gaussian
from lfadsx.distributions.likelihoods import Poisson as Poisson
from lfadsx.distributions.likelihoods import exp_soft_clip as exp_soft_clip
from lfadsx.distributions.likelihoods import soft_clip as soft_clip
from lfadsx.distributions.point_prior import PointPrior as PointPrior
from lfadsx.distributions.prior import AbstractPrior as AbstractPrior
from lfadsx.distributions.student_t_prior import StudentTPrior as StudentTPrior
