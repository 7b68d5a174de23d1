"""Priors (each with its posterior family) and likelihoods."""

from lfadsx.distributions.autoregressive import AutoregressivePrior as AutoregressivePrior
from lfadsx.distributions.gaussian import DiagonalGaussian as DiagonalGaussian
from lfadsx.distributions.gaussian_prior import GaussianPrior as GaussianPrior
from lfadsx.distributions.likelihood import AbstractLikelihood as AbstractLikelihood
from lfadsx.distributions.likelihood import Gaussian as Gaussian
from lfadsx.distributions.likelihood import Poisson as Poisson
from lfadsx.distributions.likelihood import exp_soft_clip as exp_soft_clip
from lfadsx.distributions.likelihood import mean_and_std as mean_and_std
from lfadsx.distributions.likelihood import soft_clip as soft_clip
from lfadsx.distributions.point import PointPrior as PointPrior
from lfadsx.distributions.prior import AbstractPrior as AbstractPrior
from lfadsx.distributions.student_t import StudentTPrior as StudentTPrior
