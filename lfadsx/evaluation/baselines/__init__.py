"""Rates of simple models, which every model has to beat, and the masks that say what is scored.

Each baseline takes the data set and one of its splits, learns from the training trials only, session by
session, and returns rates (real data: values) in the unit of the data, shape (trial, time, target_channel), for the
channels that the encoder sees and those held out beside them. Rates of counts are never 0. NaN stands where a baseline
predicts nothing: channels that a session does not have, and what each docstring names. Settings that are not given are
chosen on the valid split.
"""

from lfadsx.evaluation.baselines.all_baselines import applicable as applicable
from lfadsx.evaluation.baselines.all_baselines import fit_baselines as fit_baselines
from lfadsx.evaluation.baselines.averages import condition_average as condition_average
from lfadsx.evaluation.baselines.averages import mean_rate as mean_rate
from lfadsx.evaluation.baselines.averages import time_course as time_course
from lfadsx.evaluation.baselines.scored_entries import held_out_channels as held_out_channels
from lfadsx.evaluation.baselines.scored_entries import scored_mask as scored_mask
from lfadsx.evaluation.baselines.smoothing_baseline import SHRINKAGES as SHRINKAGES
from lfadsx.evaluation.baselines.smoothing_baseline import smoothed_data as smoothed_data
from lfadsx.evaluation.baselines.spike_regression import REGRESSION_PENALTIES as REGRESSION_PENALTIES
from lfadsx.evaluation.baselines.spike_regression import REGRESSION_WIDTHS as REGRESSION_WIDTHS
from lfadsx.evaluation.baselines.spike_regression import poisson_regression as poisson_regression
from lfadsx.evaluation.baselines.width_selection import WIDTHS as WIDTHS
