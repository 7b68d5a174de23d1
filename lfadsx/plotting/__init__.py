"""Figures of a run: losses, example trials, factors, inferred inputs, PSTHs and a summary on one page.

Every function returns a `matplotlib.figure.Figure` that belongs to no window, backend or global state, so
that figures can be made on a cluster node, in a callback and in a notebook alike.
"""

from lfadsx.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'The figures of lfadsx need matplotlib, which is not installed. Install it with `pip install "lfadsx[plot]"`.'
    ) from error

from lfadsx.plotting import style
from lfadsx.plotting.example_trials import example_figure
from lfadsx.plotting.figure_files import write_figures, write_population_figures
from lfadsx.plotting.input_panels import inputs_figure
from lfadsx.plotting.latent_space import factors_figure, initial_conditions_figure
from lfadsx.plotting.loss_curves import loss_figure
from lfadsx.plotting.panels import curves_figure, images_figure
from lfadsx.plotting.population_figures import hyperparameters_figure, scores_figure
from lfadsx.plotting.psth_panels import psth_figure
from lfadsx.plotting.rate_panels import rates_figure
from lfadsx.plotting.session_components import alignment_figure
from lfadsx.plotting.summary_page import summary
from lfadsx.plotting.sweep_figures import folds_figure, sweep_figure, write_folds_figure, write_sweep_figure

__all__ = [
    "alignment_figure",
    "curves_figure",
    "example_figure",
    "factors_figure",
    "folds_figure",
    "images_figure",
    "initial_conditions_figure",
    "inputs_figure",
    "loss_figure",
    "hyperparameters_figure",
    "scores_figure",
    "psth_figure",
    "rates_figure",
    "style",
    "summary",
    "sweep_figure",
    "write_figures",
    "write_folds_figure",
    "write_population_figures",
    "write_sweep_figure",
]
