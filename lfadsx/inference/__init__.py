"""Inference: the posterior of trials, rates of hidden entries, bounds of the evidence, and new trials."""

from lfadsx.inference.masked import masked_log_likelihood as masked_log_likelihood
from lfadsx.inference.masked import masked_rates as masked_rates
from lfadsx.inference.posterior_inference import infer as infer
from lfadsx.inference.posterior_inference import infer_trials as infer_trials
from lfadsx.inference.spread_calibration import calibrate as calibrate
