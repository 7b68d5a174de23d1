"""Scores: bits per spike, R2, PSTH R2, decoding of behaviour, alignment of latent variables with their truth.

Every function takes arrays of one session with the trial axis first and returns plain numbers. `mask` is True where an
entry is scored (by default everywhere); NaN in the data counts as missing, too. Arrays of different shapes, and scored
estimates that are NaN or infinite, raise `LfadsxError`. `lfadsx.evaluation` decides which entries are scored.
"""

from lfadsx.evaluation.metrics.coverage import counts_coverage as counts_coverage
from lfadsx.evaluation.metrics.coverage import truth_coverage as truth_coverage
from lfadsx.evaluation.metrics.known_entries import gaussian_kernel as gaussian_kernel
from lfadsx.evaluation.metrics.known_entries import smooth as smooth
from lfadsx.evaluation.metrics.linear_maps import Decoding as Decoding
from lfadsx.evaluation.metrics.linear_maps import align as align
from lfadsx.evaluation.metrics.linear_maps import velocity_decoding as velocity_decoding
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
from lfadsx.evaluation.metrics.timing_scores import TimingCorrelation as TimingCorrelation
from lfadsx.evaluation.metrics.timing_scores import neural_speed as neural_speed
from lfadsx.evaluation.metrics.timing_scores import timing_correlation as timing_correlation
