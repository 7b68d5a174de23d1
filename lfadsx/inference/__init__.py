"""Inference: averages over the posterior, the posterior mean, and rates of hidden entries."""

from lfadsx.inference.generated_file import write_generated as write_generated
from lfadsx.inference.masked import masked_rates as masked_rates
from lfadsx.inference.memory import COPIES as COPIES
from lfadsx.inference.memory import MEMORY as MEMORY
from lfadsx.inference.memory import MOST_TRIALS as MOST_TRIALS
from lfadsx.inference.memory import bytes_of_trial as bytes_of_trial
from lfadsx.inference.memory import trials_at_once as trials_at_once
from lfadsx.inference.moments import SAMPLED as SAMPLED
from lfadsx.inference.posterior import infer as infer
from lfadsx.inference.posterior import posterior_mean as posterior_mean
from lfadsx.inference.posterior import posterior_sample_and_average as posterior_sample_and_average
from lfadsx.inference.results_file import read_posterior as read_posterior
from lfadsx.inference.results_file import write_posterior as write_posterior
