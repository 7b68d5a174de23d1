"""Models and files of other LFADS programs."""

from lfadsx.interop.lfads_torch import from_lfads_torch as from_lfads_torch
from lfadsx.interop.lfads_torch_settings import settings_from_lfads_torch as settings_from_lfads_torch
from lfadsx.interop.parameter_file import write_parameters as write_parameters
from lfadsx.interop.tensorflow import from_tensorflow as from_tensorflow
from lfadsx.interop.tensorflow import settings_from_tensorflow as settings_from_tensorflow
from lfadsx.interop.tensorflow import to_tensorflow as to_tensorflow
from lfadsx.interop.tensorflow import write_posterior_runs as write_posterior_runs
from lfadsx.interop.tensorflow import write_prior_run as write_prior_run
