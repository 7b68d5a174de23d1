"""Baselines: rates of simple models, and the masks of the entries that are scored.

Each baseline takes the data set and one of its splits, learns from the training trials only, session by
session, and returns rates (real data: values) in the unit of the data, shape (trial, time, target_channel). Rates of
counts are never 0. NaN marks entries without a prediction: channels that a session does not have, and those that each
docstring names. Settings that are not given are chosen on the valid split.
"""

from lfadsx.data.data_findings import scored_mask as scored_mask
from lfadsx.evaluation.baselines.all_baselines import applicable as applicable
from lfadsx.evaluation.baselines.all_baselines import fit_baselines as fit_baselines
from lfadsx.evaluation.baselines.averages import SHRINKAGES as SHRINKAGES
from lfadsx.evaluation.baselines.averages import WIDTHS as WIDTHS
from lfadsx.evaluation.baselines.averages import condition_average as condition_average
from lfadsx.evaluation.baselines.averages import mean_rate as mean_rate
from lfadsx.evaluation.baselines.averages import smoothed_data as smoothed_data
from lfadsx.evaluation.baselines.averages import time_course as time_course
from lfadsx.evaluation.baselines.session_data import held_out_channels as held_out_channels
from lfadsx.evaluation.baselines.spike_regression import REGRESSION_PENALTIES as REGRESSION_PENALTIES
from lfadsx.evaluation.baselines.spike_regression import REGRESSION_WIDTHS as REGRESSION_WIDTHS
from lfadsx.evaluation.baselines.spike_regression import poisson_regression as poisson_regression
