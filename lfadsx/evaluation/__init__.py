"""All scores of one split together: model and baselines by the same rules, with the noise of each figure.

`evaluate` decides which trials, bins and neurons a score is about; `lfadsx.evaluation.metrics` computes it.

| measure        | neurons                                   | bins                                     |
|----------------|-------------------------------------------|------------------------------------------|
| bits_per_spike | that the encoder sees                     | that the encoder sees (reconstruction)   |
| co_bps         | held out                                  | that the encoder sees                    |
| masked_bps     | of entries hidden from the encoder        | of entries hidden from the encoder       |
| fp_bps         | all                                       | beyond the encoder's: forward prediction |
| velocity_r2    | all: behaviour decoded from log rates     | that the encoder sees                    |
| psth_r2        | all: R2 of each, mean                     | all                                      |
| rates_r2       | all: squared correlation per trial, mean  | all                                      |
| inputs_r2      | none: squared correlation of each input   | that the encoder sees                    |

`bits_per_spike` is reported, never a target: a model that copies spikes scores high.

With several sessions, nulls, baselines, PSTHs and decoders belong to one session each; bits per spike are
pooled over sessions, PSTH R2 is a mean over all neurons, velocity R2 over sessions weighted by trials.
"""

from lfadsx.evaluation.protocol import Evaluation as Evaluation
from lfadsx.evaluation.protocol import evaluate as evaluate
from lfadsx.evaluation.score_table import format_table as format_table
from lfadsx.evaluation.task import BITS as BITS
from lfadsx.evaluation.task import MEASURES as MEASURES
from lfadsx.evaluation.task import PSTH_KERNEL_BINS as PSTH_KERNEL_BINS
from lfadsx.evaluation.task import PSTH_KERNEL_SECONDS as PSTH_KERNEL_SECONDS
