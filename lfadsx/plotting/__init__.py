"""Figures of a run, one function each.

| function             | shows                                                                             |
|----------------------|-----------------------------------------------------------------------------------|
| `summary`            | one page: scores, loss, an example trial, factors, PSTHs, inputs                  |
| `psths`              | averages of single neurons over each condition, data beside model                 |
| `all_neurons`        | averages of all neurons, data beside model, sorted by peak                        |
| `rates`              | single trials: data and inferred rates                                            |
| `joined_rates`       | a stretch of a recording that was cut into pieces: data and joined rates          |
| `predicted_counts`   | predicted against observed counts: calibration, neurons, distribution             |
| `gain_per_neuron`    | scores of single neurons against a baseline                                       |
| `factors`            | principal components of the factors                                               |
| `initial_conditions` | one dot per trial                                                                 |
| `inputs`             | inferred inputs, single trials and averages                                       |
| `kl_per_dimension`   | KL of each latent dimension: which ones the model uses                            |
| `behaviour`          | decoded behaviour beside the measured one                                         |

These functions take the posterior of a split and the data set. The others, such as `loss_figure`, take what their
docstrings name. Every function returns a `matplotlib.figure.Figure` that belongs to no window, backend or global state,
so that figures can be made on a cluster node, in a callback and in a notebook.

Example:
    lfadsx.plotting.psths(post, data).savefig("psths.pdf")
"""

from lfadsx.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'The figures of lfadsx need matplotlib, which is not installed. Install it with `pip install "lfadsx[plot]"`.'
    ) from error

from lfadsx.plotting import style as style
from lfadsx.plotting.behaviour_panels import behaviour as behaviour
from lfadsx.plotting.count_panels import predicted_counts as predicted_counts
from lfadsx.plotting.dynamics_panels import dynamics_figure as dynamics_figure
from lfadsx.plotting.example_trials import example_figure as example_figure
from lfadsx.plotting.figure_files import write_figures as write_figures
from lfadsx.plotting.figure_files import write_folds_figure as write_folds_figure
from lfadsx.plotting.figure_files import write_population_figures as write_population_figures
from lfadsx.plotting.figure_files import write_sweep_figure as write_sweep_figure
from lfadsx.plotting.gain_panels import gain_per_neuron as gain_per_neuron
from lfadsx.plotting.input_panels import inputs as inputs
from lfadsx.plotting.joined_panels import joined_rates as joined_rates
from lfadsx.plotting.kl_panels import kl_per_dimension as kl_per_dimension
from lfadsx.plotting.latent_space import factors as factors
from lfadsx.plotting.latent_space import initial_conditions as initial_conditions
from lfadsx.plotting.loss_curves import loss_figure as loss_figure
from lfadsx.plotting.panels import alignment_figure as alignment_figure
from lfadsx.plotting.panels import curves_figure as curves_figure
from lfadsx.plotting.population_figures import hyperparameters_figure as hyperparameters_figure
from lfadsx.plotting.population_figures import scores_figure as scores_figure
from lfadsx.plotting.psth_panels import all_neurons as all_neurons
from lfadsx.plotting.psth_panels import psths as psths
from lfadsx.plotting.rate_panels import rates as rates
from lfadsx.plotting.summary_page import summary as summary
from lfadsx.plotting.sweep_figures import folds_figure as folds_figure
from lfadsx.plotting.sweep_figures import sweep_figure as sweep_figure
from lfadsx.plotting.sweep_figures import trust_figure as trust_figure
