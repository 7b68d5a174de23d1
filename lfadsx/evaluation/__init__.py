"""All scores of one split together: model and baselines by the same rules, with the noise of each figure.

`score_posteriors` decides which trials, bins and channels a score is about (`measures` has a table of them);
`lfadsx.evaluation.metrics` has the formulas. Every measure is one statistic, a function of trial weights, from which
value, standard error, paired difference, interval and the scores of folds follow (`statistics`).

`bits_per_spike` (for real data `r2`) of entries that the encoder saw is reported, never a target: a model that copies
its data scores high.

With several sessions, nulls, baselines, PSTHs and decoders belong to one session each; bits per spike are
pooled over sessions, PSTH R2 is a mean over all channels, velocity R2 over sessions weighted by trials.
"""

from lfadsx.evaluation.protocol import Evaluation as Evaluation
from lfadsx.evaluation.protocol import paired_difference as paired_difference
from lfadsx.evaluation.protocol import score_posteriors as score_posteriors
from lfadsx.evaluation.score_table import format_table as format_table
from lfadsx.evaluation.statistics import Score as Score
from lfadsx.evaluation.statistics import Statistic as Statistic
from lfadsx.evaluation.statistics import mean_of as mean_of
from lfadsx.evaluation.statistics import minus as minus
from lfadsx.evaluation.statistics import ratio as ratio
from lfadsx.evaluation.statistics import resample as resample
from lfadsx.evaluation.task import BITS as BITS
from lfadsx.evaluation.task import MEASURES as MEASURES
from lfadsx.evaluation.task import R2 as R2
