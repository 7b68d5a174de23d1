"""Scores: bits per spike, R2, PSTH R2, decoding of behaviour, alignment of what is known up to a linear map.

Every function takes arrays of one session with the trial axis first and returns plain numbers, so each score
can be checked by hand. `mask` is True where an entry is scored; NaN in the data counts as missing too. What
is scored for which trials is decided in `lfadsx.evaluation`.
"""

from lfadsx.evaluation.metrics.decoding import Decoding as Decoding
from lfadsx.evaluation.metrics.decoding import velocity_decoding as velocity_decoding
from lfadsx.evaluation.metrics.gaussian_smoothing import gaussian_kernel as gaussian_kernel
from lfadsx.evaluation.metrics.gaussian_smoothing import smooth as smooth
from lfadsx.evaluation.metrics.latent_recovery import latent_r2 as latent_r2
from lfadsx.evaluation.metrics.linear_alignment import align as align
from lfadsx.evaluation.metrics.peak_times import PeakErrors as PeakErrors
from lfadsx.evaluation.metrics.peak_times import peak_errors as peak_errors
from lfadsx.evaluation.metrics.psth_scores import PsthCeiling as PsthCeiling
from lfadsx.evaluation.metrics.psth_scores import PsthR2 as PsthR2
from lfadsx.evaluation.metrics.psth_scores import psth as psth
from lfadsx.evaluation.metrics.psth_scores import psth_ceiling as psth_ceiling
from lfadsx.evaluation.metrics.psth_scores import psth_r2 as psth_r2
from lfadsx.evaluation.metrics.r2 import R2Floors as R2Floors
from lfadsx.evaluation.metrics.r2 import r2_by_channel as r2_by_channel
from lfadsx.evaluation.metrics.r2 import r2_floors as r2_floors
from lfadsx.evaluation.metrics.r2 import r2_of_trials as r2_of_trials
from lfadsx.evaluation.metrics.r2 import r2_per_trial as r2_per_trial
from lfadsx.evaluation.metrics.r2 import r2_pooled as r2_pooled
from lfadsx.evaluation.metrics.spike_scores import BitsPerSpike as BitsPerSpike
from lfadsx.evaluation.metrics.spike_scores import bits_per_spike as bits_per_spike
from lfadsx.evaluation.metrics.spike_scores import bits_saved as bits_saved
from lfadsx.evaluation.metrics.spike_scores import nll_per_trial as nll_per_trial
from lfadsx.evaluation.metrics.spike_scores import poisson_nll as poisson_nll
