"""All scores of one split: model and baselines by the same rules, each with its standard error.

`score_posteriors` decides which trials, bins and channels each measure scores (see the table in `measures`);
`lfadsx.evaluation.metrics` has the formulas. Every measure is a statistic, a function of trial weights
(`statistics`). Standard errors, intervals, paired differences and scores of folds follow from it.

`bits_per_spike` (for real data `r2`) of entries that the encoder sees is reported but never compared: a model that
copies its data scores high.

With several sessions, nulls, baselines, PSTHs and decoders are computed per session. Bits per spike are pooled over
sessions, PSTH R2 is a mean over all channels, and velocity R2 is a mean over sessions weighted by trials.
"""

from lfadsx.evaluation.comparison import format_table as format_table
from lfadsx.evaluation.protocol import Evaluation as Evaluation
from lfadsx.evaluation.protocol import paired_difference as paired_difference
from lfadsx.evaluation.protocol import score_posteriors as score_posteriors
from lfadsx.evaluation.statistics import Score as Score
from lfadsx.evaluation.statistics import Statistic as Statistic
from lfadsx.evaluation.statistics import mean_of as mean_of
from lfadsx.evaluation.statistics import minus as minus
from lfadsx.evaluation.statistics import ratio as ratio
from lfadsx.evaluation.statistics import resample as resample
from lfadsx.evaluation.task import BITS as BITS
from lfadsx.evaluation.task import MEASURES as MEASURES
from lfadsx.evaluation.task import R2 as R2
