"""Scores: bits per spike, R2, PSTH R2, decoding of behaviour, alignment of what is known up to a linear map.

Every function takes arrays of one session with the trial axis first and returns plain numbers, so each score
can be checked by hand. `mask` is True where an entry is scored; NaN in the data counts as missing too. What
is scored for which trials is decided in `lfadsx.evaluation`.
"""

from lfadsx.metrics.alignment import align as align
from lfadsx.metrics.alignment import inputs_r2 as inputs_r2
from lfadsx.metrics.alignment import inputs_r2_pooled as inputs_r2_pooled
from lfadsx.metrics.behaviour import RIDGE_PENALTIES as RIDGE_PENALTIES
from lfadsx.metrics.behaviour import Decoding as Decoding
from lfadsx.metrics.behaviour import velocity_decoding as velocity_decoding
from lfadsx.metrics.conditions import PsthCeiling as PsthCeiling
from lfadsx.metrics.conditions import PsthR2 as PsthR2
from lfadsx.metrics.conditions import psth as psth
from lfadsx.metrics.conditions import psth_ceiling as psth_ceiling
from lfadsx.metrics.conditions import psth_r2 as psth_r2
from lfadsx.metrics.latents import latent_r2 as latent_r2
from lfadsx.metrics.peaks import PeakErrors as PeakErrors
from lfadsx.metrics.peaks import peak_errors as peak_errors
from lfadsx.metrics.resemblance import Resemblance as Resemblance
from lfadsx.metrics.resemblance import resemblance as resemblance
from lfadsx.metrics.smoothing import gaussian_kernel as gaussian_kernel
from lfadsx.metrics.smoothing import smooth as smooth
from lfadsx.metrics.spikes import SMALLEST_RATE as SMALLEST_RATE
from lfadsx.metrics.spikes import BitsPerSpike as BitsPerSpike
from lfadsx.metrics.spikes import Interval as Interval
from lfadsx.metrics.spikes import bits_per_spike as bits_per_spike
from lfadsx.metrics.spikes import bootstrap_interval as bootstrap_interval
from lfadsx.metrics.spikes import nll_per_trial as nll_per_trial
from lfadsx.metrics.spikes import poisson_nll as poisson_nll
from lfadsx.metrics.truth import R2Floors as R2Floors
from lfadsx.metrics.truth import r2_by_channel as r2_by_channel
from lfadsx.metrics.truth import r2_floors as r2_floors
from lfadsx.metrics.truth import r2_of_trials as r2_of_trials
from lfadsx.metrics.truth import r2_per_trial as r2_per_trial
from lfadsx.metrics.truth import r2_pooled as r2_pooled
