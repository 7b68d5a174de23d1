"""Figures of a run: losses, example trials, factors, inferred inputs, PSTHs and a summary on one page.

Every function returns a `matplotlib.figure.Figure` that belongs to no window, backend or global state, so that figures
can be made on a cluster node, in a callback and in a notebook. The arguments `dataset`, `split` and `posterior` are the
data set, trials of it, and the posterior of these trials in their order. A posterior of other trials raises
`LfadsxError`.

Example:
    lfadsx.plotting.rates_figure(data, data.valid, post).savefig("rates.png")
"""

from lfadsx.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'The figures of lfadsx need matplotlib, which is not installed. Install it with `pip install "lfadsx[plot]"`.'
    ) from error

from lfadsx.plotting import style as style
from lfadsx.plotting.example_trials import example_figure as example_figure
from lfadsx.plotting.figure_files import write_figures as write_figures
from lfadsx.plotting.figure_files import write_folds_figure as write_folds_figure
from lfadsx.plotting.figure_files import write_population_figures as write_population_figures
from lfadsx.plotting.figure_files import write_sweep_figure as write_sweep_figure
from lfadsx.plotting.input_panels import inputs_figure as inputs_figure
from lfadsx.plotting.latent_space import factors_figure as factors_figure
from lfadsx.plotting.latent_space import initial_conditions_figure as initial_conditions_figure
from lfadsx.plotting.loss_curves import loss_figure as loss_figure
from lfadsx.plotting.panels import alignment_figure as alignment_figure
from lfadsx.plotting.panels import curves_figure as curves_figure
from lfadsx.plotting.population_figures import hyperparameters_figure as hyperparameters_figure
from lfadsx.plotting.population_figures import scores_figure as scores_figure
from lfadsx.plotting.rate_panels import psth_figure as psth_figure
from lfadsx.plotting.rate_panels import rates_figure as rates_figure
from lfadsx.plotting.summary_page import summary as summary
from lfadsx.plotting.sweep_figures import folds_figure as folds_figure
from lfadsx.plotting.sweep_figures import sweep_figure as sweep_figure
