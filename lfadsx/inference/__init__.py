"""Inference: the posterior of trials, rates of hidden entries, and files of results."""

from lfadsx.inference.infer import infer as infer
from lfadsx.inference.infer import infer_trials as infer_trials
from lfadsx.inference.labels import Labels as Labels
from lfadsx.inference.masked import masked_rates as masked_rates
from lfadsx.inference.memory import COPIES as COPIES
from lfadsx.inference.memory import MEMORY as MEMORY
from lfadsx.inference.memory import MOST_TRIALS as MOST_TRIALS
from lfadsx.inference.memory import bytes_of_trial as bytes_of_trial
from lfadsx.inference.memory import trials_at_once as trials_at_once
from lfadsx.inference.moments import SAMPLED as SAMPLED
from lfadsx.inference.posterior import Posterior as Posterior
from lfadsx.inference.posterior import join_posteriors as join_posteriors
from lfadsx.inference.results_file import read_posterior as read_posterior
from lfadsx.inference.results_file import read_posteriors as read_posteriors
from lfadsx.inference.results_file import write_generated as write_generated
from lfadsx.inference.results_file import write_posteriors as write_posteriors
