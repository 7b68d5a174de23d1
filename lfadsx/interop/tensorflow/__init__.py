"""Files of the TensorFlow LFADS: its parameters as models, and results under its names."""

from lfadsx.interop.tensorflow.flags import settings_from_tensorflow as settings_from_tensorflow
from lfadsx.interop.tensorflow.models import from_tensorflow as from_tensorflow
from lfadsx.interop.tensorflow.models import to_tensorflow as to_tensorflow
from lfadsx.interop.tensorflow.result_files import write_posterior_runs as write_posterior_runs
from lfadsx.interop.tensorflow.result_files import write_prior_run as write_prior_run
