"""Rates of simple models, which every model has to beat, and the masks that say what is scored.

Each baseline takes the data set and one of its splits, learns from the training trials only, session by
session, and returns rates in counts per bin, shape (trial, time, target_channel), for the spikes that the
encoder sees and those held out beside them. Rates are never 0; NaN stands where a baseline says nothing:
channels that a session does not have, and what each docstring names. Settings that nobody gives are chosen
on the valid split.
"""

from lfadsx.baselines.averages import condition_average as condition_average
from lfadsx.baselines.averages import mean_rate as mean_rate
from lfadsx.baselines.averages import time_course as time_course
from lfadsx.baselines.fit import fit_baselines as fit_baselines
from lfadsx.baselines.masks import held_out_channels as held_out_channels
from lfadsx.baselines.masks import scored_mask as scored_mask
from lfadsx.baselines.regression import REGRESSION_PENALTIES as REGRESSION_PENALTIES
from lfadsx.baselines.regression import REGRESSION_WIDTHS as REGRESSION_WIDTHS
from lfadsx.baselines.regression import poisson_regression as poisson_regression
from lfadsx.baselines.settings import WIDTHS as WIDTHS
from lfadsx.baselines.smoothing import SHRINKAGES as SHRINKAGES
from lfadsx.baselines.smoothing import smoothed_spikes as smoothed_spikes
