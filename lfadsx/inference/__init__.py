"""Inference: the posterior of trials, rates of hidden entries, bounds of the evidence, and new trials."""

from lfadsx.inference.masked import masked_rates as masked_rates
from lfadsx.inference.memory import COPIES as COPIES
from lfadsx.inference.memory import MEMORY as MEMORY
from lfadsx.inference.memory import MOST_TRIALS as MOST_TRIALS
from lfadsx.inference.memory import bytes_of_trial as bytes_of_trial
from lfadsx.inference.memory import trials_at_once as trials_at_once
from lfadsx.inference.moments import SAMPLED as SAMPLED
from lfadsx.inference.posterior_inference import infer as infer
from lfadsx.inference.posterior_inference import infer_trials as infer_trials
